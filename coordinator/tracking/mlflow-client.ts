/** MLflow's REST API 2.0 (https://mlflow.org/docs/latest/rest-api.html), as far as a run needs it. */
import { EnvHttpProxyAgent, fetch } from 'undici';
import { z } from 'zod';
import { oneLine, shortened } from '../../shared/util/printable.ts';
import { parseJson } from '../../shared/wire/protocol.ts';
import type { Hyperparameter } from './hyperparameters.ts';

/** What a server takes in one request. */
export const batchLimits = { metrics: 1_000, params: 100 } as const;

/** Characters that are shown of what a server says of an error. */
const shown = 200;

export interface MlflowMetric {
  readonly key: string;
  readonly value: number;
  /** Milliseconds since 1970. */
  readonly timestamp: number;
  readonly step: number;
}

export type MlflowStatus = 'RUNNING' | 'FINISHED' | 'KILLED' | 'FAILED';

/** Why a request has failed, as a sentence; `code` is the server's, where it gave one. */
export class MlflowError extends Error {
  readonly code: string | null;

  constructor(sentence: string, code: string | null, cause?: unknown) {
    super(sentence, { cause });
    this.code = code;
  }
}

const experiment = z.object({ experiment: z.object({ experiment_id: z.string() }) });
const created = z.object({ experiment_id: z.string() });
const info = z.object({ run_id: z.string(), lifecycle_stage: z.string().default('active') });
const run = z.object({
  run: z.object({
    info,
    data: z
      .object({
        metrics: z.array(z.object({ key: z.string(), step: z.coerce.number().default(0) })).default([]),
        params: z.array(z.object({ key: z.string() })).default([]),
      })
      .prefault({}),
  }),
});
const runs = z.object({ runs: z.array(z.object({ info })).default([]) });
const refusal = z.object({ error_code: z.string(), message: z.string().default('') });

/** A run as the server knows it. */
export interface MlflowRun {
  readonly id: string;
  /** Of each metric, the last step that is there. */
  readonly latest: ReadonlyMap<string, number>;
  readonly params: ReadonlySet<string>;
}

export interface MlflowClientParts {
  /** Without a slash at its end. */
  readonly url: string;
  /** Of the process: `MLFLOW_TRACKING_TOKEN`, or `MLFLOW_TRACKING_USERNAME` and `MLFLOW_TRACKING_PASSWORD`; proxies. */
  readonly environment: Readonly<Record<string, string | undefined>>;
  /** Milliseconds after which a request without an answer has failed. */
  readonly silence: number;
}

/** Every method throws MlflowError. */
export class MlflowClient {
  readonly #parts: MlflowClientParts;
  readonly #agent = new EnvHttpProxyAgent();
  readonly #closing = new AbortController();

  constructor(parts: MlflowClientParts) {
    this.#parts = parts;
  }

