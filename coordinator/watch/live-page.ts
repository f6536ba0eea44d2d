/** The live page of a run: a few static files, an event stream that keeps them up to date, and orders. */
import { readFileSync } from 'node:fs';
import type { ServerResponse } from 'node:http';
import { join } from 'node:path';
import { livePage as limits } from '../../shared/defaults.ts';
import { type HttpHandler, type Route, respond } from '../../shared/process/http-server.ts';
import type { HttpReply } from '../../shared/process/own-host.ts';
import { packageRoot } from '../../shared/process/package-root.ts';
import type { Checkpoints } from '../checkpoints/checkpoints.ts';
import type { RunEvent } from '../protocol/run-events.ts';
import type { CheckpointView, PageUpdate, RunFacts, RunView } from '../view/run-view.ts';
import { whyNotObeyed } from './guard.ts';
import type { RunNews } from './news.ts';
import type { RunViewer, Watch } from './watch.ts';

/** Nothing from anywhere else, no script or style inside the page, in nobody's frame. */
const policy = [
  "default-src 'none'",
  "script-src 'self'",
  "style-src 'self'",
  "connect-src 'self'",
  'img-src data:',
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'none'",
].join('; ');

const modules = [
  ...['page', 'state', 'figures', 'curves', 'chart', 'lines', 'shares', 'workers', 'records', 'control'],
  ...['phases', 'times', 'copy', 'dom'],
];

/** Where each file is served, and where it lies: sources, or what was compiled for the browser. */
type StaticFile = [path: string, type: string, ...file: string[]];
const files: StaticFile[] = [
  ['/', 'text/html', 'coordinator', 'watch', 'page', 'index.html'],
  ...['page', 'chart', 'cards'].map(
    (name): StaticFile => [
      `/watch/page/${name}.css`,
      'text/css',
      ...['coordinator', 'watch', 'page', `${name}.css`],
    ],
  ),
  ...modules.map(
    (name): StaticFile => [
      `/watch/page/${name}.js`,
      'text/javascript',
      ...['dist', 'coordinator', 'watch', 'page', `${name}.js`],
    ],
  ),
  ['/view/format.js', 'text/javascript', 'dist', 'coordinator', 'view', 'format.js'],
  ['/view/health.js', 'text/javascript', 'dist', 'coordinator', 'view', 'health.js'],
  ['/shared/defaults.js', 'text/javascript', 'dist', 'shared', 'defaults.js'],
];

export interface LivePageOptions {
  watch: Watch;
  checkpoints: Pick<Checkpoints, 'records' | 'best'>;
  facts: RunFacts;
  /** Opens the orders; null: there are none. */
  token: string | null;
  tell: (event: RunEvent) => void;
}

export class LivePage implements RunViewer {
  readonly #options: LivePageOptions;
  readonly #clients = new Set<ServerResponse>();
  /** What has changed since the last message. */
  readonly #changed = new Set<'events' | 'validations' | 'checkpoints'>();

  constructor(options: LivePageOptions) {
    this.#options = options;
  }

