/** Checkpoints that are due, and a disk that is slow or refuses. */
import test from 'ava';
import type { Run } from '../../coordinator/protocol/run.ts';
import type { RunAction } from '../../coordinator/protocol/run-events.ts';
import { heldSnapshots, longWait, timeouts } from '../../shared/defaults.ts';
import { Computing } from '../helpers/computing.ts';

/** A run of one worker whose steps are done, as far as that their states are published. */
class Saving {
  readonly #computing: Computing;
  readonly run: Run;
  #heard = 0;

  /** @param due of every step */
  constructor(due: boolean) {
    this.#computing = new Computing(1, 1, undefined, { totalSteps: 9, checkpointDue: () => due });
    this.run = this.#computing.run;
  }

  /** The next step is done, and its state published. */
  publish(): RunAction[] {
    this.#computing.doStep();
    const { step } = this.run;
    const ref = { name: `snapshot-${step}`, bytes: 1, digest: '0', at: 'redis' };
    return this.#computing.say('worker-0', { type: 'snapshot-published', step, ref });
  }

  /** The same, and the coordinator holds it. */
  hold(): void {
    this.publish();
    this.run.handle({ type: 'held', step: this.run.step });
  }

  /** Time passes in which the worker is heard. Returns what is logged. */
  pass(milliseconds: number): string[] {
    const logged: string[] = [];
    for (const end = this.#heard + milliseconds; this.#heard < end; ) {
      this.#heard += Math.min(timeouts.beat, end - this.#heard);
      this.#computing.say('worker-0', { type: 'beat', doing: 'computing' });
      logged.push(...messages(this.run.handle({ type: 'tick', heard: this.#heard })));
    }
    return logged;
  }
}

function messages(actions: RunAction[]): string[] {
  return actions.flatMap((action) => (action.type === 'log' ? [`${action.level}: ${action.message}`] : []));
}

function saves(actions: RunAction[]): number[] {
  return actions.flatMap((action) => (action.type === 'save' ? [action.step] : []));
}

test('a run that stands still for a checkpoint says whether its state is read, or the disk is waited for', (t) => {
  const saving = new Saving(true);
  const { run } = saving;
  t.deepEqual(saves(saving.publish()), [1]);
  t.is(run.phase, 'saving');
  t.is(run.sentence, 'Reading the state at step 1 for a checkpoint.');
  run.handle({ type: 'held', step: 1 });
  t.is(run.phase, 'computing', 'the disk is not waited for');
  for (let held = 1; held < heldSnapshots; held++) saving.hold();

  t.deepEqual(saves(saving.publish()), [], 'no third state is held');
  t.is(run.phase, 'saving');
  t.deepEqual(saving.pass(1_000), []);
  t.is(run.sentence, 'Waiting at step 3 for the disk to write 2 checkpoints, 1.0 s so far.');
  const logged = saving.pass(longWait + timeouts.beat);
  t.deepEqual(logged, ['info: Waiting at step 3 for the disk to write 2 checkpoints, 10 s so far.']);

  t.deepEqual(saves(run.handle({ type: 'saved', step: 1, outcome: 'written' })), [3]);
  t.regex(run.sentence, /^Reading the state at step 3 for a checkpoint/);
});

test('each checkpoint that was due and that the disk refuses is named, and the run goes on', (t) => {
  const saving = new Saving(true);
  const { run } = saving;
  saving.hold();
  t.deepEqual(messages(run.handle({ type: 'saved', step: 1, outcome: 'failed' })), [
    'warn: The checkpoint of step 1, which was due, was not written.',
  ]);
  t.is(run.phase, 'computing');
  saving.hold();
  t.deepEqual(messages(run.handle({ type: 'saved', step: 2, outcome: 'written' })), []);
});

test('a checkpoint that was only wanted, and that the disk refuses, is none that is missing', (t) => {
  const saving = new Saving(false);
  const { run } = saving;
  run.handle({ type: 'save-due' });
  t.deepEqual(saves(saving.publish()), [1]);
  run.handle({ type: 'held', step: 1 });
  t.deepEqual(messages(run.handle({ type: 'saved', step: 1, outcome: 'failed' })), []);
});