  /** The id of the experiment of that name, which is made where there is none. */
  async experiment(name: string): Promise<string> {
    const find = () =>
      this.#get('experiments/get-by-name', { experiment_name: name }, experiment).then(
        (found) => found.experiment.experiment_id,
      );
    const found = await unless('RESOURCE_DOES_NOT_EXIST', find);
    if (found !== null) return found;
    const make = () => this.#post('experiments/create', { name }, created);
    const made = await unless('RESOURCE_ALREADY_EXISTS', make); // by another run, meanwhile
    return made?.experiment_id ?? find();
  }

  /** Null: there is none of that id, or it was deleted. */
  async run(id: string): Promise<MlflowRun | null> {
    const found = await unless('RESOURCE_DOES_NOT_EXIST', () => this.#get('runs/get', { run_id: id }, run));
    if (found === null || found.run.info.lifecycle_stage === 'deleted') return null;
    const { metrics, params } = found.run.data;
    return {
      id,
      latest: new Map(metrics.map(({ key, step }) => [key, step])),
      params: new Set(params.map(({ key }) => key)),
    };
  }

  /** The id of the run with such a tag; null: there is none. */
  async runWithTag(experimentId: string, tag: string, value: string): Promise<string | null> {
    const filter = `tags.\`${tag}\` = '${value.replaceAll("'", "''")}'`;
    const found = await this.#post(
      'runs/search',
      { experiment_ids: [experimentId], filter, max_results: 1 },
      runs,
    );
    return found.runs[0]?.info.run_id ?? null;
  }

  /** @param startTime milliseconds since 1970 */
  async createRun(
    experimentId: string,
    name: string,
    startTime: number,
    tags: ReadonlyMap<string, string>,
  ): Promise<string> {
    const request = {
      experiment_id: experimentId,
      run_name: name,
      start_time: startTime,
      tags: pairs(tags),
    };
    return (await this.#post('runs/create', request, run)).run.info.run_id;
  }

  /** @param metrics at most `batchLimits.metrics` */
  async logMetrics(id: string, metrics: readonly MlflowMetric[]): Promise<void> {
    await this.#post('runs/log-batch', { run_id: id, metrics }, z.unknown());
  }

  /** What is written once; the tags may change. */
  async describe(
    id: string,
    params: ReadonlyMap<string, Hyperparameter>,
    tags: ReadonlyMap<string, string>,
  ): Promise<void> {
    await this.#post('runs/log-batch', { run_id: id, tags: pairs(tags) }, z.unknown());
    const all = pairs(params);
    for (let begin = 0; begin < all.length; begin += batchLimits.params) {
      const some = all.slice(begin, begin + batchLimits.params);
      await this.#post('runs/log-batch', { run_id: id, params: some }, z.unknown());
    }
  }

  /** @param endTime milliseconds since 1970; null: the run goes on */
  async setStatus(id: string, status: MlflowStatus, endTime: number | null): Promise<void> {
    const end = endTime === null ? {} : { end_time: endTime };
    await this.#post('runs/update', { run_id: id, status, ...end }, z.unknown());
  }

  /** Requests under way fail. */
  async close(): Promise<void> {
    this.#closing.abort();
    await this.#agent.destroy();
  }

  #get<T>(path: string, query: Record<string, string>, answer: z.ZodType<T>): Promise<T> {
    return this.#request('GET', `${path}?${new URLSearchParams(query)}`, null, answer);
  }

  #post<T>(path: string, body: object, answer: z.ZodType<T>): Promise<T> {
    return this.#request('POST', path, JSON.stringify(body), answer);
  }

  async #request<T>(method: string, path: string, body: string | null, answer: z.ZodType<T>): Promise<T> {
    const { url, silence } = this.#parts;
    let text: string;
    let response: Awaited<ReturnType<typeof fetch>>;
    try {
      response = await fetch(`${url}/api/2.0/mlflow/${path}`, {
        method,
        body,
        headers: { ...this.#authorization(), 'content-type': 'application/json' },
        signal: AbortSignal.any([this.#closing.signal, AbortSignal.timeout(silence)]),
        dispatcher: this.#agent,
      });
      text = await response.text();
    } catch (error) {
      throw new MlflowError(`MLflow at ${url} cannot be reached: ${reasonOf(error)}.`, null, error);
    }
    const parsed = parseJson(text);
    if (!response.ok) {
      const { data } = refusal.safeParse(parsed);
      const said = data === undefined ? '' : `: ${oneLine(shortened(data.message, shown))}`;
      const what = `${response.status} ${response.statusText}`.trimEnd();
      throw new MlflowError(`MLflow at ${url} answers ${what}${said}`, data?.error_code ?? null);
    }
    const { data, success } = answer.safeParse(parsed);
    if (success) return data;
    throw new MlflowError(
      `What answers at ${url} is no MLflow server: ${path.split('?')[0]} is unknown.`,
      null,
    );
  }

  #authorization(): Record<string, string> {
    const {
      MLFLOW_TRACKING_TOKEN: token,
      MLFLOW_TRACKING_USERNAME: name,
      MLFLOW_TRACKING_PASSWORD: password,
    } = this.#parts.environment;
    if (token !== undefined && token !== '') return { authorization: `Bearer ${token}` };
    if (name === undefined || name === '') return {};
    return { authorization: `Basic ${Buffer.from(`${name}:${password ?? ''}`).toString('base64')}` };
  }
}

/** Null: the server has refused with this code. */
async function unless<T>(code: string, work: () => Promise<T>): Promise<T | null> {
  try {
    return await work();
  } catch (error) {
    if (error instanceof MlflowError && error.code === code) return null;
    throw error;
  }
}

function pairs(map: ReadonlyMap<string, Hyperparameter>): { key: string; value: string }[] {
  return [...map].map(([key, value]) => ({ key, value: String(value) }));
}

/** fetch says only that it failed; its cause says why. */
function reasonOf(error: unknown): string {
  if (error instanceof DOMException && error.name === 'TimeoutError') return 'it does not answer';
  const { cause, message } = error as Error;
  const { code } = (cause ?? {}) as { code?: string };
  return code ?? (cause instanceof Error ? cause.message : message);
}
