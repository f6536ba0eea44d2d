import test from 'ava';
import { ownCommandLine } from '../../coordinator/options/command-line.ts';
import { pageFactsOf } from '../../coordinator/watch/page-facts.ts';
import { trainingConfig } from '../helpers/training-config.ts';

const known = {
  resume: { how: 'Continue with:', command: 'coordinator start --resume' },
  command: null,
  startedAt: '2026-01-01T00:00:00.000Z',
  control: false,
  checkpointsPath: '/runs/a/checkpoints',
};

function factsOn(address: string | null, config = trainingConfig) {
  const start = {
    run: 'r',
    name: null,
    folder: '/runs/a',
    page: 'http://127.0.0.1:9464/',
    redis: 'a private Redis',
    join: null,
    devices: ['cpu'],
    config,
  };
  return pageFactsOf({ start, ...known, served: address === null ? null : { address, host: 'head' } });
}

test('the way to the page from another machine is a tunnel to where it is served', (t) => {
  t.is(factsOn('127.0.0.1:9464').tunnel, 'ssh -L 9464:127.0.0.1:9464 head');
  t.is(factsOn('0.0.0.0:9465').tunnel, 'ssh -L 9465:127.0.0.1:9465 head');
  t.is(factsOn('10.0.0.7:80').tunnel, 'ssh -L 80:10.0.0.7:80 head');
  t.regex(factsOn('[::]:9464').tunnel!, /^ssh -L '?9464:\[::1\]:9464'? head$/);
  t.is(factsOn(null).tunnel, null);
});

test('the page says what the run began with, and not its own address', (t) => {
  const { result } = trainingConfig;
  const weightsOf = (config: typeof trainingConfig) =>
    factsOn('127.0.0.1:9464', config).options.find(([name]) => name === 'weights')?.[1];
  const drawn = { ...trainingConfig, result: { ...result, startingWeights: { from: 'seed' as const } } };
  t.is(weightsOf(drawn), `drawn with the seed ${result.seed}`);
  const read = {
    ...trainingConfig,
    result: {
      ...result,
      startingWeights: { from: 'weights' as const, sha256: 'abc', key: 'model', head: 'new' as const },
    },
    options: { ...trainingConfig.options, startingFile: '/weights/z.pth' },
  };
  t.is(weightsOf(read), '/weights/z.pth, SHA-256 abc, at model, with a new head');
  t.false(JSON.stringify(factsOn('127.0.0.1:9464')).includes('http://'));
});

test('the page says with which version its coordinator works', (t) => {
  const { options } = factsOn(null, { ...trainingConfig, version: '1.2.3' });
  t.deepEqual(options.at(-1), ['version', 'cornet-ts 1.2.3']);
});

test('a command line is shown without the password of its Redis', (t) => {
  const lineOf = (...given: string[]) => ownCommandLine(['node', '/x/coordinator', 'start', ...given]);
  t.regex(
    lineOf('--redis', 'redis://me:secret@head/2', '--lanes', '2'),
    /--redis '?redis:\/\/me:\*\*\*@head\/2'? --lanes 2$/,
  );
  t.notRegex(lineOf('--redis=redis://:secret@head'), /secret/);
  t.regex(lineOf('--data-path', '/data/my images'), / start --data-path '\/data\/my images'$/);
});
