/** Everything that shows a training over HTTP: metrics for Prometheus, and the live page. */
import type { Logger } from 'pino';
import { describeError } from '../../shared/errors.ts';
import type { HttpServer } from '../../shared/process/http-server.ts';
import { Metrics, setTraffic } from '../../shared/process/metrics.ts';
import { type RunConfig, stepsPerEpoch } from '../../shared/run-config.ts';
import type { Checkpoints } from '../checkpoints/checkpoints.ts';
import type { Observed } from '../conduct/conduct-run.ts';
import type { RunObserver } from '../conduct/ports.ts';
import { readRedis } from '../metrics/redis-metrics.ts';
import { RunMetrics } from '../metrics/run-metrics.ts';
import { serviceDiscovery } from '../metrics/service-discovery.ts';
import type { JoinHint } from '../view/run-view.ts';
import { LivePage } from '../watch/live-page.ts';
import type { Watch } from '../watch/watch.ts';

export interface TrainingObservation {
  config: RunConfig;
  checkpoints: Checkpoints;
  /** Null: nothing is served. */
  http: HttpServer | null;
  log: Logger;
  watch: Watch;
  /** What the run is, as names and sentences. */
  facts: [string, string][];
  /** How a worker is added, or null. */
  join: JoinHint | null;
  /** Opens the live page's orders; null: it takes none. */
  controlToken: string | null;
}

export function observeTraining(observed: Observed, training: TrainingObservation): RunObserver {
  const { run, redis, blobs, queues, tell } = observed;
  const { config, checkpoints, http, log, watch, facts, join, controlToken } = training;
  const metrics = new Metrics(() => performance.now());
  const runMetrics = new RunMetrics({
    metrics,
    config,
    run,
    now: () => performance.now(),
    clock: () => Date.now(),
  });
  readRedis(metrics, runMetrics, { redis, queues });
  metrics.beforeReading(() => setTraffic(runMetrics.all.exchange_bytes_total, blobs));
  watch.follow(run);
  let page: LivePage | null = null;
  if (http !== null) {
    page = new LivePage({
      watch,
      checkpoints,
      tell,
      facts: {
        options: facts,
        join,
        stepsPerEpoch: stepsPerEpoch(config),
        control: controlToken !== null,
        batchSize: config.result.batchSize,
      },
      token: controlToken,
    });
    watch.add(page);
    const discovery = serviceDiscovery(http.address, config.run, () => run.workers);
    http.serve([metrics.route, discovery, ...page.routes], (path, error) =>
      log.warn({ path, error: describeError(error).message }, 'A request over HTTP failed.'),
    );
  }
  return {
    saw: (event, actions) => {
      watch.saw();
      runMetrics.saw(event, actions);
    },
    recomputed: () => runMetrics.recomputed(),
    redisAnswered: (seconds) => runMetrics.redisAnswered(seconds),
    failed: async (error) => {
      page?.close(`The run ended with an error: ${error.message} [${error.code}]`, () => watch.view());
      await runMetrics.failed(error.code);
    },
  };
}
