/** What a run that has diverged advises. */
import test from 'ava';
import { type CheckpointRecord, fileNameOf } from '../../coordinator/checkpoints/checkpoint-records.ts';
import { failureOf } from '../../coordinator/training/failure.ts';
import { errorTable } from '../../shared/errors.ts';

const failure = { code: 'NOT_FINITE', message: 'The loss is not finite at step 5, lane 0.' } as const;

const record = (step: number, loss: number | null = null): CheckpointRecord => ({
  file: fileNameOf(step),
  sha256: '0'.repeat(64),
  step,
  kept: false,
  validation: loss === null ? null : { top1: 0.1, loss },
});

/** What is advised where there are these checkpoints, the last one the latest. */
function adviceWith(...records: CheckpointRecord[]): string {
  return adviceWithBest(null, ...records);
}

function adviceWithBest(best: CheckpointRecord | null, ...records: CheckpointRecord[]): string {
  const error = failureOf(
    failure,
    { latest: records.at(-1) ?? null, records, best },
    '/my runs/z/checkpoints',
  );
  return `${error.message} ${error.hint}`;
}

test('a loss that is not finite before the first step is done is advised to begin again, in the same place', (t) => {
  const advice =
    'No step was finished: run the same command again with a lower --lr, and check the images named.';
  t.is(adviceWith(), `${failure.message} ${advice}`);
  t.is(adviceWith(record(0)), `${failure.message} ${advice}`);
});

test('where the state that came to it is the only one, the way on is a new run', (t) => {
  t.is(
    adviceWith(record(4)),
    `${failure.message} Start a new run with a lower --lr and another --output-path.`,
  );
});

test('where there is an earlier checkpoint it is named, unless its validation was not finite either', (t) => {
  const from = (step: string) =>
    `${failure.message} Start a new run with a lower --lr and another --output-path, from its beginning or ` +
    `from an earlier checkpoint: --restore-path '/my runs/z/checkpoints/step-0000000${step}.safetensors'`;
  t.is(adviceWith(record(1, 2.3), record(2), record(4)), from('2'));
  t.is(adviceWith(record(1, 2.3), record(2, Number.NaN), record(4)), from('1'));
  t.regex(adviceWith(record(1, Number.NaN), record(4)), /another --output-path\.$/);
});

test('the best checkpoint is named rather than a later one that was on the way to it', (t) => {
  const best = record(1, 2.3);
  t.regex(adviceWithBest(best, record(2, 1e9), record(4)), /--restore-path '.*step-00000001\.safetensors'$/);
  t.regex(adviceWithBest(record(4, 2.3), record(2, 3.1), record(4, 2.3)), /step-00000002\.safetensors'$/);
});

test('another failure keeps its own advice', (t) => {
  const other = { code: 'BLOB_LOST', message: 'Blobs vanished.' } as const;
  t.is(
    failureOf(other, { latest: null, records: [], best: null }, '/runs/z').hint,
    errorTable.BLOB_LOST.remedy,
  );
});
