/** The commands as functions, in a process of their own: same bytes as the commands, nothing printed, nothing left. */
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import {
  CornetError,
  extractFeatures,
  predict,
  readWeights,
  type Training,
  type TrainingEvent,
  type TrainOptions,
  train,
  validate,
  writeCheckpoint,
} from '../../coordinator/api/index.ts';
import { checkpoint, Stage, tinyImages, tinyRun, tinySteps, trainedSteps } from '../helpers/run.ts';
import { thoroughSerial } from '../helpers/thorough.ts';

/** A stage whose environment is that of this process, which must print nothing meanwhile and leave nothing behind. */
async function onStage(
  t: ExecutionContext,
  act: (stage: Stage, images: string) => Promise<void>,
): Promise<void> {
  const stage = new Stage(t);
  const former = { ...process.env };
  Object.assign(process.env, stage.environment({}));
  const printed: string[] = [];
  const streams = [process.stdout, process.stderr];
  const writes = streams.map(({ write }) => write);
  for (const stream of streams) stream.write = (text: string | Uint8Array) => printed.push(String(text)) > 0;
  const listening = () => process.eventNames().map((name) => [name, process.listenerCount(name)]);
  const before = listening();
  try {
    await act(stage, await tinyImages(stage.folder));
    t.deepEqual(listening(), before, 'it listens to nothing any more');
  } finally {
    for (const [i, stream] of streams.entries()) stream.write = writes[i]!;
    for (const name of Object.keys(process.env)) if (!(name in former)) delete process.env[name];
    Object.assign(process.env, former);
  }
  t.deepEqual(printed, []);
  await stage.empty();
  t.deepEqual(readdirSync(stage.temporary), []);
}

const tiny = (dataPath: string, outputPath: string): TrainOptions => ({
  model: 'Z',
  imageSize: 32,
  batchSize: 8,
  lanes: 2,
  threads: 1,
  epochs: 2,
  saveValEpochs: 1,
  dataPath,
  outputPath,
});

async function eventsOf(training: Training): Promise<TrainingEvent[]> {
  const events: TrainingEvent[] = [];
  for await (const event of training) events.push(event);
  return events;
}

/** What is the same in each run with the same options. */
const lasting = (events: readonly TrainingEvent[]) =>
  events.flatMap((event) => {
    if (event.type !== 'step' && event.type !== 'validation') return [];
    const { type, step, epoch, loss, top1, top5, images } = event;
    return [{ type, step, epoch, loss, top1, top5, images }];
  });

test.serial('train() makes the bytes of `coordinator start`, and its events are those of --json', (t) =>
  onStage(t, async (stage, images) => {
    const [mine, theirs] = [join(stage.folder, 'mine'), join(stage.folder, 'theirs')];
    const command = stage.start('coordinator', [...tinyRun(images), '--json', '-o', theirs]);
    t.is(await command.ended, 0, command.stderr);
    const printed = command.stdout
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line) as TrainingEvent);

    const training = train({ ...tiny(images, mine), cpuWorkers: 2 });
    const events = await eventsOf(training);
    t.true(checkpoint(mine, tinySteps).equals(checkpoint(theirs, tinySteps)));
    t.is(lasting(events).length, tinySteps + 2);
    t.deepEqual(lasting(events), lasting(printed));
    t.is(events[0]!.type, 'start');
    t.is(events.at(-1)!.type, 'end');

    const { config, ...report } = await training;
    t.is(config.run, report.run);
    t.like(report, { outcome: 'complete', folder: mine, steps: tinySteps });
    const name = 'step-00000016.safetensors';
    t.like(report.latest, { step: tinySteps, path: join(mine, 'checkpoints', name) });
    const written = events.findLast((event) => event.type === 'checkpoint');
    t.like(written, { step: tinySteps, file: name, sha256: report.latest!.sha256 });
    t.is(report.validation?.step, tinySteps);
  }),
);

test.serial('an aborted training says that it can be resumed, and comes to the same bytes', (t) =>
  onStage(t, async (stage, images) => {
    const [whole, cut] = [join(stage.folder, 'whole'), join(stage.folder, 'cut')];
    await train(tiny(images, whole));

    const stopping = new AbortController();
    const training = train({ ...tiny(images, cut), signal: stopping.signal });
    for await (const event of training) {
      if (event.type === 'start') event.config.result.seed = 99; // which is a copy
      if (event.type === 'step' && event.step === 5) stopping.abort();
    }
    const { outcome, latest } = await training;
    t.is(outcome, 'interrupted');
    t.true(latest!.step >= 5 && latest!.step < tinySteps, `it stopped at step ${latest!.step}`);

    const resumed = await train({ outputPath: cut, resume: true });
    t.is(resumed.outcome, 'complete');
    t.true(checkpoint(cut, tinySteps).equals(checkpoint(whole, tinySteps)));
    t.deepEqual(
      trainedSteps(cut),
      Array.from({ length: tinySteps }, (_, i) => i + 1),
    );
    await t.throwsAsync(Promise.resolve(train({ ...tiny(images, cut), signal: AbortSignal.abort() })), {
      instanceOf: CornetError,
      code: 'RUN_EXISTS',
    });
    const never = join(stage.folder, 'never');
    await t.throwsAsync(Promise.resolve(train({ ...tiny(images, never), signal: AbortSignal.abort() })), {
      code: 'INTERRUPTED',
      message: 'Aborted by the program during start-up.',
    });
    t.false(readdirSync(stage.folder).includes('never'));
  }),
);

