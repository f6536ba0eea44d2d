/** Runs that TensorBoard and MLflow follow, with their accidents. */
import {
  appendFileSync,
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import sharp from 'sharp';
import { MlflowServer } from '../helpers/mlflow-server.ts';
import { possible } from '../helpers/possible.ts';
import { pythonWith, tensorboardModules } from '../helpers/python.ts';
import {
  checkpoint,
  metricsOf,
  pausedAt,
  Stage,
  tinyImages,
  tinyRun,
  tinySteps,
  until,
} from '../helpers/run.ts';
import { type Events, eventsOf } from '../helpers/tensorboard.ts';
import { thoroughSerial } from '../helpers/thorough.ts';

const python = pythonWith(tensorboardModules.modules);
const withTensorBoard = possible(python !== null, tensorboardModules.missing)
  ? test.serial
  : test.serial.skip;

let shared: { folder: string; images: string; weights: Buffer; metrics: Record<string, number>[] };

test.before(async () => {
  const folder = mkdtempSync(join(tmpdir(), 'cornet-test-'));
  shared = { folder, images: await tinyImages(folder), weights: Buffer.alloc(0), metrics: [] };
});

test.after.always(() => rmSync(shared.folder, { recursive: true }));

test.serial('without a tracker nothing of one is there', async (t) => {
  const stage = new Stage(t);
  const output = join(stage.folder, 'run');
  const run = stage.start('coordinator', [...tinyRun(shared.images), '--cpu-workers', '2', '-o', output]);
  t.is(await run.ended, 0, run.stderr);
  t.false(existsSync(join(output, 'tensorboard')) || existsSync(join(output, 'mlflow.json')));
  shared.weights = checkpoint(output, tinySteps);
  shared.metrics = metricsOf(output);
});

/** Every line of metrics.jsonl once and in its order, under the names that trackers have for it. */
function expected(name: string): [step: number, value: number][] {
  return shared.metrics.filter((line) => name in line).map((line) => [line.step!, line[name]!]);
}

const names = {
  'train/loss': 'train/loss',
  'train/top1': 'train/top1',
  'train/top5': 'train/top5',
  'train/learning_rate': 'train/learning_rate',
  'validation/loss': 'val/loss',
  'validation/top1': 'val/top1',
  'validation/top5': 'val/top5',
};

function assertWhole(t: ExecutionContext, output: string): void {
  t.true(checkpoint(output, tinySteps).equals(shared.weights), 'trackers change no bit');
  t.deepEqual(metricsOf(output), shared.metrics);
}

function assertEvents(t: ExecutionContext, { scalars }: Events): void {
  t.deepEqual(Object.keys(scalars).sort(), [...Object.keys(names), 'epoch'].sort());
  for (const [tag, name] of Object.entries(names)) {
    const values = expected(name).map(([step, value]) => [step, Math.fround(value)]);
    t.deepEqual(scalars[tag], values as [number, number][], tag);
  }
}

withTensorBoard(
  'a run that is killed, resumed, and goes back has every step in TensorBoard once (needs Python)',
  async (t) => {
    const stage = new Stage(t);
    const output = join(stage.folder, 'run');
    const argv = [...tinyRun(shared.images), '--cpu-workers', '2', '--tensorboard', '-o', output];
    const first = stage.start('coordinator', argv, pausedAt(11));
    await first.paused();
    stage.kill();
    t.is(await first.ended, 'SIGKILL');
    await stage.empty();
    const [name] = readdirSync(join(output, 'tensorboard'));
    appendFileSync(join(output, 'tensorboard', name!), Buffer.alloc(21, 7)); // of a record that was being written

    const second = stage.start('coordinator', ['start', '--resume', '-o', output]);
    t.is(await second.ended, 0, second.stderr);
    assertWhole(t, output);
    const events = eventsOf(python!, output);
    assertEvents(t, events);
    const files = readdirSync(join(output, 'tensorboard')).map((name) => join(output, 'tensorboard', name));
    t.is(files.filter((path) => statSync(path).size > 0).length, 1);
    const hparams = events.hparams['_hparams_/session_start_info']!.sessionStartInfo!.hparams;
    t.like(hparams, { model: 'Z', learningRate: 0.01, deterministic: true, 'startingWeights.from': 'seed' });
    t.like(events.hparams['_hparams_/session_end_info'], { sessionEndInfo: { status: 'STATUS_SUCCESS' } });
    const [[step, width, height, hex]] = events.images['train/images'] as [[number, number, number, string]];
    const picture = await sharp(Buffer.from(hex, 'hex')).metadata();
    t.deepEqual([step, picture.width, picture.height, picture.format], [0, width, height, 'png']);

    const earlier = join(output, 'checkpoints', 'step-00000008.safetensors');
    const third = stage.start('coordinator', ['start', '--resume', '--restore-path', earlier, '-o', output]);
    t.is(await third.ended, 0, third.stderr);
    assertWhole(t, output);
    assertEvents(t, eventsOf(python!, output));
  },
);

thoroughSerial('TensorBoard can be asked for by a resume, which brings what came before', async (t) => {
  const stage = new Stage(t);
  const output = join(stage.folder, 'run');
  const run = stage.start('coordinator', [...tinyRun(shared.images), '--cpu-workers', '1', '-o', output]);
  t.is(await run.ended, 0, run.stderr);
  const resumed = stage.start('coordinator', ['start', '--resume', '--tensorboard', '-o', output]);
  t.is(await resumed.ended, 0, resumed.stderr);
  t.like(JSON.parse(readFileSync(join(output, 'config.json'), 'utf8')), { options: { tensorboard: true } });
  if (python !== null) assertEvents(t, eventsOf(python, output));
  const verified = stage.start('coordinator', ['verify', output]);
  t.is(await verified.ended, 0);
  t.notRegex(verified.stdout, /tensorboard/, 'it is no unknown file');
});

test.serial(
  'a run that is killed and whose MLflow server goes away and comes back has every step there once',
  async (t) => {
    const stage = new Stage(t);
    const output = join(stage.folder, 'run');
    const server = await MlflowServer.start(t);
    server.authorization = 'Bearer a-secret-of-the-test';
    const env = { MLFLOW_TRACKING_TOKEN: 'a-secret-of-the-test', MLFLOW_EXPERIMENT_NAME: 'monkeys' };
    const mlflow = ['--mlflow', server.url];
    const argv = [...tinyRun(shared.images), '--cpu-workers', '2', '--name', 'first try', ...mlflow];
    const first = stage.start('coordinator', [...argv, '-o', output], { ...env, ...pausedAt(3) });
    await first.paused();
    server.goAway();
    first.resume();
    const log = () => readFileSync(join(output, 'log.jsonl'), 'utf8');
    await until('the outage is told', () => log().includes('cannot be reached: ECONNREFUSED'));
    t.is(await first.ended, 0, first.stderr);
    t.regex(
      first.stderr,
      /warning: MLflow has not taken the last metrics: a resume brings what is missing\./,
    );
    assertWhole(t, output);

    await server.comeBack();
    const resume = ['start', '--resume', ...mlflow, '-o', output];
    const earlier = ['--restore-path', join(output, 'checkpoints', 'step-00000008.safetensors')];
    rmSync(join(output, 'fault')); // a fault happens once per marker
    const second = stage.start('coordinator', [...resume, ...earlier], { ...env, ...pausedAt(12) });
    await second.paused();
    stage.kill();
    t.is(await second.ended, 'SIGKILL');
    await stage.empty();
    const third = stage.start('coordinator', resume, env);
    t.is(await third.ended, 0, third.stderr);
    assertWhole(t, output);

    t.is(server.runs.length, 1);
    const [run] = server.runs;
    t.deepEqual([...server.experiments.keys()], ['monkeys']);
    t.like(run, { name: 'first try', status: 'FINISHED' });
    t.is(run!.params.get('model'), 'Z');
    t.is(run!.tags.get('cornet.folder'), output);
    for (const [tag, name] of Object.entries(names)) {
      const found = run!.metrics.filter(({ key }) => key === tag).map(({ step, value }) => [step, value]);
      t.deepEqual(found, expected(name), tag);
    }
    for (const { stdout, stderr } of [first, second, third])
      t.notRegex(stdout + stderr, /a-secret-of-the-test/);
    t.false(log().includes('a-secret-of-the-test'));
    t.false(readFileSync(join(output, 'config.json'), 'utf8').includes(server.url), 'it is given again');
  },
);

thoroughSerial(
  'a run that is complete brings to MLflow what it lacks, and is stopped by a password in its address',
  async (t) => {
    const stage = new Stage(t);
    const output = join(stage.folder, 'run');
    const server = await MlflowServer.start(t);
    const run = stage.start('coordinator', [...tinyRun(shared.images), '--cpu-workers', '1', '-o', output]);
    t.is(await run.ended, 0, run.stderr);
    const resume = ['start', '--resume', '-o', output, '--mlflow'];
    const refused = stage.start('coordinator', [...resume, server.url.replace('//', '//kate:hidden@')]);
    t.is(await refused.ended, 2);
    t.regex(refused.stderr, /OPTION_INVALID/);
    t.notRegex(refused.stderr, /hidden/);
    const resumed = stage.start('coordinator', [...resume, server.url]);
    t.is(await resumed.ended, 0, resumed.stderr);
    t.regex(resumed.stdout, /Nothing was left to train/);
    const found = server.runs[0]!.metrics.filter(({ key }) => key === 'validation/loss');
    t.deepEqual(
      found.map(({ step, value }) => [step, value]),
      expected('val/loss'),
    );
    t.is(server.runs[0]!.status, 'FINISHED');
  },
);

thoroughSerial(
  'a run that is stopped is KILLED on MLflow, and a coordinator that lost its run says nothing there',
  async (t) => {
    const stage = new Stage(t);
    const output = join(stage.folder, 'run');
    const server = await MlflowServer.start(t);
    const mlflow = ['--mlflow', server.url, '-o', output];
    const argv = [...tinyRun(shared.images), '--cpu-workers', '2', ...mlflow];
    const first = stage.start('coordinator', argv, pausedAt(3));
    await first.paused();
    first.signal('SIGINT');
    first.resume();
    t.is(await first.ended, 75, first.stderr);
    t.is(server.runs[0]!.status, 'KILLED');
    t.regex(first.stdout, new RegExp(`Continue with: .* --mlflow ${server.url}`));

    rmSync(join(output, 'fault'));
    const second = stage.start('coordinator', ['start', '--resume', ...mlflow], pausedAt(10));
    await second.paused();
    rmSync(join(output, 'lock'));
    second.resume();
    t.is(await second.ended, 1, second.stderr);
    t.is(server.runs[0]!.status, 'RUNNING', 'it may be the run of another coordinator now');

    rmSync(join(output, 'fault'));
    const third = stage.start('coordinator', ['start', '--resume', ...mlflow]);
    t.is(await third.ended, 0, third.stderr);
    t.is(server.runs[0]!.status, 'FINISHED');
    assertWhole(t, output);
  },
);
