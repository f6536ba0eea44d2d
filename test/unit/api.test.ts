/** The public surface, and what a call checks before anything begins. */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import test, { type TestFn } from 'ava';
import { CornetError, extractFeatures, models, train, validate } from '../../coordinator/api/index.ts';
import { handleOf } from '../../coordinator/api/run-handle.ts';
import { Interruption } from '../../coordinator/conduct/interruption.ts';
import { commandLineOf } from '../../coordinator/options/command-line.ts';
import { checkOptions } from '../../coordinator/options/given-options.ts';
import { atExit } from '../../shared/util/at-exit.ts';
import { apiOptions, apiOptionsPath } from '../../tools/api-options.ts';
import { apiReference, hasTypedoc, references } from '../../tools/api-reference.ts';
import { possible } from '../helpers/possible.ts';
import { temporaryFolder } from '../helpers/temporary.ts';

const documented = (
  possible(hasTypedoc, 'typedoc is not installed (deploy/setup.sh --tests does it)') ? test : test.skip
) as TestFn;

for (const reference of references) {
  documented(`what the package exports is what ${reference.path} says (npm run docs:api)`, (t) => {
    t.deepEqual(apiReference(reference).split('\n'), readFileSync(reference.path, 'utf8').split('\n'));
  });
}

test('the options of the API are those of the table (npm run docs:api)', (t) => {
  const words = (text: string) => text.split(/[\s*|]+/); // Biome breaks the lines
  t.deepEqual(words(readFileSync(apiOptionsPath, 'utf8')), words(apiOptions()));
});

const start = (given: object) => checkOptions('start', { outputPath: 'x', ...given });

test('options are held to the bounds of the command line, by the names that a program gives them', (t) => {
  const refused = (given: object, message: string) =>
    t.throws(() => start(given), { instanceOf: CornetError, code: 'OPTION_INVALID', message });
  refused({ batchSize: 0 }, 'batchSize must be a whole number of at least 1, not 0.');
  refused({ batchSize: '8' }, "batchSize must be a whole number of at least 1, not '8'.");
  refused(
    { model: 'T' },
    'model must be one of Z, R, RT, S, or a file that defines a model (.ts, .js), not T.',
  );
  refused({ resume: 'yes' }, "resume must be true or false, not 'yes'.");
  refused({ mean: [1, 2] }, 'mean must be 3 values in an array, each a number, not [ 1, 2 ].');
  refused({ freeze: 'V1' }, "freeze must be names in an array, not 'V1'.");
  refused({ epochs: Number.NaN }, 'epochs must be a number greater than 0, not NaN.');
  refused({ epochs: 1n }, 'epochs must be a number greater than 0, not 1n.');
  refused(
    { mean: new Float32Array(3) },
    'mean must be 3 values in an array, each a number, not Float32Array(3) [ 0, 0, 0 ].',
  );
  const itself: Record<string, unknown> = {};
  itself.itself = itself;
  refused({ freeze: itself }, 'freeze must be names in an array, not <ref *1> { itself: [Circular *1] }.');
  refused({ seed: null }, 'seed must be a whole number of at least 0 and at most 4294967295, not null.');
  t.throws(() => start({ dataPath: 'a\0b' }), { message: /^dataPath: .* has a character of code 0/ });
  const error = refused({ bachSize: 8 }, 'There is no option bachSize.');
  t.is(error?.hint, 'Nearest names: batchSize, imageSize, stepSize.');
  refused({ json: true }, 'There is no option json.');
  t.throws(() => checkOptions('start', {}), { message: 'outputPath is missing.' });
});

test('what is no object, and what is no signal, is refused in words, and nothing is thrown at once', async (t) => {
  const calls = [train, validate, extractFeatures] as ((options: unknown) => Promise<unknown>)[];
  for (const call of calls) {
    for (const options of [undefined, null, 5, 'x', [], () => undefined]) {
      await t.throwsAsync(call(options), {
        instanceOf: CornetError,
        code: 'OPTION_INVALID',
        message: 'The options must be an object: { outputPath: … }.',
      });
    }
    const error = await t.throwsAsync(
      call({ outputPath: 'x', dataPath: 'y', signal: new AbortController() }),
      { instanceOf: CornetError, message: 'signal must be an AbortSignal.' },
    );
    t.is(error?.hint, 'Of an AbortController it is controller.signal.');
  }
});

test.serial(
  'many runs may listen to one signal, and to the exit of the process, without a warning',
  async (t) => {
    const warnings: string[] = [];
    const listen = (warning: Error) => warnings.push(warning.message);
    process.on('warning', listen);
    t.teardown(() => process.off('warning', listen));
    const stopping = new AbortController();
    const asked: string[] = [];
    const interruptions = Array.from({ length: 20 }, () => Interruption.onAbort(stopping.signal));
    for (const one of interruptions) one.onAsked(({ reason }) => asked.push(reason));
    const others = Array.from({ length: 20 }, () => atExit(() => undefined));
    interruptions.pop()!.release();
    stopping.abort();
    await new Promise(setImmediate);
    for (const forget of others) forget();
    t.deepEqual(asked, Array(19).fill('aborted by the program'));
    t.deepEqual(warnings, []);
  },
);

test('what is not given has the default of the command, but for a training, which a resume reads from its run', (t) => {
  t.deepEqual(start({ seed: undefined }), { outputPath: 'x' });
  const given = checkOptions('validate', { dataPath: '/data' });
  t.like(given, { dataPath: '/data', outputPath: '.', weights: 'pretrained', seed: 0, precision: 'fp32' });
  t.false('model' in given);
});