  get routes(): Route[] {
    const pages = files.map(([path, type, ...file]): Route => {
      const body = readFileSync(join(packageRoot, ...file));
      const handler = this.#shown((_, response) => respond(response, 200, body, `${type}; charset=utf-8`));
      return { method: 'GET', path, handler };
    });
    return [
      ...pages,
      { method: 'GET', path: '/events', handler: this.#shown((_, response) => this.#stream(response)) },
      this.#order('checkpoint', () => {
        this.#options.tell({ type: 'save-due' });
        return { status: 202, reason: 'A checkpoint is written after this step.' };
      }),
      this.#order('drain', (url) => this.#drain(url.searchParams.get('worker') ?? '')),
      this.#order('stop', () => {
        this.#options.watch.say('Stopping after a checkpoint, as the live page was told.');
        this.#options.tell({ type: 'stop', reason: 'asked to on the live page' });
        return { status: 202, reason: 'The run stops after this step and a checkpoint.' };
      }),
    ];
  }

  news(news: RunNews, view: () => RunView): void {
    if (news.type === 'event') this.#changed.add('events');
    if (news.type === 'validation') this.#changed.add('validations');
    if (news.type === 'checkpoint') this.#changed.add('checkpoints');
    if (news.type === 'end') this.close(news.message, view);
  }

  /** Takes leave of all that look, with the last words of the run. */
  close(ended: string, view: () => RunView, failed = false): void {
    this.#send({ ...this.#update(view()), ended, failed });
    for (const client of this.#clients) client.end();
  }

  tick(view: () => RunView): void {
    if (this.#clients.size > 0) this.#send(this.#update(view()));
  }

  end(): void {}

  /** Whoever comes gets the whole, and from then on what changes. */
  #stream(response: ServerResponse): void {
    if (this.#clients.size >= limits.clients) {
      return respond(response, 503, 'Too many pages of this run are open.\n');
    }
    response.writeHead(200, {
      'Content-Type': 'text/event-stream',
      'Cache-Control': 'no-store',
      'X-Accel-Buffering': 'no', // for nginx
      'X-Content-Type-Options': 'nosniff',
    });
    response.on('close', () => this.#clients.delete(response));
    const { watch } = this.#options;
    const whole: PageUpdate = {
      facts: this.#options.facts,
      view: watch.view(),
      curve: { from: 0, points: watch.curve.points },
      validations: [...watch.validations],
      events: [...watch.events],
      checkpoints: this.#checkpoints(),
    };
    response.write(`retry: ${limits.retry}\n${message(whole)}`);
    this.#clients.add(response);
  }

  #update(view: RunView): PageUpdate {
    const { watch } = this.#options;
    const update: PageUpdate = { view, curve: watch.curve.changes() };
    if (this.#changed.has('events')) update.events = [...watch.events];
    if (this.#changed.has('validations')) update.validations = [...watch.validations];
    if (this.#changed.has('checkpoints')) update.checkpoints = this.#checkpoints();
    this.#changed.clear();
    return update;
  }

  #send(update: PageUpdate): void {
    const text = message(update);
    for (const client of this.#clients) {
      // Who does not read gets nothing more: its browser asks again, and begins with the whole.
      if (client.writableLength > limits.unread) client.destroy();
      else client.write(text);
    }
  }

  #checkpoints(): CheckpointView[] {
    const { records, best } = this.#options.checkpoints;
    return records.map(({ file, step, kept, validation }) => ({
      file,
      step,
      kept,
      best: best?.file === file,
      top1: validation?.top1 ?? null,
    }));
  }

  #drain(worker: string): HttpReply {
    const { watch, tell } = this.#options;
    const { workers } = watch.view();
    if (!workers.some(({ id }) => id === worker)) {
      return { status: 404, reason: 'There is no such worker (any more).' };
    }
    if (workers.length === 1) {
      return { status: 409, reason: 'It is the only worker: stop the run instead.' };
    }
    tell({ type: 'drain', worker });
    return { status: 202, reason: 'The worker leaves after this step.' };
  }

  #order(name: string, obey: (url: URL) => HttpReply): Route {
    const handler = this.#shown(({ message: { headers }, url }, response) => {
      const { status, reason } = whyNotObeyed(headers, this.#options.token) ?? obey(url);
      if (status === 401) response.setHeader('WWW-Authenticate', 'Bearer');
      respond(response, status, `${reason}\n`);
    });
    return { method: 'POST', path: `/control/${name}`, handler };
  }

  /** What a browser must know of the page. */
  #shown(handler: HttpHandler): HttpHandler {
    return (request, response) => {
      response.setHeader('Content-Security-Policy', policy);
      response.setHeader('Referrer-Policy', 'no-referrer');
      response.setHeader('Cross-Origin-Resource-Policy', 'same-origin');
      return handler(request, response);
    };
  }
}

function message(update: PageUpdate): string {
  return `data: ${JSON.stringify(update)}\n\n`;
}
