/** The Slurm script with everything real but Slurm: a `srun` that starts two tasks, a `scontrol` that takes notes. */
import { spawn } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import {
  Command,
  checkpoint,
  isPaused,
  pausedAt,
  Stage,
  tinyImages,
  tinyRun,
  tinySteps,
  trainedSteps,
} from '../helpers/run.ts';
import { thorough } from '../helpers/thorough.ts';

thorough(
  'a Slurm job stops before its time is up and is queued again; the next job waits for its end, and comes to the same bytes',
  async (t) => {
    const stage = new Stage(t);
    const programs = join(stage.folder, 'bin');
    const notes = join(stage.folder, 'notes');
    mkdirSync(programs);
    const program = (name: string, ...lines: string[]) =>
      writeFileSync(join(programs, name), ['#!/bin/bash', ...lines, ''].join('\n'), { mode: 0o755 });
    program('srun', "trap 'kill $(jobs -p)' TERM", '"$@" & "$@" & wait');
    program('scontrol', `echo "$@" >>${notes}`);
    for (const command of ['coordinator', 'worker'])
      program(command, `exec ${process.execPath} ${resolve('dist', command, 'main.js')} "$@"`);

    const output = join(stage.folder, 'run');
    const [, ...options] = tinyRun(await tinyImages(stage.folder));
    const [former, later] = [process.pid, process.pid + 1];
    const job = (id: number) =>
      new Command(
        spawn('bash', ['deploy/slurm/cornet.sbatch', ...options], {
          stdio: ['ignore', 'pipe', 'pipe'],
          env: stage.environment({
            PATH: `${programs}:${process.env.PATH}`,
            RUN: output,
            WORKER_OPTIONS: '--device cpu',
            SLURM_JOB_ID: String(id),
            SLURMD_NODENAME: '127.0.0.1',
            ...pausedAt(9), // by when both workers serve the run
          }),
        }),
      );
    const first = job(former);
    const signal = (part: string, name: NodeJS.Signals) => {
      for (const pid of stage.processes(part)) process.kill(pid, name);
    };
    await first.until('it stood still', () => stage.processes('coordinator/main.js').some(isPaused));
    signal('worker/main.js', 'SIGSTOP'); // so that the run lasts, and its coordinator answers
    signal('coordinator/main.js', 'SIGCONT');
    const port = 10_000 + (former % 10_000);
    t.regex(first.stdout, new RegExp(`ssh -L ${port}:127\\.0\\.0\\.1:${port} LOGIN_NODE`));
    const targets = await (await fetch(`http://127.0.0.1:${port}/service-discovery`)).json();
    t.deepEqual(
      (targets as { labels: { role: string } }[]).map(({ labels }) => labels.role).sort(),
      ['coordinator', 'worker', 'worker'],
      'Prometheus finds both workers on the port of the job',
    );
    first.signal('SIGTERM');
    signal('worker/main.js', 'SIGCONT');
    t.is(await first.ended, 75, first.stderr);
    t.is(readFileSync(notes, 'utf8'), `requeue ${former}\n`);
    t.true(trainedSteps(output).length < tinySteps);

    // As if it had also lost its node: the lock names another host.
    writeFileSync(join(output, 'lock'), '{"host":"node-that-broke","pid":1,"started":null}');
    program('squeue', `echo ${former} RUNNING`);
    const early = job(later);
    t.is(await early.ended, 1);
    t.regex(early.stderr, /on host node-that-broke with .*\[RUN_LOCKED\]/);
    program('squeue', 'echo "slurm_load_jobs error: Invalid job id specified" >&2', 'exit 1');
    const second = job(later);
    t.is(await second.ended, 0, second.stderr);
    t.is(readFileSync(notes, 'utf8').split('\n').length, 2);
    t.false(existsSync(join(output, 'lock')));

    const alone = join(stage.folder, 'alone');
    const local = stage.start('coordinator', ['start', ...options, '--cpu-workers', '2', '-o', alone]);
    t.is(await local.ended, 0, local.stderr);
    t.true(checkpoint(output, tinySteps).equals(checkpoint(alone, tinySteps)));
  },
);
