/** A Redis that others reach, too: TLS, users, and what strangers may write there. */
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { Queue } from 'bullmq';
import { Redis } from 'ioredis';
import { names, upMessage } from '../../shared/wire/protocol.ts';
import { makeCertificates } from '../helpers/certificates.ts';
import { TestRedis } from '../helpers/redis.ts';
import { checkpoint, pausedAt, Stage, tinyImages, tinyRun } from '../helpers/run.ts';
import { freePort } from '../helpers/sentinels.ts';
import { thoroughSerial } from '../helpers/thorough.ts';

/** The ACL file that docs/security.md shows. */
function documentedAcl(): string {
  const page = readFileSync('docs/security.md', 'utf8');
  return /^```\n(user default off\n.*?)^```$/ms.exec(page)![1]!;
}

thoroughSerial(
  'a run over TLS with a CA of its own, as a user who may do no more than it needs',
  async (t) => {
    const stage = new Stage(t);
    const images = await tinyImages(stage.folder);
    const { ca, certificate, key } = makeCertificates(stage.folder, 'DNS:localhost');
    const acl = join(stage.folder, 'users.acl');
    writeFileSync(
      acl,
      `${documentedAcl()}user reader on >only-looks ~cornet:* -@all +@read +@connection +info\n`,
    );
    const port = String(await freePort());
    const files = ['--tls-cert-file', certificate, '--tls-key-file', key, '--tls-ca-cert-file', ca];
    const tls = ['--tls-port', port, '--tls-auth-clients', 'no', ...files];
    const redis = await TestRedis.start(t, ['--bind', '127.0.0.1', '--aclfile', acl, ...tls]);
    const start = (user: string, query: string) => {
      const url = `rediss://${user}@localhost:${port}${query}`;
      const short = ['--max-steps', '2', '--cpu-workers', '2', '-o', join(stage.folder, 'run')];
      const argv = [...tinyRun(images), ...short];
      return stage.start('coordinator', argv, { CORNET_REDIS_URL: url });
    };

    const distrustful = start('cornet:a-long-password', '');
    t.is(await distrustful.ended, 1);
    t.regex(distrustful.stderr, /certificate.*\[REDIS_UNREACHABLE\]\n.*rediss:\/\/host\?ca=/);
    const lost = start('cornet:a-long-password', '?ca=/nowhere/ca.pem');
    t.is(await lost.ended, 2);
    t.regex(lost.stderr, /\/nowhere\/ca\.pem .* cannot be read: .*\[REDIS_URL_INVALID\]/);
    const powerless = start('reader:only-looks', `?ca=${ca}`);
    t.is(await powerless.ended, 1);
    t.regex(powerless.stderr, /^error: .*NOPERM.*\[REDIS_REFUSED\]\n/);

    const run = start('cornet:a-long-password', `?ca=${ca}`);
    t.is(await run.ended, 0, run.stdout + run.stderr);
    t.regex(run.stdout, /Done: 2 steps/);
    const stranger = new Redis(redis.socket, { username: 'cornet', password: 'a-long-password' });
    t.teardown(() => stranger.disconnect());
    await t.throwsAsync(stranger.get('of somebody else'), { message: /NOPERM/ });
    await t.throwsAsync(stranger.flushall(), { message: /NOPERM/ });
    const [, left] = await stranger.scan(0, 'COUNT', 1000);
    t.deepEqual(left, []);
  },
);

/** Everything that is no message, and messages of nobody. */
const garbage = [
  ...['', 'null', '[]', 'not json', '"text"', '{}', '{"type":"apply"}', '{"echo":null}'],
  '{"echo":{"term":"x"}}',
  JSON.stringify({ era: { term: 1, boot: 0 }, n: -1, worker: 'w', type: 'beat', doing: '' }),
  JSON.stringify({ era: { term: 1, boot: 0 }, n: 0, worker: 'nobody', type: 'applied', step: 3 }),
  JSON.stringify({ era: { term: 1e300, boot: 0 }, n: 0, type: 'stop', reason: 'a stranger says so' }),
  JSON.stringify({
    era: { term: 1, boot: 0 },
    n: 0,
    type: 'apply',
    generation: 1,
    step: 1,
    learningRate: 'NaN',
    slices: [],
  }),
  JSON.stringify({ type: 'hello', worker: 'x'.repeat(2 ** 20) }),
];

