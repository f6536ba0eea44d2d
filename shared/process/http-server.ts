/** A small HTTP server over node:http: what the coordinator and every worker show of themselves goes through it. */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import { hostname } from 'node:os';
import { http as limits } from '../defaults.ts';
import { CornetError } from '../errors.ts';
import { inUrl } from '../util/host-address.ts';
import { whyNotOwnHost } from './own-host.ts';

interface HttpRequest {
  readonly message: IncomingMessage;
  /** The path and query asked for; its host is what the client wrote and proves nothing. */
  readonly url: URL;
}

/** Answers a request. What it throws becomes status 500 and goes to `failed`; it never ends the process. */
export type HttpHandler = (request: HttpRequest, response: ServerResponse) => void | Promise<void>;

export interface Route {
  /** GET answers HEAD as well. */
  readonly method: 'GET' | 'POST';
  /** Exact, as in `/metrics`. */
  readonly path: string;
  readonly handler: HttpHandler;
}

/**
 * Serves a table of exact paths; anything else gets 404 or 405. The port is taken first, so that a command can be
 * refused before it has done anything; until `serve` has said what there is, every answer is 503. Everything but
 * `/healthz`, which tells nothing, is for those who ask for this machine by a name that is its own.
 */
export class HttpServer {
  readonly #server: Server;
  readonly #host: string;
  readonly #names: readonly string[];
  #failed: (path: string, error: unknown) => void = () => undefined;
  #routes: readonly Route[] | null = null;
  /** In the order in which they fell idle; `busy` are those with a request under way. */
  readonly #connections = new Set<Socket>();
  readonly #busy = new Set<Socket>();

  private constructor(host: string) {
    this.#host = host;
    this.#names = [hostname(), host];
    this.#server = createServer(
      { headersTimeout: limits.request, requestTimeout: limits.request },
      (message, response) => void this.#answer(message, response),
    );
    this.#server.on('connection', (socket: Socket) => this.#accept(socket));
  }

  /**
   * @param host a name or address of this machine
   * @param port 0: any that is free
   * @throws CornetError PORT_UNAVAILABLE
   */
  static async listen(host: string, port: number): Promise<HttpServer> {
    const http = new HttpServer(host);
    await new Promise<void>((resolve, reject) => {
      http.#server.once('error', (error) => reject(cannotListen(error, host, port)));
      http.#server.listen({ host, port }, resolve);
    });
    http.#server.removeAllListeners('error');
    // A connection that cannot be accepted (too many open files) is the client's loss, not the run's.
    http.#server.on('error', (error) => http.#failed('', error));
    return http;
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  /** `host:port`, as a URL has it. */
  get address(): string {
    return `${inUrl(this.#host)}:${this.port}`;
  }

  /**
   * Besides these routes `/healthz` answers, for whoever restarts a process that hangs.
   * @param failed hears of handlers that threw
   */
  serve(routes: readonly Route[], failed: (path: string, error: unknown) => void): void {
    this.#routes = [...routes, health];
    this.#failed = failed;
  }

  /**
   * `host:port` for others.
   * @param seen a name or address by which they reach this machine: counts where the server listens on all of them
   */
  addressFor(seen: string): string {
    if (this.#host !== '0.0.0.0' && this.#host !== '::') return this.address;
    return `${inUrl(seen)}:${this.port}`;
  }

  /** Ends at once; answers that are under way (an event stream) are cut off. */
  async close(): Promise<void> {
    const closed = new Promise((resolve) => this.#server.close(resolve));
    this.#server.closeAllConnections();
    await closed;
  }

  /** There is always a place for one more: who has been idle for longest loses his. */
  #accept(socket: Socket): void {
    this.#connections.add(socket);
    socket.once('close', () => this.#connections.delete(socket));
    if (this.#connections.size <= limits.connections) return;
    const [oldest] = this.#connections;
    const idle = [...this.#connections].find((one) => !this.#busy.has(one));
    (idle ?? oldest)!.destroy();
  }

  #occupy(socket: Socket, response: ServerResponse): void {
    this.#busy.add(socket);
    response.once('close', () => {
      this.#busy.delete(socket);
      if (this.#connections.delete(socket)) this.#connections.add(socket);
    });
  }

  async #answer(message: IncomingMessage, response: ServerResponse): Promise<void> {
    this.#occupy(message.socket, response);
    response.on('error', () => undefined); // the client went away
    if (this.#routes === null) return respond(response, 503, 'Starting.\n');
    const target = `http://host${message.url}`;
    const url = URL.canParse(target) ? new URL(target) : null;
    const routes = this.#routes.filter(({ path }) => path === url?.pathname);
    if (url === null || routes.length === 0) return respond(response, 404, 'Not found.\n');
    const method = message.method === 'HEAD' ? 'GET' : message.method;
    const handler = routes.find((route) => route.method === method)?.handler;
    const refusal = handler === health.handler ? null : whyNotOwnHost(message.headers, this.#names);
    if (refusal !== null) return respond(response, refusal.status, `${refusal.reason}\n`);
    if (handler === undefined) {
      response.setHeader('Allow', routes.map((route) => route.method).join(', '));
      return respond(response, 405, 'Method not allowed.\n');
    }
    try {
      await handler({ message, url }, response);
    } catch (error) {
      this.#failed(url.pathname, error);
      if (response.headersSent) response.destroy();
      else respond(response, 500, 'Something went wrong; the log of the run says what.\n');
    }
  }
}

const health: Route = {
  method: 'GET',
  path: '/healthz',
  handler: (_, response) => respond(response, 200, 'ok\n'),
};

/** A whole answer in one go; by default plain text. */
export function respond(
  response: ServerResponse,
  status: number,
  body: string | Uint8Array,
  contentType = 'text/plain; charset=utf-8',
): void {
  response.writeHead(status, {
    'Content-Type': contentType,
    'Content-Length': Buffer.byteLength(body),
    'Cache-Control': 'no-store',
    'X-Content-Type-Options': 'nosniff',
  });
  response.end(body);
}

function cannotListen(error: NodeJS.ErrnoException, host: string, port: number): CornetError {
  const reason =
    error.code === 'EADDRINUSE' ? 'another program listens there' : (error.code ?? error.message);
  return new CornetError('PORT_UNAVAILABLE', `Port ${port} of ${host} cannot be used: ${reason}.`, {
    cause: error,
  });
}
