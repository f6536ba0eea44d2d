/** The bits of a model's gradients under conditions that must not change them. */
import type { ModelName } from '../../../shared/models/model.ts';
import { eachLineOfScript, parsed, Table, type Target } from './table.ts';

const limit = 60;

export async function benchBits(target: Target): Promise<void> {
  const { device, threads, batch, precision } = target;
  const table = new Table(`Digests of gradients on ${device}, ${precision}`, [
    'what',
    'SHA-256, its beginning',
  ]);
  const differing: string[] = [];
  const compare = async (
    model: ModelName,
    [images, shards]: readonly [number, number],
    ways: readonly { what: string; left?: number; variables?: NodeJS.ProcessEnv }[],
  ) => {
    const digests = new Set<string>();
    for (const { what, left = 0, variables } of ways) {
      let digest = '-';
      const failed = await eachLineOfScript(
        'gpu/digests.js',
        [model, device, threads, precision, images, shards, left],
        { threads, limit, ...(variables === undefined ? {} : { variables }) },
        parsed((answer: { digest: string }) => {
          digest = answer.digest;
        }),
      );
      table.row([`CORnet-${model}, ${shards} shards of ${images}, ${what}`, failed ?? digest]);
      if (failed === null) digests.add(digest); // what is refused has no other bits
    }
    if (digests.size > 1) differing.push(model);
  };
  const some = Math.min(batch, 64);
  await compare(
    'Z',
    [some, batch < 64 ? 4 : 100],
    [{ what: 'as they come' }, { what: 'CUDA_LAUNCH_BLOCKING=1', variables: { CUDA_LAUNCH_BLOCKING: '1' } }],
  );
  await compare(
    'S',
    [some, 3],
    [
      { what: 'an empty GPU' },
      { what: 'again' },
      { what: '6 GiB of the GPU left', left: 6 },
      { what: '2 GiB of the GPU left', left: 2 },
    ],
  );
  if (differing.length > 0) throw new Error(`The bits differ: ${differing.join(', ')}.`);
}