test.serial(
  'two trainings of one process go on beside each other, and one that fails leaves the other alone',
  (t) =>
    onStage(t, async (stage, images) => {
      const [one, two, bad] = ['one', 'two', 'bad'].map((name) => join(stage.folder, name));
      const broken = await tinyImages(join(stage.folder, 'broken'));
      const [folder] = readdirSync(join(broken, 'train'));
      const [file] = readdirSync(join(broken, 'train', folder!));
      const path = join(broken, 'train', folder!, file!);
      writeFileSync(path, readFileSync(path).fill(0));
      const failing = train(tiny(broken, bad!));
      const events: TrainingEvent[] = [];
      const [first, second] = await Promise.all([
        train(tiny(images, one!)),
        train({ ...tiny(images, two!), cpuWorkers: 2 }),
        t.throwsAsync(
          async () => {
            for await (const event of failing) events.push(event);
          },
          { instanceOf: CornetError, code: 'IMAGE_UNREADABLE' },
        ),
      ]);
      t.deepEqual([first.outcome, second.outcome], ['complete', 'complete']);
      t.true(checkpoint(one!, tinySteps).equals(checkpoint(two!, tinySteps)));
      t.is(events[0]!.type, 'start');
      t.notRegex(JSON.stringify(events), /"type":"(end|error)"/);
    }),
);

thoroughSerial('weights that a program has changed are validated, named classes with, and read out', (t) =>
  onStage(t, async (stage, images) => {
    const [run, lesion] = [join(stage.folder, 'run'), join(stage.folder, 'lesion.safetensors')];
    await train(tiny(images, run));
    const weights = await readWeights(run);
    const conv = weights.tensors.get('IT.conv.weight')!;
    if (conv.dtype === 'F32') conv.data.fill(0);
    await writeCheckpoint(lesion, weights);

    const at = (name: string) => join(stage.folder, name);
    const whole = await validate({ weights: run, dataPath: images, outputPath: at('whole') });
    const hurt = await validate({ weights: lesion, dataPath: images, outputPath: at('hurt') });
    t.is(whole.images, 20);
    t.not(whole.loss, hurt.loss);
    t.is(hurt.top1, 0.1, 'without IT every image is of the same class');
    t.deepEqual(
      whole.classes.map(({ name }) => name),
      weights.classes,
    );
    const told = JSON.parse(readFileSync(whole.files.description, 'utf8')) as { loss: number };
    t.is(told.loss, whole.loss);

    const shared = { weights: lesion, dataPath: join(images, 'val'), recursive: true };
    const options = { ...shared, outputPath: at('features'), tap: 'all' };
    const extraction = extractFeatures(options);
    const types: string[] = [];
    for await (const event of extraction) types.push(event.type);
    t.deepEqual([types[0], types.includes('progress')], ['start', true]);
    const features = await extraction;
    t.deepEqual([features.files.length, features.rows, features.unreadable], [5, 20, []]);
    t.deepEqual(await extractFeatures(options), features, 'nothing is done again');

    const { files } = await predict({ ...shared, outputPath: at('predictions') });
    const lines = readFileSync(files.jsonLines, 'utf8').trim().split('\n');
    t.is(lines.length, 20);
  }),
);

test.serial('an aborted extraction is continued by the same call', (t) =>
  onStage(t, async (stage, images) => {
    const options = {
      weights: 'untrained',
      model: 'Z',
      imageSize: 64,
      batchSize: 1,
      dataPath: join(images, 'train'),
      recursive: true,
      outputPath: join(stage.folder, 'features'),
    } as const;
    const stopping = new AbortController();
    const extraction = extractFeatures({ ...options, signal: stopping.signal });
    await t.throwsAsync(
      async () => {
        for await (const event of extraction) if (event.type === 'progress') stopping.abort();
      },
      { instanceOf: CornetError, code: 'INTERRUPTED', message: /^Stopped: \d+ of 60 images are done\./ },
    );
    const again = extractFeatures(options);
    for await (const event of again) {
      if (event.type === 'progress') t.true(event.done > 1);
    }
    t.is((await again).rows, 60);
  }),
);
