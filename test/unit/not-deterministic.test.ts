/** What --no-deterministic changes outside of the GPUs. */
import test from 'ava';
import { changedOptions } from '../../coordinator/options/changes.ts';
import { factsOf } from '../../coordinator/watch/run-summary.ts';
import { buildModel } from '../../shared/models/family.ts';
import { configFormat, type RunConfig } from '../../shared/run-config.ts';
import { Computing } from '../helpers/computing.ts';
import { resultOf } from '../helpers/state.ts';

function configOf(deterministic: boolean): RunConfig {
  return {
    format: configFormat,
    run: 'r',
    version: '1',
    term: 1,
    backend: 'torch',
    threads: 1,
    numerics: null,
    result: resultOf(buildModel('Z', 1), { deterministic }),
    options: {
      epochs: 1,
      maxSteps: 3,
      dataPath: '/',
      trainList: null,
      valList: null,
      classes: null,
      exclude: null,
      startingFile: null,
      decodeThreads: 1,
      skipUnreadable: false,
      saveModelSeconds: 1,
      saveModelEpochs: 1,
      saveAt: null,
      saveValEpochs: 1,
      keepCheckpoints: 1,
      audit: 0,
      joinTimeout: 1,
      workerTimeout: 1,
      carrier: 'auto',
      tensorboard: false,
      localWorkers: { device: 'cpu', count: 1 },
    },
  };
}

test('a resume keeps the kernels of the run, and cannot give up what it promised', (t) => {
  const given = { outputPath: '', resume: true };
  const asked = { ...given, deterministic: false };
  t.deepEqual(changedOptions(asked, configOf(true)), [
    '--no-deterministic cannot change on resume: the run uses deterministic kernels, you passed any kernels.',
  ]);
  t.deepEqual(changedOptions(asked, configOf(false)), []);
  // Without the option, commander says true.
  for (const run of [true, false]) {
    t.deepEqual(changedOptions({ ...given, deterministic: true }, configOf(run)), []);
  }
});

test('a run that will not have the same bits says so at its start', (t) => {
  const start = {
    run: 'r',
    folder: '/',
    name: null,
    page: null,
    redis: 'a Redis',
    join: null,
    devices: ['cuda:0'],
  };
  const bits = (deterministic: boolean) =>
    factsOf({ ...start, config: configOf(deterministic) }).find(([name]) => name === 'bits')?.[1];
  t.regex(bits(false) ?? '', /NOT the same when repeated/);
  t.is(bits(true), undefined);
});

test('two vectors of one shard that differ end a run, unless it takes any kernel', (t) => {
  for (const deterministic of [true, false]) {
    const computing = new Computing(2, 2, undefined, { deterministic });
    const blob = (digest: string) => ({ name: 'blob', bytes: 64, digest, at: 'redis' });
    const scores = { loss: 1, top1: 0, top5: 0, count: 1 };
    computing.say('worker-0', { type: 'vector', step: 0, lane: 0, ref: blob('1'), ...scores });
    const actions = computing.say('worker-1', {
      type: 'vector',
      step: 0,
      lane: 0,
      ref: blob('2'),
      ...scores,
    });
    const end = actions.find((action) => action.type === 'finish');
    const code = end?.outcome === 'failed' ? end.failure.code : null;
    t.is(code, deterministic ? 'NOT_DETERMINISTIC' : null);
  }
});
