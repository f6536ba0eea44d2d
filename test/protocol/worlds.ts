/** `npm run worlds -- --count 1000000`: fresh worlds of the protocol's model. */
import { randomInt } from 'node:crypto';
import { availableParallelism } from 'node:os';
import { isMainThread, parentPort, Worker } from 'node:worker_threads';
import { Command, Option } from 'commander';
import { add, emptyTally, playWorlds, readOut, readOutEvery, type Tally, training } from './scenarios.ts';

/** Seeds that a thread plays between two reports. */
const portion = 500;
/** Milliseconds between two lines about the progress. */
const pause = 10_000;
/** Seeds have 32 bits: from below here no count comes to their end. */
const lastFirst = 2 ** 31;

interface Portion {
  first: number;
  count: number;
}

function play({ first, count }: Portion): Tally {
  const tally = playWorlds(training, first, count);
  add(tally, playWorlds(readOut, first, Math.ceil(count / readOutEvery)));
  return tally;
}

async function playAll(): Promise<void> {
  const { count, first } = new Command('npm run worlds --')
    .description("Plays fresh worlds of the protocol's model on all cores, until one goes wrong.")
    .addOption(new Option('--count <n>', 'how many').default(1_000_000).argParser(Number))
    .addOption(
      new Option('--first <seed>', 'where the seeds begin')
        .default(randomInt(lastFirst), 'anywhere')
        .argParser(Number),
    )
    .showHelpAfterError()
    .parse()
    .opts<{ count: number; first: number }>();
  const began = performance.now();
  const seconds = () => `${((performance.now() - began) / 1000).toFixed(0)} s`;
  console.log(`${count} worlds from seed ${first}`);
  const total = emptyTally();
  let given = 0;
  const say = () => console.log(`${seconds().padStart(7)}  ${given} of ${count} seeds`);
  const timer = setInterval(say, pause);
  const threads = Array.from({ length: availableParallelism() }, () => {
    const thread = new Worker(new URL(import.meta.url));
    const next = () => {
      if (given >= count) return void thread.postMessage(null);
      const some: Portion = { first: first + given, count: Math.min(portion, count - given) };
      given += some.count;
      thread.postMessage(some);
    };
    thread.on('message', (tally: Tally) => {
      add(total, tally);
      next();
    });
    next();
    return new Promise<void>((resolve, reject) => {
      thread.on('error', reject);
      thread.on('exit', () => resolve());
    });
  });
  await Promise.all(threads);
  clearInterval(timer);
  const { worlds, moves, applies, audits, overTcp, unreached, faults } = total;
  console.log(
    `${worlds} worlds in ${seconds()}, ${moves} moves, ${applies} updates compared, ${audits} audits, ${overTcp} blobs over TCP (${unreached} more not reached), faults: ${JSON.stringify(faults)}`,
  );
}

if (isMainThread) {
  await playAll().catch((error: Error) => {
    console.error(error.message);
    process.exit(1);
  });
} else {
  parentPort!.on('message', (some: Portion | null) => {
    if (some === null) return parentPort!.close();
    parentPort!.postMessage(play(some));
  });
}
