import { spawnSync } from 'node:child_process';
import test from 'ava';
import { Command } from 'commander';
import { program } from '../../coordinator/cli.ts';
import { addCompletion, completionScript } from '../../shared/process/completion.ts';

function bash(script: string, ...argv: string[]): string {
  const { status, stdout, stderr } = spawnSync('bash', [...argv, '-c', script], { encoding: 'utf8' });
  if (status !== 0 || stderr !== '') throw new Error(`bash ended with ${status}: ${stderr}`);
  return stdout.trim();
}

/** What bash offers after these words. */
function offered(...words: string[]): string[] {
  const typed = ['coordinator', ...words].map((word) => `'${word}'`).join(' ');
  const asked = `COMP_WORDS=(${typed}); COMP_CWORD=${words.length}; _coordinator; echo "\${COMPREPLY[@]}"`;
  return bash(`${completionScript(program, 'bash')}\n${asked}`)
    .split(' ')
    .filter(Boolean);
}

test('bash accepts the script, and completes the command with it', (t) => {
  const script = completionScript(program, 'bash');
  bash(script, '-n');
  t.regex(bash(`${script}\ncomplete -p coordinator`), /-F _coordinator coordinator$/);
});

test('commands, options, and the values of those that have a few', (t) => {
  t.deepEqual(offered('st'), ['start', 'status', 'stop']);
  t.deepEqual(offered('start', '--save-'), [
    '--save-model-secs',
    '--save-model-epochs',
    '--save-at',
    '--save-val-epochs',
  ]);
  t.deepEqual(offered('start', '--model', ''), ['Z', 'R', 'RT', 'S']);
  t.deepEqual(offered('test', '-o', 'x', '--dtype', 'float1'), ['float16']);
  t.deepEqual(offered('layers', '--im'), ['--imsize', '--image-size']);
  t.deepEqual(offered('completion', ''), ['bash', 'zsh']);
});

test('every option of every command is offered', (t) => {
  for (const command of program.commands) {
    const flags = command.options.map(({ long }) => long);
    const all = new Set<string | null | undefined>(offered(command.name(), '--'));
    for (const flag of flags) t.true(all.has(flag), `${command.name()} ${flag}`);
  }
});

test('a value that cannot be listed is left to the shell, which knows the files', (t) => {
  t.deepEqual(offered('start', '--config', ''), []);
  t.deepEqual(offered('start', '--data-path', '--'), []);
  t.deepEqual(offered('verify', ''), []);
});

test('zsh gets the same, through its layer for such scripts', (t) => {
  t.regex(completionScript(program, 'zsh'), /^autoload .*bashcompinit\n[\s\S]*complete .* coordinator\n$/);
});

test('an unknown shell is refused', (t) => {
  const some = new Command('some');
  addCompletion(some);
  for (const command of [some, ...some.commands]) {
    command.exitOverride().configureOutput({ writeErr: () => undefined });
  }
  t.throws(() => some.parse(['completion', 'fish'], { from: 'user' }), {
    message: /Allowed choices are bash, zsh/,
  });
});
