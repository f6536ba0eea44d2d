/** Everything that shows a training over HTTP: metrics for Prometheus, and the live page. */
import type { Logger } from 'pino';
import { describeError } from '../../shared/errors.ts';
import { stateLayout } from '../../shared/formats/state-layout.ts';
import { modelOf } from '../../shared/models/family.ts';
import type { HttpServer } from '../../shared/process/http-server.ts';
import { Metrics, setTraffic } from '../../shared/process/metrics.ts';
import { type RunConfig, stepsPerEpoch } from '../../shared/run-config.ts';
import type { Checkpoints } from '../checkpoints/checkpoints.ts';
import type { Observed } from '../conduct/conduct-run.ts';
import type { RunObserver } from '../conduct/ports.ts';
import type { PatientDisk } from '../disk/patient-disk.ts';
import { readRedis } from '../metrics/redis-metrics.ts';
import { RunMetrics } from '../metrics/run-metrics.ts';
import { serviceDiscovery } from '../metrics/service-discovery.ts';
import type { Trackers } from '../tracking/trackers.ts';
import { healthOf } from '../view/health.ts';
import type { RunFacts } from '../view/run-view.ts';
import { LivePage } from '../watch/live-page.ts';
import { Vitals } from '../watch/vitals.ts';
import type { Watch } from '../watch/watch.ts';

export interface TrainingObservation {
  config: RunConfig;
  checkpoints: Checkpoints;
  checkpointsPath: string;
  disk: PatientDisk;
  /** Null: nothing is served. */
  http: HttpServer | null;
  log: Logger;
  watch: Watch;
  trackers: Trackers;
  /** For the live page. */
  facts: RunFacts;
  /** Opens the live page's orders; null: it takes none. */
  controlToken: string | null;
  /** What must be known of where it is shown, or null. */
  notice: string | null;
  /** Is told what is waited for when the run is over. */
  note: (sentence: string) => void;
}

export function observeTraining(observed: Observed, training: TrainingObservation): RunObserver {
  const { run, redis, blobs, queues, tell, outages } = observed;
  const { config, checkpoints, checkpointsPath, disk, http, log, watch, trackers, facts, controlToken } =
    training;
  const metrics = new Metrics(() => performance.now());
  const runMetrics = new RunMetrics({
    metrics,
    config,
    run,
    outages,
    now: () => performance.now(),
    clock: () => Date.now(),
  });
  readRedis(metrics, runMetrics, { redis, queues });
  metrics.beforeReading(() => setTraffic(runMetrics.all.exchange_bytes_total, blobs));
  const vitals = new Vitals({
    outages,
    disk,
    checkpoints,
    checkpointsPath,
    checkpointBytes: stateLayout(modelOf(config.result)).bytes,
    interval: config.options.saveModelSeconds,
    stepsPerEpoch: stepsPerEpoch(config),
    clock: () => Date.now(),
  });
  watch.follow(run, vitals);
  metrics.beforeReading(() => runMetrics.isHow(healthOf(watch.view(), 0, null).word));
  if (training.notice !== null) {
    log.warn(training.notice);
    watch.say(training.notice, 'warn');
  }
  let page: LivePage | null = null;
  if (http !== null) {
    page = new LivePage({
      watch,
      checkpoints,
      tell,
      facts,
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
    redisAnswered: (seconds) => {
      watch.redisAnswered(seconds);
      runMetrics.redisAnswered(seconds);
    },
    beat: () => runMetrics.beat(),
    ended: async () => {
      const tracked = trackers.close();
      await runMetrics.ended((patience) =>
        training.note(
          `Waiting at most ${Math.ceil(patience / 1000)} s for Prometheus to read the last metrics.`,
        ),
      );
      await tracked;
    },
    failed: async (error) => {
      page?.close(`The run ended with an error: ${error.message} [${error.code}]`, () => watch.view(), true);
      await Promise.all([trackers.close(), runMetrics.failed(error.code)]);
    },
  };
}
