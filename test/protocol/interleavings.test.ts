import test from 'ava';
import { type Scenario, World } from './world.ts';

const worlds = Number(process.env.CORNET_WORLDS ?? 10_000);

const training = (seed: number): Scenario => ({
  seed,
  lanes: 1 + (seed % 4),
  steps: 4 + (seed % 5),
  fleet: 1 + (seed % 3),
  faults: seed % 12,
});

// Seeds of faults that were mended. Draws change with the model: what each stood for then need not be what it is now.
test('worlds in which something was lost once, or waited for ever, end in the undisturbed state', (t) => {
  for (const seed of [11_530, 17_094, 527_950, 900_017_573])
    t.notThrows(() => new World(training(seed)).play(), `world ${seed}`);
});

test('ten thousand random interleavings of deaths, sick devices, zombies, joins, drained workers, wiped Redis, failovers, stops and dead coordinators end in the undisturbed state', (t) => {
  const faults: Record<string, number> = {};
  let [moves, applies] = [0, 0];
  const first = Number(process.env.CORNET_WORLD ?? 0);
  for (let seed = first; seed < first + worlds; seed++) {
    const scenario = training(seed);
    try {
      const played = new World(scenario).play();
      moves += played.moves;
      applies += played.applies;
      for (const [kind, times] of Object.entries(played.faults)) faults[kind] = (faults[kind] ?? 0) + times;
    } catch (error) {
      t.fail(`${JSON.stringify(scenario)}: ${(error as Error).stack}`);
      return;
    }
  }
  t.log(`${worlds} worlds, ${moves} moves, ${applies} updates compared, faults: ${JSON.stringify(faults)}`);
  for (const kind of [
    'kill',
    'join',
    'freeze',
    'suspect',
    'wipe',
    'coordinator',
    'lose',
    'drain',
    'sicken',
    'give-up',
    'stop',
    'wish',
    'trim',
    'forget',
    'save',
  ]) {
    t.true(worlds < 1000 || faults[kind]! > 0, `no ${kind} happened`);
  }
});

test('two thousand random interleavings of read-outs store every row once and for all', (t) => {
  const faults: Record<string, number> = {};
  for (let seed = 0; seed < Math.ceil(worlds / 5); seed++) {
    const scenario = {
      ...{ seed, lanes: 0, steps: 0, batches: 1 + (seed % 12) },
      ...{ fleet: 1 + (seed % 3), faults: seed % 12 },
    };
    try {
      const played = new World(scenario).play();
      for (const [kind, times] of Object.entries(played.faults)) faults[kind] = (faults[kind] ?? 0) + times;
    } catch (error) {
      t.fail(`${JSON.stringify(scenario)}: ${(error as Error).stack}`);
      return;
    }
  }
  t.log(`faults: ${JSON.stringify(faults)}`);
  for (const kind of [
    'kill',
    'join',
    'wipe',
    'coordinator',
    'lose',
    'drain',
    'sicken',
    'give-up',
    'stop',
    'wish',
    'trim',
    'forget',
  ]) {
    t.true(worlds < 1000 || faults[kind]! > 0, `no ${kind} happened`);
  }
});

test('when a worker dies, only its own shards are given out again', (t) => {
  const lanes = 3;
  for (let seed = 0; seed < Math.ceil(worlds / 5); seed++) {
    const world = new World({ seed, lanes, steps: 8, fleet: 3, faults: 1, kinds: ['kill'] });
    world.play();
    const again = [...world.given].filter(([, times]) => times > 1).map(([shard]) => shard.split(',')[0]);
    t.is(new Set(again).size, again.length, `world ${seed}: two shards of one step`);
  }
});

test('when the device of a worker fails, only its own shards are given out again', (t) => {
  let failures = 0;
  for (let seed = 0; seed < Math.ceil(worlds / 5); seed++) {
    const world = new World({ seed, lanes: 3, steps: 8, fleet: 3, faults: 1, kinds: ['sicken'] });
    failures += world.play().faults.sicken ?? 0;
    const again = [...world.given].filter(([, times]) => times > 1).map(([shard]) => shard.split(',')[0]);
    t.is(new Set(again).size, again.length, `world ${seed}: two shards of one step`);
  }
  t.true(failures > 0);
});

test('in no interleaving does a worker that is asked to leave have a shard computed twice', (t) => {
  let drained = 0;
  for (let seed = 0; seed < Math.ceil(worlds / 5); seed++) {
    const world = new World({ seed, lanes: 4, steps: 8, fleet: 3, faults: 2, kinds: ['drain'] });
    drained += world.play().faults.drain ?? 0;
    const twice = [...world.given].filter(([, times]) => times > 1).map(([shard]) => shard);
    t.deepEqual(twice, [], `world ${seed}`);
  }
  t.true(drained > 0);
});
