/** What is exported: weights of any kind that `--weights` takes, and the network that they are of. */
import { createHash } from 'node:crypto';
import { imageNetClasses, modelOf } from '../../shared/models/family.ts';
import type { Model } from '../../shared/models/model.ts';
import { unreached } from '../../shared/models/reach.ts';
import type { Notices } from '../../shared/process/notices.ts';
import { chooseNetwork, type Network } from '../inference/choose-network.ts';
import { describeWeights, findInferenceWeights } from '../inference/inference-weights.ts';
import { defaultOf } from '../options/table.ts';
import { noteAssumed } from '../weights/own-network.ts';
import type { NamedNetwork } from '../weights/write-weights.ts';

/** What the weights do not say of themselves, or not rightly. */
export interface NetworkAsked {
  readonly weightsKey?: string;
  readonly model?: string;
  readonly times?: number;
  readonly imageSize?: number;
}

export interface ExportSource {
  readonly network: Network;
  readonly model: Model;
  /** A snapshot body for inference (`stateLayout`). */
  readonly body: Uint8Array;
  /** SHA-256 of the body in hexadecimal: of the values alone, whatever file they came from. */
  readonly sha256: string;
  /** Of the file that they came from; null: they were drawn. */
  readonly fileSha256: string | null;
  /** `runs/z:best (SHA-256 5c427c9c…)`: of the file. */
  readonly description: string;
}

/**
 * Reads what is to be exported.
 * @param source as `--weights` takes it
 * @throws CornetError as `chooseNetwork` and `findInferenceWeights`
 */
export async function readSource(
  source: string,
  asked: NetworkAsked,
  notices: Pick<Notices, 'note' | 'warn'>,
): Promise<ExportSource> {
  const { weightsKey, ...network } = asked;
  const chosen = await chooseNetwork({ ...network, weights: source });
  for (const warning of chosen.warnings) notices.warn(warning);
  const blind = unreached(chosen);
  if (blind !== null) notices.warn(blind.sentence);
  if (chosen.names !== null) for (const note of noteAssumed(source, chosen.names)) notices.note(note);
  const { custom, times, head } = chosen;
  const model = modelOf({ model: chosen.model, custom, times, head: head ?? imageNetClasses });
  const key = weightsKey === undefined ? {} : { weightsKey };
  const wanted = { weights: source, seed: defaultOf('seed'), ...key };
  const found = await findInferenceWeights(wanted, model, notices);
  const body = await found.read();
  return {
    network: chosen,
    model,
    body,
    sha256: createHash('sha256').update(body).digest('hex'),
    fileSha256: /^[0-9a-f]{64}/.exec(found.identity)?.[0] ?? null,
    description: describeWeights(source, found.identity),
  };
}

/** What a file of the weights says of their network: no more than their source. */
export function namedNetwork({ network, model }: ExportSource): NamedNetwork {
  const { custom, times, imageSize, normalize, names } = network;
  const classNames = names === null || names.assumed ? null : names.names;
  return { model, custom, times, imageSize, normalize, classNames };
}

/** Time steps that were chosen; null: the model has its own. */
export function chosenTimes({
  model,
  custom,
  times,
}: Pick<Network, 'model' | 'custom' | 'times'>): number | null {
  return model === 'R' || model === 'RT' || custom !== undefined ? times : null;
}
