/**
 * TensorBoard's messages: Event (tensorboard/compat/proto/event.proto), Summary (summary.proto in the same folder), and
 * those of the hparams plugin (tensorboard/plugins/hparams/plugin_data.proto).
 */

import {
  bytes,
  double,
  float,
  integer,
  message,
  type Pieces,
  readMessage,
} from '../../shared/formats/proto.ts';
import type { Hyperparameter } from './hyperparameters.ts';
import type { Scalars } from './scalars.ts';

/** Seconds since 1970. */
type WallTime = number;

const tagOf = {
  images: 'train/images',
  sessionStart: '_hparams_/session_start_info',
  sessionEnd: '_hparams_/session_end_info',
} as const;

function event(wallTime: WallTime, step: number, ...what: Pieces[]): Buffer {
  return Buffer.concat(message(double(1, wallTime), integer(2, step), ...what));
}

/**
 * What every file begins with: its version, and the start of a session (SessionLog), at which a reader that has another
 * file of the run open drops what it knows from step 0 on, all of which follows.
 */
export function firstEvents(wallTime: WallTime): Buffer[] {
  const start = 1;
  return [event(wallTime, 0, bytes(3, 'brain.Event:2')), event(wallTime, 0, bytes(7, integer(1, start)))];
}

/** All scalars of one line: float32, as PyTorch's SummaryWriter has them. */
export function scalarEvent(wallTime: WallTime, { step, values }: Scalars): Buffer {
  const summary = values.map(({ tag, value }) => bytes(1, message(bytes(1, tag), float(2, value))));
  return event(wallTime, step, bytes(5, message(...summary)));
}

/** @param png a PNG file of three channels */
export function imageEvent(wallTime: WallTime, png: Buffer): Buffer {
  const [width, height] = [png.readUInt32BE(16), png.readUInt32BE(20)]; // of its first chunk, IHDR
  const image = message(integer(1, height), integer(2, width), integer(3, 3), bytes(4, png));
  return event(wallTime, 0, bytes(5, bytes(1, message(bytes(1, tagOf.images), bytes(4, image)))));
}

/** From here on the HPARAMS tab knows the run, and what it was begun with. */
export function sessionStartEvent(
  wallTime: WallTime,
  hyperparameters: ReadonlyMap<string, Hyperparameter>,
): Buffer {
  const map = [...hyperparameters].map(([name, value]) =>
    bytes(1, message(bytes(1, name), bytes(2, structValue(value)))),
  );
  return hparamsEvent(wallTime, tagOf.sessionStart, bytes(3, message(...map, double(5, wallTime))));
}

/** As tensorboard/plugins/hparams/hparams.proto numbers them. */
const status = { success: 1, failure: 2 } as const;

export function sessionEndEvent(wallTime: WallTime, outcome: keyof typeof status): Buffer {
  const info = message(integer(1, status[outcome]), double(2, wallTime));
  return hparamsEvent(wallTime, tagOf.sessionEnd, bytes(4, info));
}

/** A float of no dimension and without a value: hparams says all in the metadata, and every summary has a value. */
const nullTensor = message(integer(1, 1), bytes(2, ''));

function hparamsEvent(wallTime: WallTime, tag: string, pluginData: Pieces): Buffer {
  const metadata = bytes(1, message(bytes(1, 'hparams'), bytes(2, pluginData)));
  const value = message(bytes(1, tag), bytes(9, metadata), bytes(8, nullTensor));
  return event(wallTime, 0, bytes(5, bytes(1, value)));
}

/** google.protobuf.Value (google/protobuf/struct.proto). */
function structValue(value: Hyperparameter): Pieces {
  if (typeof value === 'number') return double(2, value);
  return typeof value === 'string' ? bytes(3, value) : integer(4, value ? 1 : 0);
}

/** What an event is of; `other`: not written by us. */
export interface EventFacts {
  readonly kind: Scalars['kind'] | 'version' | keyof typeof tagOf | 'other';
  readonly step: number;
}

export function eventFacts(data: Buffer): EventFacts {
  let [step, kind]: [number, EventFacts['kind']] = [0, 'other'];
  try {
    for (const { field, value } of readMessage(data)) {
      if (field === 2 && typeof value === 'number') step = value;
      if (field === 3) kind = 'version';
      if (field === 5 && typeof value !== 'number') kind = summaryKind(value);
    }
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
    return { kind: 'other', step: 0 };
  }
  return { kind, step };
}

function summaryKind(summary: Buffer): EventFacts['kind'] {
  for (const { value } of readMessage(summary)) {
    if (typeof value === 'number') return 'other';
    const name = [...readMessage(value)].find(({ field }) => field === 1)?.value.toString();
    for (const [kind, tag] of Object.entries(tagOf)) if (tag === name) return kind as keyof typeof tagOf;
    return name?.startsWith('train/') ? 'train' : name?.startsWith('validation/') ? 'validation' : 'other';
  }
  return 'other';
}
