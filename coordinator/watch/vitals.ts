/** How a run stands besides its steps: Redis, the disk, the checkpoints. */
import { join } from 'node:path';
import { vitalsEvery } from '../../shared/defaults.ts';
import type { Outage } from '../../shared/redis/outage.ts';
import type { OutageLog } from '../../shared/redis/outages.ts';
import { oneAtATime } from '../../shared/util/one-at-a-time.ts';
import type { Checkpoints } from '../checkpoints/checkpoints.ts';
import type { PatientDisk } from '../disk/patient-disk.ts';
import { freeBytes } from '../run-folder/disk-need.ts';
import { bestOf, writtenAt } from '../run-folder/traces.ts';
import type { RunView } from '../view/run-view.ts';
import { keptViews } from '../view/view-of.ts';

export interface VitalsParts {
  outages: Pick<OutageLog, 'outage' | 'sentence'>;
  disk: Pick<PatientDisk, 'trouble'>;
  checkpoints: Pick<Checkpoints, 'latest' | 'best' | 'records'>;
  checkpointsPath: string;
  /** Of one checkpoint. */
  checkpointBytes: number;
  /** Seconds between two checkpoints. */
  interval: number;
  stepsPerEpoch: number;
  /** Milliseconds since 1970. */
  clock: () => number;
}

export class Vitals {
  readonly #parts: VitalsParts;
  readonly #look = oneAtATime(() => this.#lookAtDisk());
  #lookedAt = Number.NEGATIVE_INFINITY;
  #free: number | null = null;
  /** When the latest checkpoint was written; of one from before this coordinator null, until its file is looked at. */
  #saved: { file: string; step: number; at: number | null } | null;
  #answersIn: number | null = null;

  constructor(parts: VitalsParts) {
    this.#parts = parts;
    const { latest } = parts.checkpoints;
    this.#saved = latest === null ? null : { file: latest.file, step: latest.step, at: null };
  }

  get outage(): Outage | null {
    return this.#parts.outages.outage;
  }

  /** Why everybody waits for Redis, or null. */
  get sentence(): string | null {
    return this.#parts.outages.sentence;
  }

  redisAnswered(seconds: number): void {
    this.#answersIn = seconds;
  }

  /** Call it now and then: it looks at the disk when that is due, without waiting for it. */
  look(): void {
    const { clock } = this.#parts;
    if (clock() - this.#lookedAt < vitalsEvery) return;
    this.#lookedAt = clock();
    // A disk that does not answer is what writing will find.
    this.#look().catch(() => undefined);
  }

  get seen(): Pick<RunView, 'redis' | 'disk' | 'checkpoint' | 'best' | 'kept'> {
    const { disk, checkpoints, checkpointBytes, interval, stepsPerEpoch, clock } = this.#parts;
    const { latest, best, records } = checkpoints;
    const at = this.#noticeCheckpoint()?.at ?? null;
    const age = at === null ? null : Math.max(0, clock() - at) / 1000;
    return {
      redis: { away: this.outage, answersIn: this.#answersIn },
      disk: { trouble: disk.trouble?.message ?? null, free: this.#free, checkpoint: checkpointBytes },
      checkpoint: latest === null ? null : { step: latest.step, age, interval },
      best: bestOf(best),
      kept: keptViews(records, stepsPerEpoch),
    };
  }

  #noticeCheckpoint(): { at: number | null } | null {
    const { checkpoints, clock } = this.#parts;
    const { latest } = checkpoints;
    if (latest !== null && latest.file !== this.#saved?.file) {
      const { file, step } = latest;
      const goneBack = this.#saved !== null && step < this.#saved.step;
      this.#saved = { file, step, at: goneBack ? null : clock() };
    }
    return this.#saved;
  }

  async #lookAtDisk(): Promise<void> {
    const { checkpointsPath } = this.#parts;
    const saved = this.#saved;
    if (saved !== null) saved.at ??= (await writtenAt(join(checkpointsPath, saved.file))) || null;
    this.#free = await freeBytes(checkpointsPath);
  }
}
