/**
 * `npm run bench`: one table from one run, medians of alternating pairs.
 *
 *     npm run bench                        everything
 *     npm run bench -- steps --models Z,S  one part
 *     npm run bench -- scaling             up to a thousand simulated workers: a table of its own, and docs/scaling.svg
 *     npm run bench -- recovery            what the death of a worker costs: a table of its own
 */
import { cpus } from 'node:os';
import { parseArgs } from 'node:util';
import { defaults } from '../../shared/defaults.ts';
import { type ModelName, modelNames } from '../../shared/models/model.ts';
import type { Precision } from '../../shared/run-config.ts';
import { benchBackends } from './backends.ts';
import { benchExchange } from './exchange.ts';
import { benchFeatures } from './features.ts';
import { benchImages } from './images.ts';
import { type Row, threads } from './measure.ts';
import { benchMetrics } from './metrics.ts';
import { benchProtocol } from './protocol.ts';
import { benchRecovery } from './recovery.ts';
import { benchScaling } from './scaling.ts';
import { benchSteps } from './steps.ts';
import { benchWholeRun, benchWorkers } from './whole-run.ts';

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    models: { type: 'string', default: modelNames.join() },
    precisions: { type: 'string', default: 'fp32,bf16' }, // bf16 is emulated, and slow, where the CPU has none
    batch: { type: 'string', default: '16' },
    pairs: { type: 'string', default: '3' },
  },
});
const models = values.models.split(',') as ModelName[];
const precisions = values.precisions.split(',') as Precision[];
const batch = Number(values.batch);
const pairs = Number(values.pairs);

const parts: Record<string, () => Promise<Row[]>> = {
  steps: () => benchSteps(models, precisions, batch, pairs),
  backends: () => benchBackends(models, batch, pairs),
  features: () => benchFeatures(models, precisions, pairs),
  images: () => benchImages(pairs),
  run: () => benchWholeRun([batch, defaults.batchSize], pairs),
  workers: () => benchWorkers(pairs),
  exchange: () => benchExchange(),
  protocol: benchProtocol,
  metrics: benchMetrics,
};

if (positionals.includes('scaling')) {
  benchScaling();
  process.exit();
}
if (positionals.includes('recovery')) {
  await benchRecovery();
  process.exit();
}
const rows: Row[] = [];
for (const [name, part] of Object.entries(parts)) {
  if (positionals.length === 0 || positionals.includes(name)) rows.push(...(await part()));
}
console.log(
  `\n${threads} × ${cpus()[0]?.model}, Node ${process.version}, medians of ${pairs} alternating pairs\n`,
);
console.log('| what | cornet-ts | peer | ratio |\n|---|---|---|---|');
for (const { what, ours, peer, ratio } of rows) {
  console.log(`| ${what} | ${ours} | ${peer} | ${ratio === null ? '-' : ratio.toFixed(2)} |`);
}
process.exit();
