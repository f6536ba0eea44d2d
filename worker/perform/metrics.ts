/** What Prometheus can read of a worker. */

import {
  counter,
  defineMetrics,
  duration,
  gauge,
  type Metrics,
  setTraffic,
} from '../../shared/process/metrics.ts';
import type { Carriers } from '../../shared/wire/carriers.ts';
import type { CarrierName, Numerics } from '../../shared/wire/protocol.ts';
import type { ShardLoader } from '../data/prefetch.ts';
import type { Vitals } from '../engine/engine.ts';
import type { ShardReport } from '../engine/engine-client.ts';
import { Speed } from './speed.ts';

const specs = {
  worker_info: gauge(
    'Always 1; its labels say with what a worker computes, and where.',
    'device',
    'processor',
    'backend',
    'host',
  ),
  worker_step: gauge('The step whose state the worker holds; absent while it holds none.'),
  worker_phase_seconds: duration(
    'Time per phase of a step: data (waiting for images), upload, forward, backward, publish (putting a vector or slice ' +
      "up), fetch_vectors (the other lanes' parts), reduce, fetch_slices (the other members' slices), apply.",
    'phase',
  ),
  worker_shards_total: counter('Shards computed, by lane.', 'lane'),
  worker_shard_seconds_total: counter('Time on the device for these shards, by lane.', 'lane'),
  worker_images_total: counter(
    'Images trained on, and images used for inference (validation, features).',
    'use',
  ),
  worker_decoded_images_total: counter('Images read from files and decoded.'),
  worker_read_bytes_total: counter('Size of these files.'),
  worker_shards_ahead: gauge('Shards whose images are loaded before they are asked for.'),
  worker_tensors: gauge('Tensors alive: constant between steps, unless something leaks.'),
  worker_tensor_bytes: gauge('Memory of these tensors.'),
  device_memory_used_bytes: gauge('GPU memory in use, by any process; absent on the CPU.'),
  device_memory_total_bytes: gauge('Memory of the GPU; absent on the CPU.'),
  device_utilization_ratio: gauge(
    'Part of the time in which the GPU was at work, as nvidia-smi says; absent where there is none.',
  ),
  exchange_bytes_total: counter(
    'Bytes of vectors, slices and snapshots that this process has published or read.',
    'direction',
    'carrier',
  ),
  exchange_seconds: duration(
    "Time of an exchange, from the order to sum a slice until the other members' slices are there, by the carrier of the " +
      'vectors that were fetched.',
    'carrier',
  ),
  redis_roundtrip_seconds: duration(
    'Time that Redis takes to answer a small question, asked at each heartbeat.',
  ),
};

export type StepPhase =
  | 'data'
  | 'upload'
  | 'forward'
  | 'backward'
  | 'publish'
  | 'fetch_vectors'
  | 'reduce'
  | 'fetch_slices'
  | 'apply';

/** Defined without a worker, so that they can be listed. */
export function defineWorkerMetrics(metrics: Metrics) {
  return defineMetrics(metrics.registry, specs);
}

export interface WorkerMetricsOptions {
  metrics: Metrics;
  run: string;
  host: string;
  device: string;
  numerics: Numerics;
  /** Does its run train? If not, it is there for what goes through the model without. */
  trains: boolean;
  /** Milliseconds, monotonic. */
  now: () => number;
}

/** Where the values come from that are only looked at when somebody reads. */
export interface WorkerSources {
  step: () => number | null;
  blobs: Pick<Carriers, 'published' | 'read'>;
  loader: Pick<ShardLoader, 'decoded' | 'ready'>;
  /** Asks the engine; it answers when it has time. */
  vitals: () => Promise<Vitals>;
  /** Part of the time in which the GPU was at work, or null. */
  utilization: () => number | null;
}

export class WorkerMetrics {
  readonly #all: ReturnType<typeof defineWorkerMetrics>;
  readonly #metrics: Metrics;
  readonly #run: string;
  readonly #now: () => number;
  readonly #trains: boolean;
  readonly #speed: Speed;
  #images = 0;
  #asking = false;

