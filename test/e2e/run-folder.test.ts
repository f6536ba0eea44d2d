import { execFileSync, spawn } from 'node:child_process';
import { chmodSync, chownSync, existsSync, mkdtempSync, readFileSync, renameSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'ava';
import { possible } from '../helpers/possible.ts';
import { Stage, tinyImages, tinyRun } from '../helpers/run.ts';
import { thoroughSerial } from '../helpers/thorough.ts';

let folder: string;
let images: string;

test.before(async () => {
  folder = mkdtempSync(join(tmpdir(), 'cornet-test-'));
  images = await tinyImages(folder);
});

test.after.always(() => rmSync(folder, { recursive: true }));

/** A run that does not end by itself. */
const long = ['--epochs', '1000', '--cpu-workers', '1'];

/** Somebody whom the system does not know. */
const nobody = 54321;
const asNobody = ['setpriv', '--reuid', `${nobody}`, '--regid', `${nobody}`, '--clear-groups'];
const canBecome = (() => {
  try {
    execFileSync(asNobody[0]!, [
      ...asNobody.slice(1),
      process.execPath,
      'dist/coordinator/main.js',
      '--version',
    ]);
    return true;
  } catch {
    return false;
  }
})();

test.serial('a run whose folder is deleted ends with that reason', async (t) => {
  const stage = new Stage(t);
  const output = join(stage.folder, 'run');
  const run = stage.start('coordinator', [...tinyRun(images), ...long, '-o', output]);
  await run.untilStep(output, 3);
  rmSync(output, { recursive: true });
  t.is(await run.ended, 1);
  t.regex(
    run.stderr,
    /^error: The run folder .* was deleted during the run, with its checkpoints\. \[FOLDER_NOT_WRITABLE\]\nStart a new run\.\n$/,
  );
  t.notRegex(run.stdout, /was dropped|goes back/);
  t.false(existsSync(output));
  await stage.empty();
});

test.serial('a run whose folder is moved ends with its new place, where it can be continued', async (t) => {
  const stage = new Stage(t);
  const [output, elsewhere] = [join(stage.folder, 'run'), join(stage.folder, 'the archive')];
  const run = stage.start('coordinator', [...tinyRun(images), ...long, '-o', output]);
  await run.untilStep(output, 3);
  renameSync(output, elsewhere);
  t.is(await run.ended, 1);
  t.regex(run.stderr, /^error: The run folder .* was moved to .*the archive during the run\./);
  t.regex(run.stderr, /continue there: node .* start --resume --output-path '.*the archive'\n$/);
  t.notRegex(run.stdout, /was dropped|goes back/);
  await stage.empty();
});

thoroughSerial(
  'a run whose lock is taken by another coordinator ends, and leaves all to that one',
  async (t) => {
    const stage = new Stage(t);
    const output = join(stage.folder, 'run');
    const run = stage.start('coordinator', [...tinyRun(images), ...long, '-o', output]);
    await run.untilStep(output, 3);
    const lock = join(output, 'lock');
    run.signal('SIGSTOP');
    rmSync(lock);
    const other = spawn(process.execPath, ['dist/test/helpers/lock-holder.js', 'elsewhere'], {
      stdio: ['pipe', 'pipe', 'inherit'],
    });
    t.teardown(() => other.kill('SIGKILL'));
    other.stdin.write(`${lock}\n`);
    for await (const said of other.stdout) {
      t.is(String(said), 'taken\n');
      break;
    }
    const [metrics, redis] = ['metrics.jsonl', 'redis.json'].map((name) => readFileSync(join(output, name)));
    run.signal('SIGCONT');
    t.is(await run.ended, 1);
    t.regex(
      run.stderr,
      /This coordinator has lost its run: .* now names a coordinator on host elsewhere .* \[RUN_LOCKED\]/,
    );
    t.is(JSON.parse(readFileSync(lock, 'utf8')).pid, other.pid);
    t.deepEqual(readFileSync(join(output, 'metrics.jsonl')), metrics);
    t.deepEqual(readFileSync(join(output, 'redis.json')), redis);
    await stage.empty();
  },
);

(possible(canBecome, 'no process can run as an unknown user (that takes root)') ? thoroughSerial : test.skip)(
  'a user without a home or a name (needs root) trains, without a cache',
  async (t) => {
    const stage = new Stage(t);
    for (const path of [folder, stage.folder, stage.temporary]) chmodSync(path, 0o755);
    for (const path of [stage.folder, stage.temporary]) chownSync(path, nobody, nobody);
    const output = join(stage.folder, 'run');
    const homeless = { HOME: undefined, XDG_CACHE_HOME: undefined };
    const argv = [...tinyRun(images), '--max-steps', '1', '--cpu-workers', '1', '-o', output];
    const run = stage.start('coordinator', argv, homeless, asNobody);
    t.is(await run.ended, 0, run.stderr);
  },
);

(possible(canBecome, 'no process can run as an unknown user (that takes root)') ? thoroughSerial : test.skip)(
  'a crashed run that another user (needs root) goes on with is refused by name of what that user may not touch',
  async (t) => {
    const stage = new Stage(t);
    for (const path of [folder, stage.folder]) chmodSync(path, 0o755);
    const output = join(stage.folder, 'run');
    const run = stage.start('coordinator', [...tinyRun(images), ...long, '-o', output]);
    await run.untilStep(output, 1);
    stage.kill();
    await run.ended;
    await stage.empty();
    execFileSync('chown', ['-R', `${nobody}`, output]);
    const resumed = stage.start('coordinator', ['start', '--resume', '-o', output], {}, asNobody);
    t.is(await resumed.ended, 1);
    t.regex(
      resumed.stderr,
      /^error: Cannot remove the private redis-server's folder .*: permission is denied\. \[FOLDER_NOT_WRITABLE\]\n.*redis\.json/,
    );
  },
);
