/** How many outputs the decoder of a new run has, what they stand for, and where the rows of its head come from. */
import assert from 'node:assert/strict';
import { outputsOf } from '../../shared/data/class-outputs.ts';
import { CornetError } from '../../shared/errors.ts';
import { type NetworkOptions, networkOf } from '../../shared/models/family.ts';
import { withOptionalHead } from '../../shared/models/model.ts';
import type { HeadOrigin, ResultOptions } from '../../shared/run-config.ts';
import { quoteName } from '../../shared/util/printable.ts';
import type { StartOptions } from '../options/table.ts';
import { grouped } from '../view/format.ts';
import type { HeadChange } from '../weights/change-head.ts';
import { namesOfHead, noteAssumed, ownNetwork, publishedHead, someOf } from '../weights/own-network.ts';
import type { OwnNetwork } from '../weights/said-network.ts';

export interface ChosenHead {
  /** Outputs of the decoder. */
  readonly head: number;
  /** What the first of them stand for; every class of the data set is among them. */
  readonly classNames: readonly string[];
  readonly origin: HeadOrigin;
  /** Sentences about what a user may not expect. */
  readonly notes: readonly string[];
}

type Asked = Pick<StartOptions, 'weights' | 'restorePath' | 'head' | 'newHead' | 'extendHead'>;
type OwnHead = Pick<OwnNetwork, 'head' | 'classNames'>;

/**
 * @param classes of the data set
 * @throws CornetError OPTION_INVALID, WEIGHTS_MISMATCH (the head of the weights has another size), and as `ownNetwork`
 */
export async function chooseHead(asked: Asked, classes: readonly string[]): Promise<ChosenHead> {
  const head = asked.head ?? classes.length;
  if (head < classes.length) {
    throw new CornetError(
      'OPTION_INVALID',
      `--head ${head} has fewer outputs than the data set has classes: ${classes.length}.`,
      { hint: `Give at least --head ${classes.length}, or omit it.` },
    );
  }
  const origin = originOf(asked);
  const source = asked.weights ?? asked.restorePath;
  if (source === undefined || origin === 'new') return { head, classNames: classes, origin, notes: [] };
  const own = source === 'pretrained' ? publishedHead : await ownNetwork(source);
  return origin === 'extended'
    ? extended(source, own, classes, head)
    : kept(asked, source, own, classes, head);
}

function originOf({ weights, newHead = false, extendHead = false }: Asked): HeadOrigin {
  if (!newHead && !extendHead) return 'kept';
  const flag = newHead ? '--new-head' : '--extend-head';
  if (newHead && extendHead) {
    throw new CornetError('OPTION_INVALID', '--new-head and --extend-head exclude each other.', {
      hint: '--new-head draws every row of the head; --extend-head keeps those of the classes that the weights know.',
    });
  }
  if (weights === undefined) {
    throw new CornetError('OPTION_INVALID', `${flag} changes the head of --weights, and none are given.`, {
      hint: `Leave ${flag} out, or name the weights: --weights pretrained, a file, or a run.`,
    });
  }
  return newHead ? 'new' : 'extended';
}

function kept(
  asked: Asked,
  source: string,
  own: OwnHead,
  classes: readonly string[],
  head: number,
): ChosenHead {
  // Without a head, or with several, the reading of the weights says what is wrong.
  if (own.head !== undefined && own.head !== head) throw otherSize(asked, source, own.head, head, classes);
  const known = namesOfHead(own);
  const outputs = known === null ? [null] : outputsOf(classes, known.names);
  if (known !== null && outputs.every((output) => output !== null)) {
    const inOrder = outputs.every((output, position) => output === position);
    const notes = inOrder ? [] : noteAssumed(source, known);
    return { head, classNames: known.names, origin: 'kept', notes };
  }
  const notes =
    known === null || known.assumed
      ? []
      : [
          `The head of ${quoteName(source)} is of other classes (${someOf(known.names)}): its rows go on for those of the data set, in their order. --new-head draws them, --extend-head keeps those of the same name.`,
        ];
  return { head, classNames: classes, origin: 'kept', notes };
}

function extended(source: string, own: OwnHead, classes: readonly string[], head: number): ChosenHead {
  const known = namesOfHead(own);
  if (known === null) {
    const why =
      own.head === undefined ? 'has no head' : 'does not say which classes the rows of its head are of';
    throw new CornetError('WEIGHTS_MISMATCH', `${quoteName(source)} ${why}: there is nothing to extend.`, {
      hint: 'Use --new-head: every row is drawn.',
    });
  }
  const ours = new Set(classes);
  const others = known.names.filter((name) => !ours.has(name)).slice(0, head - classes.length);
  const theirs = new Set(known.names);
  const keeping = classes.filter((name) => theirs.has(name)).length + others.length;
  const note = `The head keeps ${grouped(keeping)} of the ${grouped(known.names.length)} rows of ${quoteName(source)} and draws ${grouped(head - keeping)}.`;
  return {
    head,
    classNames: [...classes, ...others],
    origin: 'extended',
    notes: [note, ...noteAssumed(source, known)],
  };
}

function otherSize(
  { restorePath }: Asked,
  source: string,
  theirs: number,
  head: number,
  classes: readonly string[],
): CornetError {
  const wanted =
    head === classes.length
      ? `the data set has ${grouped(head)} classes`
      : `--head asks for ${grouped(head)}`;
  const message = `The head of ${quoteName(source)} has ${grouped(theirs)} outputs, and ${wanted}.`;
  const asItIs = theirs > classes.length ? ` --head ${theirs} takes it as it is.` : '';
  const hint =
    restorePath === undefined
      ? `Use --new-head (a head drawn with the seed) or --extend-head (rows of classes of the same name are kept, the others drawn), or give the data set that the weights were trained on.${asItIs}`
      : `Give the data set that the checkpoint was trained on, or begin a new run with its weights: --weights with --new-head or --extend-head.${asItIs}`;
  return new CornetError('WEIGHTS_MISMATCH', message, { hint });
}

/**
 * What becomes of the head of a file; null: it stays as it is.
 * @param source as for `ownNetwork`, or `pretrained`
 * @throws CornetError as `ownNetwork`
 */
export async function headChange(
  {
    head,
    classNames,
    seed,
    ...network
  }: Pick<NetworkOptions, 'model' | 'custom' | 'times' | 'head'> & Pick<ResultOptions, 'classNames' | 'seed'>,
  origin: HeadOrigin,
  source: string,
): Promise<HeadChange | null> {
  if (origin === 'kept') return null;
  const wanted = networkOf({ ...network, head });
  if (origin === 'new') {
    return { from: withOptionalHead(wanted), rows: Array.from({ length: head }, () => null), seed };
  }
  const own = source === 'pretrained' ? publishedHead : await ownNetwork(source);
  const known = namesOfHead(own);
  assert(
    known !== null && own.head !== undefined,
    'the weights say what their outputs stand for, or were refused',
  );
  const rows = outputsOf(classNames, known.names);
  const from = networkOf({ ...network, head: own.head });
  return { from, rows: [...rows, ...Array.from({ length: head - rows.length }, () => null)], seed };
}
