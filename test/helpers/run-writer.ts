/**
 * A coordinator's disk side: takes a run folder, writes checkpoints and metrics as fast as it can, and says why it ends:
 * `run-writer.js FOLDER HOST ELEMENTS`.
 */
import { Checkpoints } from '../../coordinator/checkpoints/checkpoints.ts';
import { RunFolder } from '../../coordinator/run-folder/run-folder.ts';
import { CornetError } from '../../shared/errors.ts';
import { tinyLayout, tinyState } from './tiny-state.ts';

const [path, host, elements] = process.argv.slice(2);
const folder = await RunFolder.open(path!, host!);
const count = Number(elements);
try {
  const checkpoints = await Checkpoints.open(folder.checkpointsPath, tinyLayout(count), 2, {
    fence: folder.fence,
    checkIdentity: () => undefined,
  });
  const first = (checkpoints.latest?.step ?? 0) + 1;
  const metrics = await folder.openMetrics(first - 1, () => {});
  for (let step = first; ; step++) {
    await metrics.append({ step });
    const more = { epoch: 0, identity: {}, keepForEver: false, validation: null };
    await checkpoints.write({ step, body: tinyState(count, step), ...more });
    process.stdout.write(`${step}\n`);
  }
} catch (error) {
  if (!(error instanceof CornetError)) throw error;
  await folder.release();
  process.stdout.write(`${error.code} ${error.message}\n`);
}