  constructor({ metrics, run, host, device, numerics, trains, now }: WorkerMetricsOptions) {
    this.#metrics = metrics;
    this.#run = run;
    this.#now = now;
    this.#trains = trains;
    this.#speed = new Speed(now);
    this.#all = defineWorkerMetrics(metrics);
    const { backend, processor } = numerics;
    this.#all.worker_info.set({ device, processor, backend, host }, 1);
  }

  /** Images computed, whatever for. */
  get images(): number {
    return this.#images;
  }

  /** Of what the run is there for, lately: those of a validation do not train. Null: not known yet. */
  get imagesPerSecond(): number | null {
    return this.#speed.imagesPerSecond;
  }

  /** The worker goes by this id from now on. */
  named(worker: string): void {
    this.#metrics.registry.setDefaultLabels({ run: this.#run, worker });
  }

  /** Passes the work on and counts how long it took, if it succeeded. */
  async timing<T>(phase: StepPhase, work: Promise<T>): Promise<T> {
    const since = this.#now();
    const result = await work;
    this.#phase(phase, (this.#now() - since) / 1000);
    return result;
  }

  /** An exchange with other members, in seconds. */
  exchanged(carrier: CarrierName, seconds: number): void {
    this.#all.exchange_seconds.observe({ carrier }, seconds);
  }

  /** The same for a small question to Redis. */
  async askingRedis<T>(question: Promise<T>): Promise<T> {
    const since = this.#now();
    const answer = await question;
    this.#all.redis_roundtrip_seconds.observe((this.#now() - since) / 1000);
    return answer;
  }

  computed(lane: number, { count, seconds }: ShardReport): void {
    const { upload, forward, backward } = seconds;
    this.#phase('upload', upload);
    this.#phase('forward', forward);
    this.#phase('backward', backward);
    this.#all.worker_shards_total.inc({ lane });
    this.#all.worker_shard_seconds_total.inc({ lane }, upload + forward + backward);
    this.#all.worker_images_total.inc({ use: 'training' }, count);
    this.#images += count;
    this.#speed.computed(count);
  }

  /** A batch of a round went through the model, without training. */
  tried(images: number): void {
    this.#all.worker_images_total.inc({ use: 'inference' }, images);
    this.#images += images;
    if (!this.#trains) this.#speed.computed(images);
  }

  readFrom({ step, blobs, loader, vitals, utilization }: WorkerSources): void {
    const all = this.#all;
    this.#metrics.beforeReading(() => {
      set(all.worker_step, step());
      set(all.device_utilization_ratio, utilization());
      all.worker_decoded_images_total.reset();
      all.worker_decoded_images_total.inc(loader.decoded.images);
      all.worker_read_bytes_total.reset();
      all.worker_read_bytes_total.inc(loader.decoded.bytes);
      all.worker_shards_ahead.set(loader.ready);
      setTraffic(all.exchange_bytes_total, blobs);
      this.#ask(vitals);
    });
  }

  /** The engine may be in the middle of a step of minutes: nobody waits for it, its answer stands in the next reading. */
  #ask(vitals: WorkerSources['vitals']): void {
    if (this.#asking) return;
    this.#asking = true;
    const answered = vitals().then(({ tensors, tensorBytes, deviceUsed, deviceTotal }) => {
      this.#all.worker_tensors.set(tensors);
      this.#all.worker_tensor_bytes.set(tensorBytes);
      set(this.#all.device_memory_used_bytes, deviceUsed);
      set(this.#all.device_memory_total_bytes, deviceTotal);
    });
    // An engine that is gone ends the worker by itself, with its reason.
    answered
      .catch(() => undefined)
      .finally(() => {
        this.#asking = false;
      });
  }

  #phase(phase: StepPhase, seconds: number): void {
    this.#all.worker_phase_seconds.observe({ phase }, seconds);
  }
}

/** What is not known is absent, not zero. */
function set(metric: ReturnType<typeof defineWorkerMetrics>['worker_step'], value: number | null): void {
  if (value === null) metric.remove();
  else metric.set(value);
}
