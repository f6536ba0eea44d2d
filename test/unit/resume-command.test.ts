import { resolve } from 'node:path';
import test from 'ava';
import { howToContinue, wayOn } from '../../coordinator/options/resume-command.ts';
import { optionRows } from '../../coordinator/options/table.ts';
import { otherEnd } from '../../coordinator/training/resumed-end.ts';
import { redactUrl } from '../../shared/redis/redis.ts';
import { trainingConfig } from '../helpers/training-config.ts';

/** What stands behind `start` in the command that continues a run. */
function argumentsOf(redis: string | undefined, given: Parameters<typeof howToContinue>[2]): string {
  const options = { ...trainingConfig.options, ...(redis === undefined ? {} : { redis: redactUrl(redis) }) };
  return howToContinue('/runs/x ace', { options }, given).replace(/^(Continue with.*): .* start /, '$1: ');
}

test('the command that continues a run names its folder, quoted for a shell, and its Redis', (t) => {
  t.is(argumentsOf(undefined, {}), "Continue with: --resume --output-path '/runs/x ace'");
  t.is(
    argumentsOf('redis://head:6400/2', {}),
    "Continue with: --resume --output-path '/runs/x ace' --redis redis://head:6400/2",
  );
});

test('a password is not repeated: where it comes from is said', (t) => {
  t.is(
    argumentsOf('redis://me:secret@head/2', {}),
    "Continue with (CORNET_REDIS_URL must hold redis://me:***@head/2 with its password): --resume --output-path '/runs/x ace'",
  );
});

test('after an error the way on is one that does not come to the same', (t) => {
  const after = (ended: Parameters<typeof wayOn>[2]) => wayOn('/runs/x', trainingConfig, ended);
  const resume = /^Continue with: .* start --resume --output-path \/runs\/x$/;
  for (const ended of ['interrupted', null, { code: 'DISK_FULL' }] as const) t.regex(after(ended), resume);
  t.regex(after({ code: 'IMAGE_UNREADABLE' }), /--output-path \/runs\/x --skip-unreadable$/);
  t.regex(after({ code: 'NOT_FINITE' }), /^Start a new run with a lower --lr/);
});

test('options that config.json does not remember are repeated, all others are not', (t) => {
  const given = {
    outputPath: 'x',
    lanes: 4,
    epochs: 3,
    wait: 60,
    metricsPort: 0,
    blobHost: 'fd00::7',
    blobPorts: { from: 7000, to: 7007 },
    mlflow: 'https://mlflow.example.org',
    tensorboard: true,
    json: true,
    autoResume: true,
  };
  const told = argumentsOf(undefined, { ...given, controlTokenFile: 'a token', cpuWorkers: 3 });
  t.is(
    told,
    `Continue with: --resume --output-path '/runs/x ace' --wait 60 --blob-host fd00::7 --blob-ports 7000-7007 --metrics-port 0 --control-token-file '${resolve('a token')}' --mlflow https://mlflow.example.org --json`,
  );
  // Whoever adds an option that a run is not to forget must decide.
  const forgotten = optionRows.filter(
    ({ commands, kind, setting, repeats }) =>
      commands.includes('start') && kind === 'free' && setting === undefined && repeats !== true,
  );
  t.deepEqual(forgotten.map(({ attribute }) => attribute).sort(), [
    'autoResume',
    'config',
    'cpuWorkers', // config.json has localWorkers
    'dryRun',
    'ngpus',
    'outputPath',
    'redis', // as above
    'restorePath', // config.json has startingFile; of a resume, the run has gone back
    'resume',
  ]);
});

test('of --epochs and --max-steps, the one that was kept is spoken of where it matters to the other', (t) => {
  const { result, options } = trainingConfig;
  const ofEpoch = Math.ceil(result.trainImages / result.batchSize);
  const ending = (epochs: number, maxSteps: number | null) => ({
    ...trainingConfig,
    options: { ...options, epochs, maxSteps },
  });
  t.regex(
    otherEnd({ epochs: 9 }, ending(5, 3), ending(9, null))!,
    new RegExp(`^--epochs 9 replaces the earlier --max-steps 3: the run ends at step ${9 * ofEpoch}\\.`),
  );
  t.is(otherEnd({ epochs: 9 }, ending(5, null), ending(9, null)), null);
  t.is(otherEnd({ epochs: 9, maxSteps: 3 }, ending(5, 4), ending(9, 3)), null);
  t.is(otherEnd({}, ending(5, 3), ending(5, 3)), null);
  const most = 5 * ofEpoch;
  t.is(otherEnd({ maxSteps: most }, ending(5, 3), ending(5, most)), null);
  t.regex(
    otherEnd({ maxSteps: most + 1 }, ending(5, 3), ending(5, most + 1))!,
    new RegExp(
      `^warning: The run ends at step ${most}, after its --epochs 5, before --max-steps ${most + 1}:`,
    ),
  );
});
