/** The thread that the engine lives in: a heartbeat is never late because a convolution is long. */
import assert from 'node:assert';
import { parentPort } from 'node:worker_threads';
import { describeError } from '../../shared/errors.ts';
import { Engine } from './engine.ts';
import type { EngineAnswer, EngineRequest } from './engine-client.ts';

const port = parentPort;
assert(port !== null, 'this file is started as a thread');

let engine: Engine | null = null;

function answerTo(request: EngineRequest): { value: unknown; transfer: ArrayBuffer[] } {
  if (engine === null) {
    assert(request.method === 'open');
    const [options, warmUp] = request.args;
    engine = new Engine(options);
    if (warmUp !== null) engine.warmUp(warmUp);
    const { numerics, notes, vectorLength } = engine;
    return plain({ numerics, notes, vectorLength, probe: engine.probe() });
  }
  switch (request.method) {
    case 'open':
      throw new assert.AssertionError({ message: 'the engine is open' });
    case 'load':
      return plain(engine.load(...request.args));
    case 'snapshot':
      return bytes(engine.snapshot());
    case 'stage':
      engine.stage(...request.args);
      return bytes(request.args[1]);
    case 'unstage':
      return plain(engine.unstage(...request.args));
    case 'computeShard': {
      const { scores, ...report } = engine.computeShard(...request.args);
      return plain({ ...scores, ...report });
    }
    case 'vectorBytes':
      return bytes(engine.vectorBytes(...request.args));
    case 'offerVector':
      return plain(engine.offerVector(...request.args));
    case 'reduce':
      return plain(engine.reduce(...request.args));
    case 'sliceBytes':
      return bytes(engine.sliceBytes(...request.args));
    case 'gather':
      return plain(engine.gather(...request.args));
    case 'apply':
      return plain(engine.apply(...request.args));
    case 'evaluate':
      return plain(engine.evaluate(...request.args));
    case 'features':
      return bytes(engine.features(...request.args));
    case 'vitals':
      return plain(engine.vitals());
  }
}

function plain(value: unknown): { value: unknown; transfer: ArrayBuffer[] } {
  return { value, transfer: [] };
}

function bytes(value: Uint8Array): { value: unknown; transfer: ArrayBuffer[] } {
  return { value, transfer: [value.buffer as ArrayBuffer] };
}

port.on('message', (request: EngineRequest & { id: number }) => {
  let answer: EngineAnswer;
  let transfer: ArrayBuffer[] = [];
  try {
    const done = answerTo(request);
    answer = { id: request.id, value: done.value };
    transfer = done.transfer;
  } catch (error) {
    answer = { id: request.id, error: describeError(error) };
  }
  port.postMessage(answer, transfer);
});
