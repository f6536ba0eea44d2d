/**
 * Trains CORnet-Z and writes it as a graph of ONNX, RUN.onnx; then silences its areas one after the other and says what
 * that does to its validation.
 *
 *     npm install && npm start -- IMAGES RUN     # IMAGES has train/ and val/
 *     tensorboard --logdir RUN                   # the curves, also while it trains
 */
import { CornetError, exportWeights, models, readWeights, train, validate, writeCheckpoint } from 'cornet-ts';

const [images, run] = process.argv.slice(2);
if (images === undefined || run === undefined) throw new Error('npm start -- IMAGES RUN');

// The first Ctrl-C stops after a checkpoint; the same command then goes on.
const stopping = new AbortController();
process.once('SIGINT', () => stopping.abort());

try {
  const training = train({
    model: 'Z',
    imageSize: 64,
    batchSize: 32,
    epochs: 3,
    dataPath: images,
    outputPath: run,
    tensorboard: true,
    autoResume: true,
    signal: stopping.signal,
  });
  for await (const event of training) {
    if (event.type === 'start' && event.page !== null) console.log(`live page: ${event.page}`);
    if (event.type === 'validation')
      console.log(`epoch ${event.epoch.toFixed(1)}: top-1 ${percent(event.top1)}`);
  }
  const { outcome } = await training;
  if (outcome === 'complete') {
    await exportWeights(`${run}:best`, `${run}.onnx`, { force: true });
    await lesion(images, run);
  } else console.log('Stopped; the same command continues it.');
} catch (error) {
  if (!(error instanceof CornetError)) throw error;
  console.error(`${error.message} [${error.code}]\n${error.hint}`);
  process.exitCode = error.exitCode;
}

/** Silences each area in turn: all weights and biases of its convolution are 0. */
async function lesion(dataPath: string, run: string): Promise<void> {
  const areas = new Set(models.Z.stateDict().map(({ name }) => name.replace(/\..*/, '')));
  areas.delete('decoder');
  for (const area of [null, ...areas]) {
    const weights = await readWeights(`${run}:best`);
    for (const [name, tensor] of weights.tensors) {
      if (area !== null && name.startsWith(`${area}.`) && tensor.dtype === 'F32') tensor.data.fill(0);
    }
    const name = area === null ? 'whole' : `without-${area}`;
    const file = `${run}-${name}.safetensors`;
    await writeCheckpoint(file, weights, { force: true });
    const { top1, loss } = await validate({ weights: file, dataPath, outputPath: `${run}-${name}` });
    console.log(`${name}: top-1 ${percent(top1)}, loss ${loss.toFixed(3)}`);
  }
}

function percent(part: number): string {
  return `${(100 * part).toFixed(1)} %`;
}
