/** Reads the weights of CORnet-S and prints the process's peak memory, in bytes: `read-weights-memory.js FILE`. */
import { readWeights } from '../../coordinator/weights/read-weights.ts';
import { buildModel } from '../../shared/models/family.ts';

await readWeights(process.argv[2]!, buildModel('S', 1));
process.stdout.write(`${process.resourceUsage().maxRSS * 1024}\n`);
