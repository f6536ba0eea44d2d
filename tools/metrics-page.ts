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

The coordinator and every worker answer \`/metrics\` for [Prometheus](https://prometheus.io). Counting takes about 6 µs
of a step in the coordinator (2 workers) and 9 µs in a worker; reading the metrics takes about 1 ms
([bench.md](bench.md)). No failure there stops a run: a value that cannot be determined in time, for example because
Redis is away, is omitted.

| where | address |
|---|---|
| coordinator | port 9464 of 127.0.0.1, or any free port if that is taken (a warning says which); \`--metrics-port\`, \`--metrics-host\` |
| local workers | any free port, on the coordinator's \`--metrics-host\` |
| a worker on another host | any free port of its 127.0.0.1; use \`--metrics-host\` (and \`--metrics-port\`) so that others can reach it |

\`coordinator start\` prints its address. Anyone who can reach the port can read the metrics; the controls need a token
([watch.md](watch.md)).

## Prometheus

    prometheus --config.file deploy/prometheus.yml

The coordinator lists all targets, itself and its workers, at \`/service-discovery\`, so no configuration changes when a
worker joins or leaves. Every metric carries the label \`run\`, a worker's also \`worker\` (its id, a new one each time it
joins); Prometheus adds \`role\` and \`instance\`. A worker on another host that listens only on its own 127.0.0.1 cannot
be reached and is omitted. For several runs, list one \`url\` for each.

On a machine that you share, port 9464 may belong to somebody else's run. Choose a port with \`--metrics-port\`, and name
the runs that you want in the \`keep\` rule of \`deploy/prometheus.yml\` (its \`regex\`): targets of other runs are then
dropped. On Slurm, \`deploy/slurm/cornet.sbatch\` uses port 10000 + job id modulo 10000 of the job's first node.

\`dashboards/alerts.yml\` contains the alerting rules: a run that makes no progress, a coordinator that is gone, Redis
away, a loss that is not finite, any other failure, workers that come and go or cannot start, and a checkpoint that fails
or is too old. A run that ends, in whatever way, waits until it has been scraped once more (if anything scrapes it, and
at most 30 s), so that an alert does not die with the process, and so that a run that ended in order is not taken for one
that was killed (\`cornet_ended_term\`). This needs a scrape interval of less than 30 s.

## Grafana

The three dashboards in \`dashboards/\` (run, fleet, data and exchange) need only a Prometheus data source, which they
ask for. Import them by hand, or let Grafana read the folder:

    # /etc/grafana/provisioning/dashboards/cornet.yml
    apiVersion: 1
    providers:
      - name: cornet
        type: file
        options:
          path: /path/to/cornet-ts/dashboards

\`npm test\` evaluates every expression of the dashboards and rules against a real Prometheus that has scraped a real
run. How Grafana draws them has not been tested: only their structure is checked.

## Metrics

Times are in seconds, sizes in bytes, ratios from 0 to 1. Histograms of times have the bounds 1 ms, 2 ms, 4 ms, … 262 s.
Counters start at 0 with the process. A value that is not known is absent. On a GPU, operators keep running while the
next ones are queued: \`backward\` includes the time that \`upload\` or \`forward\` left undone.

### Coordinator

${table(coordinatorMetrics.own)}

### Worker

${table(workerMetrics.own)}

### Every process

Metrics of Node.js and of the operating system, from [prom-client](https://github.com/siimon/prom-client).

${table(coordinatorMetrics.process)}
`;
}

function table(metrics: readonly Metric[]): string {
  const rows = metrics.map(
    ({ name, type, labels, help }) => `| \`${name}\` | ${type} | ${labels.join(', ')} | ${help} |`,
  );
  return ['| name | kind | labels | what it is |', '|---|---|---|---|', ...rows].join('\n');
}