/** What a stranger with write access puts in the way of a run. */
async function tamper(t: ExecutionContext, redis: Redis, run: string): Promise<void> {
  const entries = await redis.xrange(names.up(run), '-', '+');
  const workers = entries.flatMap(([, [, text]]) => {
    const { data } = upMessage.safeParse(JSON.parse(text!));
    return data?.type === 'hello' ? [data] : [];
  });
  t.is(workers.length, 2);
  for (const stream of [names.up(run), names.down(run)]) {
    for (const text of garbage) await redis.xadd(stream, '*', 'm', text);
    await redis.xadd(stream, '*', 'some', 'other', 'fields', 'than ours');
  }
  const [{ era }] = workers as [(typeof workers)[0]];
  for (const { worker } of workers) {
    const prefix = names.queuePrefix(run);
    const queue = new Queue(names.queue(run, worker), { connection: { path: redis.options.path! }, prefix });
    await queue.add('shard', {});
    await queue.add('shard', null);
    await queue.add('shard', { type: 'shard', era, step: 1e9, lane: 0, publish: null });
    await queue.add('shard', { type: 'shard', era, step: 7, lane: 99, publish: null });
    await queue.add('validate', { type: 'validate', era, step: 8, batch: 1e6 });
    await queue.add('features', { type: 'features', era, step: 0, batch: 0, publish: 'redis' });
    const keys = `${prefix}:${names.queue(run, worker)}`;
    await redis.hset(`${keys}:666`, { name: 'x', data: 'not json', opts: '{}' });
    await redis.lpush(`${keys}:wait`, '666');
    await queue.close();
  }
  await redis.set(names.status(run), 'not a status');
  await redis.set(names.era(run), 'not an era');
}

test.serial('what a stranger writes into Redis is refused and named, and changes no byte', async (t) => {
  const stage = new Stage(t);
  const images = await tinyImages(stage.folder);
  const redis = await TestRedis.start(t);
  const start = (name: string, workers: number, env: NodeJS.ProcessEnv = {}) => {
    const short = ['--epochs', '1', '--cpu-workers', String(workers), '-o', join(stage.folder, name)];
    return stage.start('coordinator', [...tinyRun(images), ...short], env);
  };
  const alone = start('alone', 1);
  t.is(await alone.ended, 0, alone.stderr);

  const disturbed = join(stage.folder, 'disturbed');
  const run = start('disturbed', 2, { CORNET_REDIS_URL: redis.url, ...pausedAt(2) });
  await run.paused(); // all of it comes in mid-run
  const { run: id } = JSON.parse(readFileSync(join(disturbed, 'config.json'), 'utf8')) as { run: string };
  const stranger = new Redis(redis.socket);
  t.teardown(() => stranger.disconnect());
  await tamper(t, stranger, id);
  const status = stage.start('coordinator', ['status'], { CORNET_REDIS_URL: redis.url });
  t.is(await status.ended, 12, status.stderr);
  t.regex(status.stdout, /^STOPPED {2}no coordinator is at work\nNo run is alive on the Redis at /);
  run.resume();
  t.is(await run.ended, 0, run.stdout + run.stderr);
  const steps = (folder: string) => checkpoint(join(stage.folder, folder), 8);
  t.true(steps('disturbed').equals(steps('alone')));

  const log = readFileSync(join(disturbed, 'log.jsonl'), 'utf8');
  for (const refusal of [
    'A malformed message was refused.',
    'A malformed job was refused: ',
    'A job was refused: the run has 8 steps, and the job is for step 1000000000.',
    'A job was refused: the run has 2 lanes, and this is of lane 99.',
    'A job was refused: the run has 1 batches, and this is batch 1000000.',
    'A job was refused: the run has no features jobs.',
  ])
    t.true(log.includes(refusal), refusal);
  t.notRegex(run.stdout, /was dropped/);
  t.deepEqual(readdirSync(stage.temporary), []);
});
