/** `npm run bench`: one table from one run, medians of alternating pairs. `npm run bench -- --help` says what there is. */
import { cpus } from 'node:os';
import { Argument, Command, Option } from 'commander';
import { defaults } from '../../shared/defaults.ts';
import { type ModelName, modelNames } from '../../shared/models/model.ts';
import type { Precision } from '../../shared/run-config.ts';
import { benchBackends } from './backends.ts';
import { benchData } from './data.ts';
import { benchExchange, benchHosts } from './exchange.ts';
import { benchFeatures } from './features.ts';
import { benchFrozen } from './frozen.ts';
import { benchImages } from './images.ts';
import { type Row, threads } from './measure.ts';
import { benchMetrics } from './metrics.ts';
import { benchProtocol } from './protocol.ts';
import { benchRecovery } from './recovery.ts';
import { benchScaling } from './scaling.ts';
import { benchSteps } from './steps.ts';
import { benchWholeRun, benchWorkers } from './whole-run.ts';

interface BenchOptions {
  models: ModelName[];
  precisions: Precision[];
  batch: number;
  pairs: number;
}

const parts: Record<string, (options: BenchOptions) => Promise<Row[]>> = {
  steps: ({ models, precisions, batch, pairs }) => benchSteps(models, precisions, batch, pairs),
  frozen: ({ models, precisions, batch, pairs }) => benchFrozen(models, precisions, batch, pairs),
  backends: ({ models, batch, pairs }) => benchBackends(models, batch, pairs),
  features: ({ models, precisions, pairs }) => benchFeatures(models, precisions, pairs),
  images: ({ pairs }) => benchImages(pairs),
  run: ({ batch, pairs }) => benchWholeRun([batch, defaults.batchSize], pairs),
  workers: ({ pairs }) => benchWorkers(pairs),
  exchange: () => benchExchange(),
  hosts: () => benchHosts(),
  protocol: benchProtocol,
  metrics: benchMetrics,
};

/** Those that need more than others: root, and network namespaces. */
const onlyNamed = new Set(['hosts']);

/** With tables of their own, and only when they are asked for. */
const tables: Record<string, () => Promise<void> | void> = {
  /** Up to a thousand simulated workers, and docs/scaling.svg. */
  scaling: benchScaling,
  /** Each way in which images may lie about, beside class folders. */
  data: benchData,
  /** What the death of a worker costs. */
  recovery: benchRecovery,
};

const names = (text: string) => text.split(',');
const program = new Command('npm run bench --')
  .description('Measures cornet-ts beside its peers: one table from one run, medians of alternating pairs.')
  .addArgument(
    new Argument('[parts...]', 'what to measure; hosts, scaling, data and recovery only when named').choices([
      ...Object.keys(parts),
      ...Object.keys(tables),
    ]),
  )
  .addOption(new Option('--models <names>', 'Z,R,RT,S').default([...modelNames]).argParser(names))
  // bf16 is emulated, and slow, where the CPU has none.
  .addOption(new Option('--precisions <names>', 'fp32,bf16').default(['fp32', 'bf16']).argParser(names))
  .addOption(new Option('--batch <n>', 'images per step').default(16).argParser(Number))
  .addOption(new Option('--pairs <n>', 'pairs of measurements').default(3).argParser(Number))
  .showHelpAfterError()
  .parse();
const options = program.opts<BenchOptions>();
const chosen = program.args;

const [table] = chosen.filter((name) => name in tables);
if (table !== undefined) {
  await tables[table]!();
  process.exit();
}
const rows: Row[] = [];
for (const [name, part] of Object.entries(parts)) {
  if (chosen.length === 0 ? !onlyNamed.has(name) : chosen.includes(name)) rows.push(...(await part(options)));
}
console.log(
  `\n${threads} × ${cpus()[0]?.model}, Node ${process.version}, medians of ${options.pairs} alternating pairs\n`,
);
console.log('| what | cornet-ts | peer | ratio |\n|---|---|---|---|');
for (const { what, ours, peer, ratio } of rows) {
  console.log(`| ${what} | ${ours} | ${peer} | ${ratio === null ? '-' : ratio.toFixed(2)} |`);
}
process.exit();
