/**
 * A timer of the index of a data set:
 *
 *     node dist/test/bench/index-data.js FOLDER
 */
import { indexDataset } from '../../shared/data/dataset-index.ts';

const [folder] = process.argv.slice(2) as [string];
const start = performance.now();
const { train } = await indexDataset(folder, ['train']);
const seconds = (performance.now() - start) / 1000;
console.log(JSON.stringify({ images: train.size, seconds, megabytes: process.resourceUsage().maxRSS / 1e3 }));