test.serial('a Redis is taken from the environment as on a command line, and what is given wins', (t) => {
  process.env.CORNET_REDIS_URL = 'redis://there';
  t.teardown(() => delete process.env.CORNET_REDIS_URL);
  t.is(start({}).redis, 'redis://there');
  t.is(start({ redis: 'redis://here' }).redis, 'redis://here');
  process.env.CORNET_REDIS_URL = '';
  t.is(start({}).redis, undefined);
});

test('what is given beside a configuration file wins, and takes out what has no meaning beside it', (t) => {
  const config = join(temporaryFolder(t), 'options.yaml');
  writeFileSync(config, 'batch-size: 64\nlr: 0.5\ncpu-workers: 2\nweights: w.pth\n');
  t.like(start({ config, learningRate: 0.25 }), { batchSize: 64, learningRate: 0.25, cpuWorkers: 2 });
  t.false('cpuWorkers' in start({ config, ngpus: 1 }));
  t.is(start({ config }).weights, 'w.pth');
  t.false('weights' in start({ config, resume: true }));
});

test('the live page can show a command line that does the same, without passwords', (t) => {
  const given = {
    outputPath: 'my runs',
    resume: false,
    deterministic: false,
    flip: true,
    betas: [0.5, 0.9],
    freeze: ['V1', 'V2'],
    redis: 'redis://me:secret@head',
    blobPorts: '7000-7007',
  };
  const line = commandLineOf('start', checkOptions('start', given));
  t.is(
    line.replace(/^.* start /, ''),
    "--output-path 'my runs' --freeze V1,V2 --no-deterministic --betas 0.5,0.9 --redis 'redis://me:***@head' --blob-ports 7000-7007",
  );
});

test('a call that is refused rejects, and so does an iteration of it; nothing is thrown at once', async (t) => {
  const code = 'OPTION_INVALID';
  await t.throwsAsync(Promise.resolve(train({ outputPath: 'x', dataPath: 'y' })), {
    instanceOf: CornetError,
    code,
    message: /^--model is missing/,
  });
  await t.throwsAsync(
    async () => {
      for await (const event of validate({ dataPath: '/nowhere', batchSize: -1 })) t.fail(event.type);
    },
    { code },
  );
  await t.throwsAsync(
    Promise.resolve(extractFeatures({ dataPath: 'x', outputPath: 'y', weights: 'z.pth' })),
    { code: 'WEIGHTS_MISSING' },
  );
});

test('a run is iterated from where the iteration begins, by as many as want to, and waits for nobody', async (t) => {
  let emit: (n: number) => void = () => undefined;
  let finish: (report: string) => void = () => undefined;
  const run = handleOf<number, string>((tell) => {
    emit = tell;
    return new Promise((resolve) => {
      finish = resolve;
    });
  });
  const read = async (most: number) => {
    const events: number[] = [];
    for await (const event of run) if (events.push(event) === most) break;
    return events;
  };
  const [all, two] = [read(Number.POSITIVE_INFINITY), read(2)];
  await new Promise(setImmediate);
  for (const event of [1, 2, 3]) emit(event);
  await new Promise(setImmediate);
  const later = read(Number.POSITIVE_INFINITY);
  emit(4);
  finish('done');
  t.is(await run, 'done');
  t.deepEqual([await all, await two, await later], [[1, 2, 3, 4], [1, 2], [4]]);
  t.deepEqual(await read(1), [], 'a run that is over has no more events');
});

test('what ends a run is thrown behind the last of its events', async (t) => {
  const run = handleOf<number, never>(async (emit) => {
    emit(1);
    await new Promise(setImmediate);
    emit(2);
    throw new CornetError('DISK_FULL', 'The disk is full.');
  });
  const events: number[] = [];
  await t.throwsAsync(
    async () => {
      for await (const event of run) {
        events.push(event);
        await new Promise((resolve) => setTimeout(resolve, 20)); // the run has failed meanwhile
      }
    },
    { code: 'DISK_FULL' },
  );
  t.deepEqual(events, [1, 2]);
  await t.throwsAsync(Promise.resolve(run), { code: 'DISK_FULL' });
});

test('models are described without a tensor library: state dict, layers and recipe', (t) => {
  t.deepEqual(Object.keys(models), ['Z', 'R', 'RT', 'S']);
  t.deepEqual(models.Z.stateDict({ classes: 7 }).at(-2), {
    name: 'decoder.linear.weight',
    shape: [7, 512],
    kind: 'parameter',
  });
  t.true(models.S.stateDict().some(({ name, kind }) => name.endsWith('.running_var') && kind === 'buffer'));
  const output = models.R.layers({ times: 3, imageSize: 64 }).find(({ name }) => name === 'V4.output');
  t.deepEqual(output, { name: 'V4.output', shape: [256, 4, 4], timeSteps: [0, 1, 2] });
  t.deepEqual(models.S.recipe, { learningRate: 0.1, epochs: 43, stepSize: 20 });
  t.throws(() => Object.assign(models.S.recipe, { learningRate: 7 }), { instanceOf: TypeError });
  for (const shape of [{ times: 0 }, { classes: -3 }, { imageSize: 1 }, { times: 1e15 }]) {
    t.throws(() => models.R.layers(shape), { instanceOf: CornetError, code: 'OPTION_INVALID' });
  }
});
