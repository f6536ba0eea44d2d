import { CornetError } from '../../shared/errors.ts';
import { shellWords } from '../../shared/util/shell-words.ts';
import type { Checkpoints } from '../checkpoints/checkpoints.ts';
import type { Failure } from '../protocol/run-events.ts';

/**
 * Why a run failed; the way out of a loss that is not finite depends on what there is to go back to.
 * @param folder of the checkpoints
 */
export function failureOf(
  failure: Failure,
  { latest, records, best }: Pick<Checkpoints, 'latest' | 'records' | 'best'>,
  folder: string,
): CornetError {
  if (failure.code !== 'NOT_FINITE') return CornetError.fromJSON(failure);
  if (latest === null || latest.step === 0) {
    const hint =
      'No step was finished: run the same command again with a lower --lr, and check the images named.';
    return CornetError.fromJSON({ ...failure, hint });
  }
  // The newest one has the state that came to this, and those before it were on the way there: the best is not.
  const before = records.slice(0, -1);
  const good =
    best !== null && best.step < latest.step
      ? best
      : before.findLast(({ validation }) => !Number.isNaN(validation?.loss));
  const from =
    good === undefined
      ? ''
      : `, from its beginning or from an earlier checkpoint: --restore-path ${shellWords([`${folder}/${good.file}`])}`;
  const hint = `Start a new run with a lower --lr and another --output-path${from === '' ? '.' : from}`;
  return CornetError.fromJSON({ ...failure, hint });
}
