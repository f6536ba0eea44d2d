/** The files of the live page, and what a browser must know of every answer. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { type HttpHandler, type Route, respond } from '../../shared/process/http-server.ts';
import { packageRoot } from '../../shared/process/package-root.ts';
import type { PageUpdate } from '../view/run-view.ts';

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
  ...[
    'page',
    'state',
    'figures',
    'curves',
    'smooth',
    'chart',
    'lines',
    'shares',
    'workers',
    'records',
    'control',
  ],
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
  ['/protocol/phase.js', 'text/javascript', 'dist', 'coordinator', 'protocol', 'phase.js'],
  ['/view/axis.js', 'text/javascript', 'dist', 'coordinator', 'view', 'axis.js'],
  ['/view/exchange-words.js', 'text/javascript', 'dist', 'coordinator', 'view', 'exchange-words.js'],
  ['/view/format.js', 'text/javascript', 'dist', 'coordinator', 'view', 'format.js'],
  ['/view/health.js', 'text/javascript', 'dist', 'coordinator', 'view', 'health.js'],
  ['/view/hosts.js', 'text/javascript', 'dist', 'coordinator', 'view', 'hosts.js'],
  ['/shared/defaults.js', 'text/javascript', 'dist', 'shared', 'defaults.js'],
  ['/shared/util/gigabytes.js', 'text/javascript', 'dist', 'shared', 'util', 'gigabytes.js'],
  ['/shared/util/round-epoch.js', 'text/javascript', 'dist', 'shared', 'util', 'round-epoch.js'],
];

/** The routes of the page itself; it asks for `/events` besides (`eventStream`). */
export function pageRoutes(): Route[] {
  return files.map(([path, type, ...file]): Route => {
    const body = readFileSync(join(packageRoot, ...file));
    const handler = shown((_, response) => respond(response, 200, body, `${type}; charset=utf-8`));
    return { method: 'GET', path, handler };
  });
}

/** What is shown in a browser carries the page's security headers. */
export function shown(handler: HttpHandler): HttpHandler {
  return (request, response) => {
    response.setHeader('Content-Security-Policy', policy);
    response.setHeader('Referrer-Policy', 'no-referrer');
    response.setHeader('Cross-Origin-Resource-Policy', 'same-origin');
    return handler(request, response);
  };
}

export const eventStream = {
  'Content-Type': 'text/event-stream',
  'Cache-Control': 'no-store',
  'X-Accel-Buffering': 'no', // for nginx
  'X-Content-Type-Options': 'nosniff',
} as const;

/** One message of the event stream. */
export function eventMessage(update: PageUpdate): string {
  return `data: ${JSON.stringify(update)}\n\n`;
}
