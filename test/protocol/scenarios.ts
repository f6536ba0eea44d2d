/** The worlds that are played, each a function of its seed. */
import { type Scenario, World } from './world.ts';

export const training = (seed: number): Scenario => ({
  seed,
  lanes: 1 + (seed % 4),
  steps: 4 + (seed % 5),
  fleet: 1 + (seed % 3),
  faults: seed % 12,
});

export const readOut = (seed: number): Scenario => ({
  seed,
  lanes: 0,
  steps: 0,
  batches: 1 + (seed % 12),
  fleet: 1 + (seed % 3),
  faults: seed % 12,
});

/** One inference run is played for so many trainings. */
export const readOutEvery = 5;

/** What happened in a number of worlds. */
export interface Tally {
  worlds: number;
  moves: number;
  applies: number;
  audits: number;
  /** Blobs that were read over TCP. */
  overTcp: number;
  /** Those that their readers turned out not to reach. */
  unreached: number;
  faults: Record<string, number>;
}

export function emptyTally(): Tally {
  return { worlds: 0, moves: 0, applies: 0, audits: 0, overTcp: 0, unreached: 0, faults: {} };
}

export function add(
  total: Tally,
  { worlds, moves, applies, audits, overTcp, unreached, faults }: Tally,
): void {
  total.worlds += worlds;
  total.moves += moves;
  total.applies += applies;
  total.audits += audits;
  total.overTcp += overTcp;
  total.unreached += unreached;
  for (const [kind, times] of Object.entries(faults)) total.faults[kind] = (total.faults[kind] ?? 0) + times;
}

/**
 * Plays the worlds of `count` seeds, one after the other.
 * @throws Error at the first that goes wrong, with the commands to repeat and to keep it
 */
export function playWorlds(scenarioOf: (seed: number) => Scenario, first: number, count: number): Tally {
  const tally = emptyTally();
  for (let seed = first; seed < first + count; seed++) {
    const scenario = scenarioOf(seed);
    try {
      add(tally, { worlds: 1, ...new World(scenario).play() });
    } catch (error) {
      throw new Error(`${describe(scenario)}\n${(error as Error).stack}`);
    }
  }
  return tally;
}

function describe(scenario: Scenario): string {
  const [what, list] = scenario.batches === undefined ? ['world', 'kept'] : ['inference run', 'keptReadOuts'];
  const { seed } = scenario;
  return (
    `The ${what} of seed ${seed} went wrong: ${JSON.stringify(scenario)}. Play it again:\n` +
    `  CORNET_WORLD=${seed} CORNET_WORLDS=1 npx ava dist/test/protocol/interleavings.test.js\n` +
    `When it is mended, add ${seed} to \`${list}\` in test/protocol/interleavings.test.ts.`
  );
}
