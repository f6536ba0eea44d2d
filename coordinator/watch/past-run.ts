/** The live page of a run as its files tell it, for a run that has ended, or one whose own page cannot be reached. */
import { stat } from 'node:fs/promises';
import { hostname } from 'node:os';
import { basename, join, resolve } from 'node:path';
import { type Route, respond } from '../../shared/process/http-server.ts';
import { labelsOf, type RunConfig, stepsPerEpoch, totalSteps } from '../../shared/run-config.ts';
import { quoteName } from '../../shared/util/printable.ts';
import { readRecords } from '../checkpoints/checkpoint-records.ts';
import { neededAfter, resumeCommand } from '../options/resume-command.ts';
import { runFiles } from '../run-folder/run-files.ts';
import { RunFolder } from '../run-folder/run-folder.ts';
import { loggedEvents } from '../run-folder/run-log.ts';
import { type FolderTraces, tracesOf } from '../run-folder/traces.ts';
import { elapsed } from '../view/format.ts';
import { type Health, healthOf } from '../view/health.ts';
import type { PageUpdate, RunView } from '../view/run-view.ts';
import { checkpointViews, viewOf } from '../view/view-of.ts';
import { History } from './history.ts';
import type { StartInfo } from './news.ts';
import { pageFactsOf } from './page-facts.ts';
import { eventMessage, eventStream, pageRoutes, shown } from './page-files.ts';

export class PastRun {
  readonly #folder: string;
  readonly #config: RunConfig;
  /** Of the metrics file as it was when it was read, because a long one takes a while. */
  #read: { key: string; history: Promise<History> } | null = null;

  private constructor(folder: string, config: RunConfig) {
    this.#folder = folder;
    this.#config = config;
  }

  /**
   * @param folder the run's
   * @throws CornetError RUN_MISSING, RUN_DAMAGED, OPTION_INVALID: it is an inference run
   */
  static async open(folder: string): Promise<PastRun> {
    const { config } = await RunFolder.peekTraining(folder);
    return new PastRun(folder, config);
  }

  /**
   * The page, and its event stream: one message with everything. The page asks again every few seconds.
   * @param address where all of this is served (`127.0.0.1:9464`)
   */
  routes(address: string): Route[] {
    const events: Route = {
      method: 'GET',
      path: '/events',
      handler: shown(async (_, response) => {
        const update = await this.update(address);
        response.writeHead(200, eventStream);
        response.end(eventMessage(update));
      }),
    };
    const away = shown((_, response) => respond(response, 409, 'This page shows the files of a run.\n'));
    const orders = ['checkpoint', 'drain', 'stop'].map(
      (name): Route => ({ method: 'POST', path: `/control/${name}`, handler: away }),
    );
    return [...pageRoutes(), events, ...orders];
  }

  /** Everything that the files say by now. */
  async update(address: string): Promise<PageUpdate> {
    const [traces, history] = await Promise.all([this.traces(), this.#history()]);
    const health = healthOfFiles(traces);
    const { validations, curve } = history;
    const more = neededAfter(traces.ended);
    return {
      facts: pageFactsOf({
        start: this.#startInfo(),
        startedAt: null,
        command: null,
        resume:
          health.word === 'STOPPED' && more !== null
            ? resumeCommand(this.#folder, this.#config, {}, more)
            : null,
        checkpointsPath: resolve(this.#path('checkpoints')),
        served: { address, host: hostname() },
        control: false,
      }),
      view: this.#view(traces, history),
      health,
      curve: { from: 0, points: curve.points },
      validations: [...validations],
      events: await loggedEvents(this.#path('log')),
      checkpoints: checkpointViews(await readRecords(this.#path('checkpoints'))),
      ended: this.#lastWords(health),
    };
  }

  traces(): Promise<FolderTraces> {
    return tracesOf(this.#folder, this.#config, { host: hostname(), now: Date.now(), unheard: 'no-redis' });
  }

  #path(name: keyof typeof runFiles): string {
    return join(this.#folder, runFiles[name]);
  }

  async #history(): Promise<History> {
    const path = this.#path('metrics');
    const found = await stat(path).catch(() => null);
    const key = found === null ? '' : `${found.ino} ${found.size} ${found.mtimeMs}`;
    if (this.#read?.key === key) return this.#read.history;
    const history = new History();
    const reading = found === null ? Promise.resolve(history) : history.read(path).then(() => history);
    this.#read = { key, history: reading };
    reading.catch(() => {
      this.#read = null;
    });
    return reading;
  }

  #view({ step, validation, checkpoint, best, kept, quiet }: FolderTraces, { last }: History): RunView {
    const steps = totalSteps(this.#config);
    const perEpoch = stepsPerEpoch(this.#config);
    const exchange = { carrier: null, why: null };
    const nobody = { generation: 0, exchange, workers: [], departed: [], stopping: null };
    return viewOf(
      { phase: 'finished', sentence: '', step, totalSteps: steps, ...nobody },
      this.#config,
      {
        coordinator: null,
        epoch: step / perEpoch,
        epochs: steps / perEpoch,
        ...(last ?? {}),
        validation,
        checkpoint,
        best,
        kept,
      },
      new Date(Date.now() - 1000 * quiet),
    );
  }

  #startInfo(): StartInfo {
    const { run, options } = this.#config;
    const { device, count } = options.localWorkers;
    return {
      run,
      name: labelsOf(this.#config).name,
      folder: this.#folder,
      config: this.#config,
      devices: Array.from({ length: count }, () => device),
      redis: options.redis ?? 'a private redis-server',
      page: null,
      join: null,
    };
  }

  #lastWords({ word }: Health): string {
    const name = quoteName(basename(this.#folder));
    if (word === 'COMPLETE' || word === 'STOPPED') return `Shown from the files in ${name}.`;
    return `Shown from the files in ${name}. The run is active: its own live page and \`coordinator status\` say more.`;
  }
}

/** Of a run that is active, files alone say only that. */
export function healthOfFiles(traces: FolderTraces): Health {
  const health = healthOf(null, 0, traces);
  if (health.word === 'STOPPED' || health.word === 'COMPLETE') return health;
  return { word: health.word, reasons: [`active; its files were written ${elapsed(traces.quiet)} ago`] };
}
