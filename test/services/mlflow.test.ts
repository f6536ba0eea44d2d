import { readFileSync, rmSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { noFence } from '../../coordinator/disk/durable-file.ts';
import { Mlflow } from '../../coordinator/tracking/mlflow.ts';
import { MlflowClient, MlflowError } from '../../coordinator/tracking/mlflow-client.ts';
import { CornetError } from '../../shared/errors.ts';
import { bounds } from '../../shared/option-bounds.ts';
import { readValue } from '../../shared/process/option-value.ts';
import { MlflowServer } from '../helpers/mlflow-server.ts';
import { temporaryFolder } from '../helpers/temporary.ts';

type Environment = Record<string, string>;

function placeOn(
  t: ExecutionContext,
  url: string,
  {
    folder = temporaryFolder(t),
    environment = {},
    fence = noFence,
    hyperparameters = new Map<string, string | number | boolean>([['model', 'Z']]),
  }: {
    folder?: string;
    environment?: Environment;
    fence?: () => Promise<void>;
    hyperparameters?: Map<string, string | number | boolean>;
  } = {},
) {
  const notePath = join(folder, 'mlflow.json');
  const place = new Mlflow({
    client: new MlflowClient({ url, environment, silence: 5_000 }),
    url,
    experiment: 'monkeys',
    run: 'abc',
    runName: 'first try',
    hyperparameters,
    tags: new Map([['cornet.host', 'node7']]),
    notePath,
    fence,
    clock: () => 1_700_000_000_123,
  });
  t.teardown(() => place.close());
  return { place, notePath, folder };
}

const record = (step: number) => ({ step, epoch: step / 8, 'train/loss': step + 0.5, 'train/images': 8 });
const records = (from: number, to: number) =>
  Array.from({ length: to - from + 1 }, (_, i) => record(from + i));

/** The steps of a metric, in the order in which the server was told of them. */
const steps = ({ runs }: MlflowServer, key = 'train/loss') =>
  runs[0]!.metrics.filter((metric) => metric.key === key).map(({ step }) => step);
const upTo = (last: number) => Array.from({ length: last }, (_, i) => i + 1);

test('a run gets its experiment, name, parameters, tags, metrics and status', async (t) => {
  const server = await MlflowServer.start(t);
  const { place, notePath } = placeOn(t, server.url);
  await place.restored();
  t.is(server.runs[0]!.status, 'RUNNING');
  await place.take([record(1), { step: 1, 'val/top1': 0.25, 'val/loss': 2, 'val/images': 20 }]);
  await place.end('complete');
  const [run] = server.runs;
  t.deepEqual([...server.experiments.keys()], ['monkeys']);
  t.like(run, { name: 'first try', status: 'FINISHED', endTime: 1_700_000_000_123 });
  t.deepEqual([...run!.params], [['model', 'Z']]);
  t.deepEqual(
    [...run!.tags],
    [
      ['cornet.run', 'abc'],
      ['cornet.host', 'node7'],
    ],
  );
  t.deepEqual(
    run!.metrics.map(({ key, value, step }) => [key, value, step]),
    [
      ['train/loss', 1.5, 1],
      ['epoch', 0.125, 1],
      ['validation/loss', 2, 1],
      ['validation/top1', 0.25, 1],
    ],
  );
  t.like(JSON.parse(readFileSync(notePath, 'utf8')), { run_id: 'run-1', url: server.url });
});

test('a run that was stopped is KILLED, one that failed FAILED, and one that goes on RUNNING again', async (t) => {
  const server = await MlflowServer.start(t);
  const first = placeOn(t, server.url);
  await first.place.restored();
  await first.place.end('interrupted');
  t.is(server.runs[0]!.status, 'KILLED');
  const second = placeOn(t, server.url, first);
  await second.place.restored();
  t.is(server.runs[0]!.status, 'RUNNING');
  await second.place.end('failed');
  t.is(server.runs[0]!.status, 'FAILED');
});

test('a resume continues the same run and sends only what the server does not have', async (t) => {
  const server = await MlflowServer.start(t);
  const first = placeOn(t, server.url);
  await first.place.take(records(1, 5));
  const second = placeOn(t, server.url, first);
  await second.place.restored();
  await second.place.take(records(1, 7)); // metrics.jsonl from its beginning
  t.deepEqual(steps(server), upTo(7));
  await second.place.restored(); // the run goes back, and comes to the same values
  await second.place.take(records(1, 9));
  t.deepEqual(steps(server), upTo(9));
  t.is(server.runs.length, 1);
});

test('without its note a run is found again by its tag, also where the answer that made it was lost', async (t) => {
  const server = await MlflowServer.start(t);
  const { place, notePath, folder } = placeOn(t, server.url);
  await place.take(records(1, 2));
  rmSync(notePath);
  const other = placeOn(t, server.url, { folder });
  await other.place.take(records(1, 3));
  t.deepEqual([server.runs.length, ...steps(server)], [1, 1, 2, 3]);

  const unlucky = await MlflowServer.start(t);
  const { place: again } = placeOn(t, unlucky.url);
  for (let lost = 0; lost < 12; lost++) {
    unlucky.answersToLose = 1; // whatever is asked next
    await again.restored().catch(() => undefined);
    unlucky.answersToLose = lost % 2;
    await again.take(records(1, lost + 1)).catch(() => undefined);
  }
  unlucky.answersToLose = 0;
  await again.take(records(1, 12));
  t.deepEqual([unlucky.runs.length, ...steps(unlucky)], [1, ...upTo(12)]);
});

test('a run that was deleted on the server begins another one', async (t) => {
  const server = await MlflowServer.start(t);
  const first = placeOn(t, server.url);
  await first.place.take(records(1, 2));
  server.runs.pop();
  const second = placeOn(t, server.url, first);
  await second.place.take(records(1, 3));
  t.deepEqual(steps(server), upTo(3));
});

test('a coordinator whose run another one has taken says nothing more of it', async (t) => {
  const server = await MlflowServer.start(t);
  let isLost = false;
  const fence = async () => {
    if (isLost) throw new CornetError('RUN_LOCKED', 'Another coordinator has the run.');
  };
  const { place } = placeOn(t, server.url, { fence });
  await place.take(records(1, 2));
  isLost = true;
  await t.throwsAsync(place.take(records(3, 4)), { code: 'RUN_LOCKED' });
  await t.throwsAsync(place.end('failed'), { code: 'RUN_LOCKED' });
  t.deepEqual([server.runs[0]!.status, ...steps(server)], ['RUNNING', 1, 2]);
});

test('what was written of a request that failed is not sent again', async (t) => {
  for (let kept = 0; kept <= 6; kept++) {
    const server = await MlflowServer.start(t);
    const { place } = placeOn(t, server.url);
    server.metricsBeforeFailure = kept;
    await t.throwsAsync(place.take(records(1, 3)), { message: /answers 500 .*: The disk is gone/ });
    await place.take(records(1, 4));
    for (const key of ['train/loss', 'epoch'])
      t.deepEqual(steps(server, key), upTo(4), `${key} after ${kept}`);
  }
});

test('many lines go in requests of a size that the server takes, and so do many parameters', async (t) => {
  const server = await MlflowServer.start(t);
  const hyperparameters = new Map(Array.from({ length: 230 }, (_, i) => [`option${i}`, i]));
  const { place } = placeOn(t, server.url, { hyperparameters });
  await place.take(records(1, 1_200));
  t.deepEqual(steps(server), upTo(1_200));
  t.is(server.runs[0]!.params.size, 230);
});

test('a server that is away is named, and so is one that is none', async (t) => {
  const server = await MlflowServer.start(t);
  const { place } = placeOn(t, server.url);
  server.goAway();
  await t.throwsAsync(place.take(records(1, 1)), {
    instanceOf: MlflowError,
    message: `MLflow at ${server.url} cannot be reached: ECONNREFUSED.`,
  });
  const other = createServer((_, response) => response.end('<html>')).listen(0, '127.0.0.1');
  t.teardown(() => other.close());
  await new Promise((resolve) => other.once('listening', resolve));
  const url = `http://127.0.0.1:${(other.address() as AddressInfo).port}`;
  await t.throwsAsync(placeOn(t, url).place.restored(), { message: /is no MLflow server/ });
});

test('credentials come from the environment; a server that refuses them is quoted, and they are not', async (t) => {
  const basic = `Basic ${Buffer.from('kate:geheim').toString('base64')}`;
  const cases: [Environment, string][] = [
    [{ MLFLOW_TRACKING_TOKEN: 'geheim' }, 'Bearer geheim'],
    [{ MLFLOW_TRACKING_USERNAME: 'kate', MLFLOW_TRACKING_PASSWORD: 'geheim' }, basic],
  ];
  for (const [environment, header] of cases) {
    const server = await MlflowServer.start(t);
    server.authorization = header;
    await placeOn(t, server.url, { environment }).place.take(records(1, 1));
    t.deepEqual(steps(server), [1]);
    server.authorization = 'another';
    const error = await t.throwsAsync(placeOn(t, server.url, { environment }).place.restored());
    t.regex(error!.message, /answers 401 Unauthorized: You are not authenticated/);
    t.notRegex(error!.message, /geheim/);
  }
});

test('an address with a password, or that is none, is refused without being shown', (t) => {
  const read = (text: string) => readValue('--mlflow', bounds.mlflow, text);
  t.is(read('http://127.0.0.1:5000/'), 'http://127.0.0.1:5000');
  t.is(read('https://mlflow.example.org/team/'), 'https://mlflow.example.org/team');
  for (const text of [
    'https://kate:geheim@h',
    'https://geheim@h',
    'ftp://geheim',
    'https://h/?token=geheim',
  ]) {
    const error = t.throws(() => read(text), { code: 'OPTION_INVALID' }) as Error & { hint: string };
    t.notRegex(error.message, /geheim/, text);
    if (text.includes('@')) t.regex(error.hint, /MLFLOW_TRACKING_TOKEN/);
  }
});
