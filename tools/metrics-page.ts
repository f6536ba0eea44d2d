import type { Registry } from 'prom-client';
import { defineRunMetrics } from '../coordinator/metrics/run-metrics.ts';
import { Metrics } from '../shared/process/metrics.ts';
import { defineWorkerMetrics } from '../worker/perform/metrics.ts';

/** Where `npm run docs:metrics` writes the page. */
export const metricsPagePath = 'docs/metrics.md';

export interface Metric {
  name: string;
  help: string;
  type: string;
  labels: string[];
}

/** Every metric of a process, in the order in which they are defined: its own, and those of Node.js. */
function metricsOf(define: (metrics: Metrics) => unknown): { own: Metric[]; process: Metric[] } {
  const metrics = new Metrics(() => 0);
  const common = listed(metrics.registry);
  define(metrics);
  const isCommon = ({ name }: Metric) => common.some((metric) => metric.name === name);
  const all = listed(metrics.registry);
  return { own: all.filter((metric) => !isCommon(metric)), process: common };
}

function listed(registry: Registry): Metric[] {
  return registry.getMetricsAsArray().map((metric) => {
    const { name, help, type, labelNames } = metric as unknown as Omit<Metric, 'labels'> & {
      labelNames: string[];
    };
    return { name, help, type, labels: [...labelNames] };
  });
}

export const coordinatorMetrics = metricsOf(defineRunMetrics);
export const workerMetrics = metricsOf(defineWorkerMetrics);

/** The page of all metrics, made from their definitions. */
export function metricsPage(): string {
  return `# Metrics

<!-- Made from the definitions of the metrics by \`npm run docs:metrics\`; a test compares the two. -->

A run shows itself to [Prometheus](https://prometheus.io): the coordinator and every worker answer \`/metrics\`. The counting
takes about 6 µs of a step in the coordinator (2 workers) and 9 µs in a worker, a reading about 1 ms ([bench.md](bench.md)). Nothing
that goes wrong there stops a run: what cannot be told in time, because Redis is away for example, is left out.

| where | address |
|---|---|
| coordinator | port 9464 of 127.0.0.1, or any free port where that is taken; \`--metrics-port\`, \`--metrics-host\` |
| local workers | any free port, on the coordinator's \`--metrics-host\` |
| a worker on another host | any free port of its 127.0.0.1; give it \`--metrics-host\` (and perhaps \`--metrics-port\`) so that others can read |

\`coordinator start\` prints its address. Whoever reaches the port can read it; orders need a token ([watch.md](watch.md)).

## Prometheus

    prometheus --config.file deploy/prometheus.yml

The coordinator answers \`/service-discovery\` with all that is to be scraped, itself and its workers, so nothing is edited when
a worker comes or goes. Every metric carries the label \`run\`, a worker's also \`worker\` (its id; a new one each time it joins),
and Prometheus adds \`role\` and \`instance\`. A worker that listens on its own 127.0.0.1 on another host cannot be reached, and is
left out. For more than one run, give one \`url\` each.

\`dashboards/alerts.yml\` holds the rules of alerts: a run that stands still, a loss that is not finite, any other failure, workers
that come and go or cannot start, a checkpoint that fails or is too old. A run that fails waits until it has been scraped once more (when something
scrapes it, and for 30 s at most), so that the alert is not lost with the process.

## Grafana

The three dashboards in \`dashboards/\` (run, fleet, data and exchange) need nothing but a Prometheus data source, which they ask
for. Import them by hand, or let Grafana read the folder:

    # /etc/grafana/provisioning/dashboards/cornet.yml
    apiVersion: 1
    providers:
      - name: cornet
        type: file
        options:
          path: /path/to/cornet-ts/dashboards

Every expression in them and in the rules is tried against a real Prometheus that has scraped a real run (\`npm test\`). That
Grafana draws them as it should has not been tested: only their structure is checked.

## What they mean

Times are in seconds, sizes in bytes, ratios from 0 to 1. Histograms of times have the bounds 1 ms, 2 ms, 4 ms, … 262 s.
Counters begin at 0 with the process. What is not known is absent. On a GPU, operators run on while the next ones are queued: the
time that \`upload\` or \`forward\` leave undone is counted to \`backward\`.

### Coordinator

${table(coordinatorMetrics.own)}

### Worker

${table(workerMetrics.own)}

### Every process

Those of Node.js and of the operating system, as [prom-client](https://github.com/siimon/prom-client) has them.

${table(coordinatorMetrics.process)}
`;
}

function table(metrics: readonly Metric[]): string {
  const rows = metrics.map(
    ({ name, type, labels, help }) => `| \`${name}\` | ${type} | ${labels.join(', ')} | ${help} |`,
  );
  return ['| name | kind | labels | what it is |', '|---|---|---|---|', ...rows].join('\n');
}
