/**
 * Stands in for an MLflow server, a large program in Python: the part of its REST API that a run uses, with
 * the limits and errors of its documentation (https://mlflow.org/docs/latest/rest-api.html). It keeps whatever it is
 * sent, as a server that stores metrics in files does, and can be away for a while.
 */
import { once } from 'node:events';
import { createServer, type IncomingMessage, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { text as textOf } from 'node:stream/consumers';
import type { ExecutionContext } from 'ava';

interface Pair {
  key: string;
  value: string;
}

interface Metric {
  key: string;
  value: number;
  timestamp: number;
  step: number;
}

export interface StoredRun {
  id: string;
  experiment: string;
  name: string;
  status: string;
  startTime: number;
  endTime: number | null;
  params: Map<string, string>;
  tags: Map<string, string>;
  metrics: Metric[];
}

class Refusal extends Error {
  readonly status: number;
  readonly code: string;

  constructor(status: number, code: string, message: string) {
    super(message);
    this.status = status;
    this.code = code;
  }
}

const invalid = (message: string) => new Refusal(400, 'INVALID_PARAMETER_VALUE', message);
const missing = (what: string) => new Refusal(404, 'RESOURCE_DOES_NOT_EXIST', `${what} does not exist`);

type Body = Record<string, unknown>;

export class MlflowServer {
  /** Ids by name. */
  readonly experiments = new Map<string, string>();
  readonly runs: StoredRun[] = [];
  /** What the header of that name must be, or null. */
  authorization: string | null = null;
  /** So many requests are carried out, and their answers lost. */
  answersToLose = 0;
  /** So many metrics of the next request are kept, and then it fails. */
  metricsBeforeFailure: number | null = null;
  /** Every path that was asked for. */
  readonly asked: string[] = [];
  #server: Server | null = null;
  #port = 0;

  static async start(t: ExecutionContext): Promise<MlflowServer> {
    const server = new MlflowServer();
    await server.comeBack();
    t.teardown(() => server.goAway());
    return server;
  }

  get url(): string {
    return `http://127.0.0.1:${this.#port}`;
  }

  goAway(): void {
    this.#server?.close();
    this.#server?.closeAllConnections();
    this.#server = null;
  }

  /** At the same port, with all that it had. */
  async comeBack(): Promise<void> {
    const server = createServer((request, response) => {
      this.#answer(request).then(
        (answer) => {
          if (this.answersToLose > 0) {
            this.answersToLose--;
            request.socket.destroy();
          } else response.setHeader('content-type', 'application/json').end(JSON.stringify(answer));
        },
        (error: Error) => {
          response.statusCode = error instanceof Refusal ? error.status : 500;
          const error_code = error instanceof Refusal ? error.code : 'INTERNAL_ERROR';
          response.end(JSON.stringify({ error_code, message: error.message }));
        },
      );
    });
    server.listen(this.#port, '127.0.0.1');
    await once(server, 'listening');
    this.#port = (server.address() as AddressInfo).port;
    this.#server = server;
  }

  async #answer(request: IncomingMessage): Promise<unknown> {
    const { pathname, searchParams } = new URL(request.url!, 'http://server');
    const path = /^\/api\/2\.0\/mlflow\/(.+)$/.exec(pathname)?.[1] ?? '';
    const endpoint = `${request.method} ${path}`;
    this.asked.push(endpoint);
    if (this.authorization !== null && request.headers.authorization !== this.authorization)
      throw new Refusal(401, 'UNAUTHENTICATED', 'You are not authenticated');
    if (request.method === 'GET') return this.#read(endpoint, searchParams);
    const body = await textOf(request);
    if (body.length > 1e6) throw invalid('Batched logging API requests must be at most 1000000 bytes.');
    return this.#write(endpoint, JSON.parse(body) as Body);
  }

  #read(endpoint: string, query: URLSearchParams): unknown {
    switch (endpoint) {
      case 'GET experiments/get-by-name': {
        const name = query.get('experiment_name')!;
        const id = this.experiments.get(name);
        if (id === undefined) throw missing(`The experiment ${name}`);
        return { experiment: { experiment_id: id, name, lifecycle_stage: 'active' } };
      }
      case 'GET runs/get':
        return { run: described(this.#run(query.get('run_id'))) };
      default:
        throw new Refusal(404, 'ENDPOINT_NOT_FOUND', endpoint);
    }
  }

  #write(endpoint: string, body: Body): unknown {
    switch (endpoint) {
      case 'POST experiments/create': {
        const name = text(body.name);
        if (this.experiments.has(name))
          throw new Refusal(400, 'RESOURCE_ALREADY_EXISTS', `Experiment(name=${name}) already exists.`);
        this.experiments.set(name, String(this.experiments.size + 1));
        return { experiment_id: this.experiments.get(name) };
      }
      case 'POST runs/search': {
        const [, key, value] = /^tags\.`([^`]+)` = '(.*)'$/.exec(text(body.filter)) ?? [];
        if (key === undefined) throw invalid(`Invalid filter: ${body.filter}`);
        const experiments = body.experiment_ids as string[];
        const found = this.runs.filter(
          ({ experiment, tags }) => experiments.includes(experiment) && tags.get(key) === value,
        );
        return found.length === 0 ? {} : { runs: found.slice(0, body.max_results as number).map(described) };
      }
      case 'POST runs/create':
        return { run: described(this.#create(body)) };
      case 'POST runs/update': {
        const run = this.#run(body.run_id);
        if (!['RUNNING', 'FINISHED', 'FAILED', 'KILLED'].includes(text(body.status)))
          throw invalid(`Invalid status: ${body.status}`);
        run.status = text(body.status);
        if (body.end_time !== undefined) run.endTime = body.end_time as number;
        return { run_info: described(run).info };
      }
      case 'POST runs/log-batch':
        return this.#log(this.#run(body.run_id), body);
      default:
        throw new Refusal(404, 'ENDPOINT_NOT_FOUND', endpoint);
    }
  }

  #create({ experiment_id, run_name, start_time, tags = [] }: Body): StoredRun {
    const experiment = text(experiment_id);
    if (![...this.experiments.values()].includes(experiment)) throw missing(`The experiment ${experiment}`);
    const run: StoredRun = {
      id: `run-${this.runs.length + 1}`,
      experiment,
      name: text(run_name),
      status: 'RUNNING',
      startTime: start_time as number,
      endTime: null,
      params: new Map(),
      tags: new Map((tags as Pair[]).map(({ key, value }) => [key, value])),
      metrics: [],
    };
    this.runs.push(run);
    return run;
  }

  #log(run: StoredRun, { metrics = [], params = [], tags = [] }: Body): object {
    const [newMetrics, newParams, newTags] = [metrics as Metric[], params as Pair[], tags as Pair[]];
    if (newMetrics.length > 1000) throw invalid('A batch logging request can contain at most 1000 metrics.');
    if (newParams.length > 100) throw invalid('A batch logging request can contain at most 100 params.');
    if (newTags.length > 100) throw invalid('A batch logging request can contain at most 100 tags.');
    if (newMetrics.length + newParams.length + newTags.length > 1000)
      throw invalid('A batch logging request can contain at most 1000 metrics, params and tags.');
    for (const { key, value } of newParams) {
      if (value.length > 500) throw invalid(`Param value of ${key} has more than 500 characters.`);
      if ((run.params.get(key) ?? value) !== value)
        throw invalid(`Changing param values is not allowed. Param with key='${key}' was already logged.`);
    }
    for (const { key, value, timestamp, step } of newMetrics) {
      const isWhole = Number.isInteger(timestamp) && Number.isInteger(step);
      if (!/^[\w\-. /]+$/.test(key) || typeof value !== 'number' || !isWhole)
        throw invalid(`Got invalid value for metric ${key}.`);
    }
    for (const { key, value } of newParams) run.params.set(key, value);
    for (const { key, value } of newTags) run.tags.set(key, value);
    const failure = newMetrics.length === 0 ? null : this.metricsBeforeFailure;
    run.metrics.push(...newMetrics.slice(0, failure ?? newMetrics.length));
    if (failure === null) return {};
    this.metricsBeforeFailure = null;
    throw new Refusal(500, 'INTERNAL_ERROR', 'The disk is gone');
  }

  #run(id: unknown): StoredRun {
    const run = this.runs.find((each) => each.id === id);
    if (run === undefined) throw missing(`The run ${id}`);
    return run;
  }
}

function text(value: unknown): string {
  if (typeof value === 'string') return value;
  throw invalid(`Not a string: ${JSON.stringify(value)}`);
}

/** As the API shows a run: of each metric, the point with the highest step. */
function described({ id, experiment, name, status, startTime, params, tags, metrics }: StoredRun) {
  const latest = new Map<string, Metric>();
  for (const metric of metrics) {
    const known = latest.get(metric.key);
    if (known === undefined || metric.step >= known.step) latest.set(metric.key, metric);
  }
  const pairs = (map: Map<string, string>) => [...map].map(([key, value]) => ({ key, value }));
  return {
    info: {
      run_id: id,
      run_name: name,
      experiment_id: experiment,
      status,
      start_time: startTime,
      lifecycle_stage: 'active',
    },
    data: { metrics: [...latest.values()], params: pairs(params), tags: pairs(tags) },
  };
}
