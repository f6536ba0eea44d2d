/** Reads the weights of CORnet-S and prints the process's peak memory, in bytes: `read-weights-memory.js FILE`. */
import { readFileSync } from 'node:fs';
import { readWeights } from '../../coordinator/weights/read-weights.ts';
import { buildModel } from '../../shared/models/family.ts';

await readWeights(process.argv[2]!, buildModel('S', 1));
// `resourceUsage` counts what the parent had when it forked, too.
const [, kilobytes] = /^VmHWM:\s*(\d+) kB/m.exec(readFileSync('/proc/self/status', 'latin1'))!;
process.stdout.write(`${Number(kilobytes) * 1024}\n`);
