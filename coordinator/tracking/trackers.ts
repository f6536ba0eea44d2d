/** What tells other programs of a run's metrics, if the user wants it: TensorBoard, MLflow. */
import { hostname } from 'node:os';
import { tracking } from '../../shared/defaults.ts';
import { version } from '../../shared/process/version.ts';
import { labelsOf, type RunConfig } from '../../shared/run-config.ts';
import type { RunFolder } from '../run-folder/run-folder.ts';
import { type Ending, Follower, type FollowerParts, type Place } from './follower.ts';
import { hyperparametersOf } from './hyperparameters.ts';
import { Mlflow } from './mlflow.ts';
import { MlflowClient } from './mlflow-client.ts';
import { drawPicture } from './picture.ts';
import { TensorBoard } from './tensorboard.ts';

export interface TrackersParts {
  readonly config: RunConfig;
  readonly folder: RunFolder;
  /** The address of an MLflow server; undefined: none is told. */
  readonly mlflow: string | undefined;
  readonly environment: Readonly<Record<string, string | undefined>>;
  /** Tells the user, and the log. */
  readonly tell: FollowerParts['tell'];
  readonly notices: FollowerParts['notices'];
}

/** None is waited for, except at the end of a run, and then for bounded time. */
export class Trackers {
  readonly #followers: readonly Follower[];
  #ending: Ending = 'failed';

  constructor(parts: TrackersParts) {
    const places = [
      ...(parts.config.options.tensorboard ? [tensorBoard(parts)] : []),
      ...(parts.mlflow === undefined ? [] : [mlflow(parts, parts.mlflow)]),
    ];
    const { tell, notices, folder } = parts;
    this.#followers = places.map(
      (place) => new Follower({ place, metricsPath: folder.metricsPath, tell, notices, limits: tracking }),
    );
  }

  /** metrics.jsonl ends with this step now: the run begins, or has gone back. */
  restored(step: number): void {
    for (const follower of this.#followers) follower.restored(step);
  }

  /** It has another line. */
  grown(): void {
    for (const follower of this.#followers) follower.grown();
  }

  /** How the run ends. Until this is said, a run that ends has failed. */
  ending(ending: Ending): void {
    this.#ending = ending;
  }

  /** Brings the rest, in bounded time. */
  async close(): Promise<void> {
    await Promise.all(this.#followers.map((follower) => follower.close(this.#ending)));
  }
}

function tensorBoard({ config, folder, tell }: TrackersParts): Place {
  return new TensorBoard({
    folder: folder.tensorboardPath,
    hyperparameters: hyperparametersOf(config.result),
    drawPicture: () => drawPicture(config, (sentence) => tell('warn', sentence)),
    fence: folder.fence,
    clock: () => Date.now(),
    host: hostname(),
  });
}

function mlflow({ config, folder, environment }: TrackersParts, url: string): Place {
  const { name, note } = labelsOf(config);
  return new Mlflow({
    client: new MlflowClient({ url, environment, silence: tracking.silence }),
    url,
    experiment: environment.MLFLOW_EXPERIMENT_NAME || 'cornet-ts',
    run: config.run,
    runName: name ?? config.run,
    hyperparameters: hyperparametersOf(config.result),
    tags: new Map([
      ['cornet.version', version],
      ['cornet.folder', folder.path],
      ['cornet.host', hostname()],
      ...(note === null ? [] : [['mlflow.note.content', note] as const]), // which its pages show as the description
    ]),
    notePath: folder.mlflowPath,
    fence: folder.fence,
    clock: () => Date.now(),
  });
}
