import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { copyFileSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { createInterface } from 'node:readline';
import test, { type ExecutionContext } from 'ava';
import { possible } from '../helpers/possible.ts';
import { temporaryFolder } from '../helpers/temporary.ts';

const host = 'here';
/** Of three that start at once. */
const rounds = 60;
const container = ['unshare', '--pid', '--fork', '--kill-child', '--mount-proc'];

const canUnshare = (() => {
  try {
    execFileSync(container[0]!, [...container.slice(1), 'true'], { stdio: 'ignore' });
    return true;
  } catch {
    return false;
  }
})();
const inContainers = possible(canUnshare, 'no PID namespace can be made (that takes root)')
  ? test
  : test.skip;

class Holder {
  readonly child: ChildProcess;
  readonly #lines: AsyncIterator<string>;

  constructor(t: ExecutionContext, { enter = [] as string[], env = process.env } = {}) {
    const [program, ...args] = [...enter, process.execPath, 'dist/test/helpers/lock-holder.js', host];
    this.child = spawn(program!, args, { stdio: ['pipe', 'pipe', 'inherit'], env });
    this.#lines = createInterface({ input: this.child.stdout! })[Symbol.asyncIterator]();
    t.teardown(() => this.child.kill('SIGKILL'));
  }

  /** Lets it try to take a lock; what it says. */
  async take(path: string): Promise<string> {
    this.child.stdin?.write(`${path}\n`);
    return (await this.#lines.next()).value;
  }
}

/** A process that tries to take the lock, and what it says. */
async function holder(
  t: ExecutionContext,
  path: string,
  context: ConstructorParameters<typeof Holder>[1] = {},
) {
  const one = new Holder(t, context);
  return { child: one.child, said: await one.take(path) };
}

async function kill(child: ChildProcess): Promise<void> {
  child.kill('SIGKILL');
  await once(child, 'exit');
}

/** An environment without a `flock` program. */
function withoutFlock(t: ExecutionContext): NodeJS.ProcessEnv {
  return { ...process.env, PATH: temporaryFolder(t) };
}

inContainers(
  'a coordinator that lives in another container (needs root) is not judged by its process id',
  async (t) => {
    const path = join(temporaryFolder(t), 'lock');
    t.is((await holder(t, path, { enter: container })).said, 'taken');
    for (const enter of [container, []]) {
      const { said } = await holder(t, path, { enter });
      t.regex(said, /^RUN_LOCKED .* on host here with process id \d+, which is still running/);
    }
  },
);

inContainers(
  'the lock of a coordinator that died with its container (needs root) is taken over',
  async (t) => {
    const path = join(temporaryFolder(t), 'lock');
    const { child } = await holder(t, path, { enter: container });
    await kill(child);
    t.is((await holder(t, path, { enter: container })).said, 'taken');
  },
);

inContainers(
  'where the kernel holds no locks, one of another container (needs root) is refused with what to do',
  async (t) => {
    const path = join(temporaryFolder(t), 'lock');
    const unshare = execFileSync('which', ['unshare'], { encoding: 'utf8' }).trim();
    const options = { enter: [unshare, ...container.slice(1)], env: withoutFlock(t) };
    t.is((await holder(t, path, options)).said, 'taken');
    for (const enter of [options.enter, []]) {
      const { said } = await holder(t, path, { ...options, enter });
      t.regex(
        said,
        /^RUN_LOCKED .* on host here with process id \d+ .*in another container.*certainly gone, delete /,
      );
    }
  },
);

test('where the kernel holds no locks, the lock of a dead process is taken over, and that of a living one is not', async (t) => {
  const path = join(temporaryFolder(t), 'lock');
  const env = withoutFlock(t);
  const { child } = await holder(t, path, { env });
  t.regex((await holder(t, path, { env })).said, /^RUN_LOCKED .* which is still running/);
  await kill(child);
  t.is((await holder(t, path, { env })).said, 'taken');
});

for (const kernel of [true, false]) {
  test(`of three coordinators that find the lock of a dead one, exactly one gets it ${kernel ? 'with' : 'without'} the kernel's help`, async (t) => {
    const env = kernel ? process.env : withoutFlock(t);
    const first = join(temporaryFolder(t), 'lock');
    await kill((await holder(t, first, { env })).child);
    const starters = [1, 2, 3].map(() => new Holder(t, { env }));
    for (let round = 0; round < rounds; round++) {
      const path = join(temporaryFolder(t), 'lock');
      copyFileSync(first, path);
      const said = await Promise.all(starters.map((starter) => starter.take(path)));
      const winner = starters[said.indexOf('taken')];
      t.deepEqual(
        said.map((line) => line.split(' ')[0]).sort(),
        ['RUN_LOCKED', 'RUN_LOCKED', 'taken'],
        said.join('\n'),
      );
      t.is(JSON.parse(readFileSync(path, 'utf8')).pid, winner?.child.pid);
      t.deepEqual(readdirSync(dirname(path)), ['lock']);
    }
  });
}
