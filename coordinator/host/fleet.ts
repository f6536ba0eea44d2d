/** The local workers: one process per device, started again with back-off when one dies. */
import { type ChildProcess, spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import { fleet as limits, timeouts } from '../../shared/defaults.ts';
import { type PortRange, writePorts } from '../../shared/util/port-range.ts';
import type { NoteToParent, NoteToWorker } from '../../shared/wire/protocol.ts';
import { isNoise } from '../run-folder/tensorflow-noise.ts';
import { workerScript } from './worker-command.ts';

export interface FleetOptions {
  run: string;
  /** One process each: `cpu`, `cuda:0`, … */
  devices: readonly string[];
  /** Where they serve their metrics; undefined: for this machine only. */
  metricsHost: string | undefined;
  /** Where they serve gradients to other hosts, and on which ports; undefined: as they choose. */
  blobHost: string | undefined;
  blobPorts: PortRange | undefined;
  environment: (device: string) => NodeJS.ProcessEnv;
  /** Every line that a worker prints. */
  line: (text: string) => void;
  /** A process ended; `worker` is the id by which it last went, or null when it had none yet. */
  exited: (worker: string | null, reason: string) => void;
  /** A worker ended before it could join, and is started again. */
  endedEarly: (device: string, lastWords: string) => void;
  /** Nobody can join at the moment, and it is no worker's fault: Redis is away. */
  nobodyCanJoin: () => boolean;
  /** A worker ended again and again before it could join: nobody takes its post any more; `left` are still manned. */
  givenUp: (post: { device: string; lastWords: string; left: number }) => void;
}

interface Post {
  readonly device: string;
  process: ChildProcess | null;
  worker: string | null;
  /** Nobody takes the post after this process. */
  retired: boolean;
  /** Whether it has loaded a snapshot: one that was refused never does. */
  joined: boolean;
  /** How often in a row it ended before it had joined. */
  failures: number;
  lastWords: string[];
}

export class Fleet {
  readonly #options: FleetOptions;
  readonly #posts: Post[];
  #stopping = false;

  constructor(options: FleetOptions) {
    this.#options = options;
    this.#posts = options.devices.map((device) => ({
      device,
      process: null,
      worker: null,
      retired: false,
      joined: false,
      failures: 0,
      lastWords: [],
    }));
  }

  start(): void {
    for (const post of this.#posts) this.#spawn(post);
  }

  /** When this worker's process ends, no other takes its post. */
  retire(worker: string): void {
    for (const post of this.#posts) if (post.worker === worker) post.retired = true;
  }

  /** Lets the workers leave, forcibly after `timeouts.stop`; one that still starts up ends at once. */
  async stop(): Promise<void> {
    this.#stopping = true;
    const living = this.#posts.flatMap((post) => post.process ?? []);
    const ends = living.map((child) => new Promise<void>((resolve) => child.once('close', () => resolve())));
    const note: NoteToWorker = { leave: 'order', reason: 'the run is over' };
    for (const child of living) child.send(note, () => undefined); // it may be gone already
    const grace = sleep(timeouts.stop, 'late', { ref: false });
    if ((await Promise.race([Promise.all(ends), grace])) !== 'late') return;
    for (const child of living) child.kill('SIGKILL');
    await Promise.all(ends);
  }

  /** Ends all workers at once. */
  kill(): void {
    this.#stopping = true;
    for (const post of this.#posts) post.process?.kill('SIGKILL');
  }

  #spawn(post: Post): void {
    if (this.#stopping) return;
    const { run, metricsHost, blobHost, blobPorts, environment } = this.#options;
    const argv = [workerScript, 'start', '--run', run, '--device', post.device];
    if (metricsHost !== undefined) argv.push('--metrics-host', metricsHost);
    if (blobHost !== undefined) argv.push('--blob-host', blobHost);
    if (blobPorts !== undefined) argv.push('--blob-ports', writePorts(blobPorts));
    // Detached: Ctrl-C in the terminal reaches only the coordinator. When that dies, the IPC channel closes.
    const child = spawn(process.execPath, argv, {
      env: environment(post.device),
      detached: true,
      stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
    });
    post.process = child;
    post.worker = null;
    post.joined = false;
    post.lastWords = [];
    for (const stream of [child.stdout, child.stderr]) {
      if (!stream) continue; // where no file can be opened, there are no pipes, and the process ends at once
      createInterface({ input: stream }).on('line', (text) => {
        if (stream === child.stderr && !isNoise(text))
          post.lastWords = [...post.lastWords, text].slice(-limits.lastWords);
        this.#options.line(text);
      });
    }
    child.on('message', (note: NoteToParent) => {
      if ('worker' in note) {
        post.worker = note.worker;
      } else {
        post.joined = true;
        post.failures = 0;
      }
    });
    child.on('error', (error) => post.lastWords.push(error.message));
    child.on('close', (code, signal) =>
      this.#ended(post, signal === null ? `exit code ${code}` : `killed by ${signal}`),
    );
  }

  #ended(post: Post, how: string): void {
    const { worker } = post;
    post.process = null;
    post.worker = null;
    if (this.#stopping) return;
    this.#options.exited(worker, `its process ended (${how})`);
    if (post.retired) return;
    const excused = this.#options.nobodyCanJoin();
    if (!post.joined && !excused) post.failures++;
    const lastWords = post.lastWords.join(' ').replace(/^error: /, '') || how;
    if (!excused && post.failures >= limits.failures) {
      post.retired = true;
      const left = this.#posts.filter(({ retired }) => !retired).length;
      return this.#options.givenUp({ device: post.device, lastWords, left });
    }
    if (!post.joined && !excused && post.lastWords.length > 0)
      this.#options.endedEarly(post.device, lastWords);
    const doublings = post.joined ? 0 : excused ? limits.failures : post.failures;
    const pause = limits.backOff * 2 ** doublings;
    setTimeout(() => this.#spawn(post), pause);
  }
}
