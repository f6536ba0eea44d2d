import { randomInt } from 'node:crypto';
import test from 'ava';
import { testsAll } from '../helpers/thorough.ts';
import { playWorlds, readOut, readOutEvery, training } from './scenarios.ts';
import { type FaultKind, World } from './world.ts';

/** Fixed seeds, and as many fresh ones in every run; with CORNET_WORLD only those from there on. */
const worlds = Number(process.env.CORNET_WORLDS ?? (testsAll ? 5_000 : 2_000));
const first = process.env.CORNET_WORLD === undefined ? null : Number(process.env.CORNET_WORLD);
const fresh = randomInt(2 ** 31);

// Seeds of faults that were mended. Draws change with the model: what each stood for then need not be what it is now.
const kept = [11_530, 17_094, 527_950, 900_017_573, 328_051_410, 1_132_098_221];
const keptReadOuts: number[] = [];

const everyKind: readonly FaultKind[] = [
  ...(['kill', 'join', 'wipe', 'coordinator', 'lose', 'drain', 'sicken'] as const),
  ...(['give-up', 'stop', 'wish', 'trim', 'forget', 'doze', 'usurp', 'firewall'] as const),
];
const trainingKinds: readonly FaultKind[] = [...everyKind, 'freeze', 'suspect', 'save'];

test('worlds in which something was lost once, or waited forever, end in the undisturbed state', (t) => {
  for (const seed of kept) t.notThrows(() => playWorlds(training, seed, 1));
  for (const seed of keptReadOuts) t.notThrows(() => playWorlds(readOut, seed, 1));
});

for (const [which, seed] of first === null
  ? ([
      ['fixed', 0],
      ['fresh', fresh],
    ] as const)
  : ([['chosen', first]] as const)) {
  test(`random interleavings (${which} ones) of deaths, sick devices, zombies, joins, drained workers, wiped Redis, failovers, stops, firewalls, and dead, sleeping and superseded coordinators end in the undisturbed state`, (t) => {
    t.log(`seeds from ${seed}`);
    const { moves, applies, audits, overTcp, unreached, faults } = playWorlds(training, seed, worlds);
    t.log(
      `${worlds} worlds, ${moves} moves, ${applies} updates compared, ${audits} audits, ${overTcp} blobs over TCP (${unreached} more not reached), faults: ${JSON.stringify(faults)}`,
    );
    t.true(worlds < 1000 || audits > 0);
    t.true(worlds < 1000 || overTcp > worlds, 'hardly anything went over TCP');
    t.true(worlds < 1000 || unreached * 50 < overTcp, 'what cannot be reached is published over TCP');
    for (const kind of trainingKinds) t.true(worlds < 1000 || faults[kind]! > 0, `no ${kind} happened`);
  });

  test(`random interleavings (${which} ones) of inference runs store every row once and for all`, (t) => {
    t.log(`seeds from ${seed}`);
    const { overTcp, faults } = playWorlds(readOut, seed, Math.ceil(worlds / readOutEvery));
    t.log(`${overTcp} blobs over TCP, faults: ${JSON.stringify(faults)}`);
    t.true(worlds < 1000 || overTcp > 0, 'nothing went over TCP');
    for (const kind of everyKind) t.true(worlds < 1000 || faults[kind]! > 0, `no ${kind} happened`);
  });
}

test('when a worker dies, only its own shards are given out again', (t) => {
  const lanes = 3;
  for (let seed = first ?? 0; seed < (first ?? 0) + Math.ceil(worlds / readOutEvery); seed++) {
    const world = new World({ seed, lanes, steps: 8, fleet: 3, faults: 1, kinds: ['kill'] });
    world.play();
    if (world.dropped > 1) continue; // another was thought dead
    const again = [...world.given].filter(([, times]) => times > 1).map(([shard]) => shard.split(',')[0]);
    t.is(new Set(again).size, again.length, `world ${seed}: two shards of one step`);
  }
});

test('when the device of a worker fails, only its own shards are given out again', (t) => {
  let failures = 0;
  for (let seed = first ?? 0; seed < (first ?? 0) + Math.ceil(worlds / readOutEvery); seed++) {
    const world = new World({ seed, lanes: 3, steps: 8, fleet: 3, faults: 1, kinds: ['sicken'] });
    failures += world.play().faults.sicken ?? 0;
    if (world.dropped > 1) continue;
    const again = [...world.given].filter(([, times]) => times > 1).map(([shard]) => shard.split(',')[0]);
    t.is(new Set(again).size, again.length, `world ${seed}: two shards of one step`);
  }
  t.true(failures > 0);
});

test('in no interleaving does a worker that is asked to leave have a shard computed twice', (t) => {
  let drained = 0;
  for (let seed = first ?? 0; seed < (first ?? 0) + Math.ceil(worlds / readOutEvery); seed++) {
    const world = new World({ seed, lanes: 4, steps: 8, fleet: 3, faults: 2, kinds: ['drain'] });
    const { faults } = world.play();
    if (world.dropped > 0) continue; // thought dead
    drained += faults.drain ?? 0;
    const twice = [...world.given].filter(([, times]) => times > 1).map(([shard]) => shard);
    t.deepEqual(twice, [], `world ${seed}`);
  }
  t.true(drained > 0);
});
