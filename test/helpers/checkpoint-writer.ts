/** Writes checkpoints as fast as it can until it is killed: `checkpoint-writer.js FOLDER ELEMENTS FIRST_STEP`. */
import { Checkpoints } from '../../coordinator/checkpoints/checkpoints.ts';
import { tinyLayout, tinyState } from './tiny-state.ts';

const [folder, elements, first] = process.argv.slice(2);
const checkpoints = await Checkpoints.open(folder!, tinyLayout(Number(elements)), 2);
for (let step = Number(first); ; step++) {
  const body = tinyState(Number(elements), step);
  const validation = { top1: step % 5, loss: 1 };
  await checkpoints.write({ step, epoch: 0, body, identity: {}, keepForEver: step % 7 === 0, validation });
  process.stdout.write(`${step}\n`);
}
