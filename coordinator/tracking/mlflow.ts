/** `--mlflow`: the run as one of an MLflow server's, which a resume continues. */
import { readFile } from 'node:fs/promises';
import { z } from 'zod';
import { parseJson } from '../../shared/wire/protocol.ts';
import { diskTrouble, type Fence, writeDurably } from '../disk/durable-file.ts';
import type { MetricsRecord } from '../run-folder/metrics-file.ts';
import type { Ending, Place } from './follower.ts';
import type { Hyperparameter } from './hyperparameters.ts';
import { batchLimits, type MlflowClient, type MlflowMetric, type MlflowStatus } from './mlflow-client.ts';
import { scalarsOf } from './scalars.ts';

/** By this tag a run is found again. */
const runTag = 'cornet.run';

const note = z.object({ url: z.string(), run_id: z.string(), run: z.string() });

export interface MlflowParts {
  readonly client: MlflowClient;
  readonly url: string;
  /** The name of the experiment. */
  readonly experiment: string;
  /** The id of the run, and what the user calls it, or the id again. */
  readonly run: string;
  readonly runName: string;
  readonly hyperparameters: ReadonlyMap<string, Hyperparameter>;
  /** Besides the run's id. */
  readonly tags: ReadonlyMap<string, string>;
  /** Where the id that the server gave the run is kept. */
  readonly notePath: string;
  /** Throws when another coordinator has the run by now. */
  readonly fence: Fence;
  /** Milliseconds since 1970. Lines of metrics have no time: that at which they were read stands for it. */
  readonly clock: () => number;
}

const statuses: Record<Ending, MlflowStatus> = {
  complete: 'FINISHED',
  interrupted: 'KILLED',
  failed: 'FAILED',
};

/** The run as the server knows it. */
interface Connected {
  readonly id: string;
  /** The last step that it has of each metric. */
  readonly latest: Map<string, number>;
}

export class Mlflow implements Place {
  readonly name = 'MLflow';
  readonly #parts: MlflowParts;
  /** Null: what the server has must be asked. */
  #connected: Connected | null = null;

  constructor(parts: MlflowParts) {
    this.#parts = parts;
  }

  /** Steps that are done again come to the same values: the server need not hear of it. */
  async restored(): Promise<void> {
    await this.#connect();
  }

  async take(records: readonly MetricsRecord[]): Promise<void> {
    const { id, latest } = await this.#connect();
    const metrics = this.#missing(records, latest);
    await this.#parts.fence(); // another coordinator of the run sends them, too
    for (let begin = 0; begin < metrics.length; begin += batchLimits.metrics) {
      const batch = metrics.slice(begin, begin + batchLimits.metrics);
      await this.#send(() => this.#parts.client.logMetrics(id, batch));
      for (const { key, step } of batch) latest.set(key, step);
    }
  }

  async end(ending: Ending): Promise<void> {
    const { client, clock, fence } = this.#parts;
    const { id } = await this.#connect();
    await fence();
    await this.#send(() => client.setStatus(id, statuses[ending], clock()));
  }

  async close(): Promise<void> {
    await this.#parts.client.close();
  }

  /** Each metric by itself: a request that failed may have written some of them. */
  #missing(records: readonly MetricsRecord[], latest: ReadonlyMap<string, number>): MlflowMetric[] {
    const timestamp = this.#parts.clock();
    const reached = new Map(latest);
    return records.flatMap((record) => {
      const { step, values = [] } = scalarsOf(record) ?? { step: 0 };
      return values.flatMap(({ tag: key, value }) => {
        if (step <= (reached.get(key) ?? -1)) return [];
        reached.set(key, step);
        return [{ key, value, timestamp, step }];
      });
    });
  }

  /** After an error nobody knows what the server has taken. */
  async #send(work: () => Promise<void>): Promise<void> {
    try {
      await work();
    } catch (error) {
      this.#connected = null;
      throw error;
    }
  }

  async #connect(): Promise<Connected> {
    if (this.#connected !== null) return this.#connected;
    const { client, run, hyperparameters, tags, fence } = this.#parts;
    await fence();
    const { id, latest, params } = (await this.#find()) ?? {
      id: await this.#create(),
      latest: new Map<string, number>(),
      params: new Set<string>(),
    };
    await this.#remember(id);
    const missing = new Map([...hyperparameters].filter(([name]) => !params.has(name)));
    await client.describe(id, missing, new Map([[runTag, run], ...tags]));
    await client.setStatus(id, 'RUNNING', null);
    this.#connected = { id, latest: new Map(latest) };
    return this.#connected;
  }

  /** By its id, or, where that was not kept, by its tag. */
  async #find(): ReturnType<MlflowClient['run']> {
    const { client, run, experiment } = this.#parts;
    const kept = await this.#remembered();
    const known = kept === null ? null : await client.run(kept);
    if (known !== null) return known;
    const found = await client.runWithTag(await client.experiment(experiment), runTag, run);
    return found === null ? null : client.run(found);
  }

  async #create(): Promise<string> {
    const { client, experiment, run, runName, clock } = this.#parts;
    const tags = new Map([[runTag, run]]); // at once: an answer that is lost must not make a second run
    return client.createRun(await client.experiment(experiment), runName, clock(), tags);
  }

  async #remembered(): Promise<string | null> {
    const { notePath, run, url } = this.#parts;
    const text = await readFile(notePath, 'utf8').catch(() => 'null');
    const { data } = note.safeParse(parseJson(text));
    return data?.run === run && data.url === url ? data.run_id : null;
  }

  async #remember(id: string): Promise<void> {
    const { notePath, run, url, fence } = this.#parts;
    if ((await this.#remembered()) === id) return;
    const text = `${JSON.stringify({ url, run_id: id, run }, null, 2)}\n`;
    try {
      await writeDurably(notePath, [Buffer.from(text)], { fence });
    } catch (error) {
      if (diskTrouble(error) === null) throw error; // a full disk keeps nothing from the server, which knows the tag
    }
  }
}
