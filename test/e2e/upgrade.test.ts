/** Runs that earlier releases have begun (tools/keep-run.ts made them), in the hands of this one. */
import { cpSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import test from 'ava';
import type { ErrorCode } from '../../shared/errors.ts';
import { assertRefused } from '../helpers/refused.ts';
import { metricsOf, Stage, tinyImages, trainedSteps } from '../helpers/run.ts';

/** Each release with what a resume of its runs comes to. A release whose runs can be resumed gets a test that does it. */
const releases: Record<string, { code: ErrorCode; says: RegExp }> = {
  '0.1.0': {
    code: 'RUN_FORMAT',
    says: /config\.json is of format 1, and this version of cornet-ts reads format 3/,
  },
};
const kept = 'test/fixtures/runs';
/** The step of their last checkpoint. */
const keptStep = 4;

let folder: string;
let images: string;

test.before(async () => {
  folder = mkdtempSync(join(tmpdir(), 'cornet-test-'));
  images = await tinyImages(folder);
});

test.after.always(() => rmSync(folder, { recursive: true }));

/** The run folder as that release left it. */
function unpack(version: string, target: string): string {
  cpSync(join(kept, version), target, { recursive: true });
  const checkpoints = join(target, 'checkpoints');
  for (const name of readdirSync(checkpoints).filter((name) => name.endsWith('.gz'))) {
    const path = join(checkpoints, name);
    writeFileSync(path.replace(/\.gz$/, ''), gunzipSync(readFileSync(path)));
    rmSync(path);
  }
  return target;
}

const contentOf = (folder: string) =>
  readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map(({ name, parentPath }) => `${name} ${readFileSync(join(parentPath, name)).toString('base64')}`)
    .sort();

test('a run of every release is kept', (t) => {
  const changelog = readFileSync('CHANGELOG.md', 'utf8');
  const released = [...changelog.matchAll(/^## (\d+\.\d+\.\d+)\b/gm)].map((match) => match[1]!);
  t.deepEqual(readdirSync(kept).sort(), released.sort());
  t.deepEqual(Object.keys(releases).sort(), released);
});

for (const [version, { code, says }] of Object.entries(releases)) {
  test.serial(
    `a run of ${version} cannot be resumed, is left as it is, and the way on is named`,
    async (t) => {
      const stage = new Stage(t);
      const run = unpack(version, join(stage.folder, 'run'));
      const before = contentOf(run);
      const argv = ['start', '--resume', '--data-path', images, '--max-steps', '8', '-o', run];
      const resumed = stage.start('coordinator', argv);
      await assertRefused(t, stage, resumed, { code, exit: 1, says });
      t.regex(
        resumed.stderr,
        /Continue with the version that started the run, or .* --restore-path and another folder\.\n/,
      );
      t.deepEqual(contentOf(run), before);
    },
  );

  test.serial(`a new run goes on from the last checkpoint of one of ${version}`, async (t) => {
    const stage = new Stage(t);
    const former = unpack(version, join(stage.folder, 'former'));
    const output = join(stage.folder, 'run');
    const file = join(former, 'checkpoints', `step-0000000${keptStep}.safetensors`);
    const shape = [
      '--model',
      'Z',
      '--image-size',
      '32',
      '--batch-size',
      '8',
      '--lanes',
      '2',
      '--threads',
      '1',
      '--head',
      '1000',
    ];
    const length = ['--epochs', '2', '--max-steps', '8', '--cpu-workers', '1'];
    const argv = ['start', ...shape, ...length, '--restore-path', file, '--data-path', images, '-o', output];
    const run = stage.start('coordinator', argv);
    t.is(await run.ended, 0, run.stderr);
    t.deepEqual(trainedSteps(output), [5, 6, 7, 8]);
    const lossAfter = (folder: string, step: number) =>
      metricsOf(folder).find((line) => line.step === step && 'val/loss' in line)?.['val/loss'];
    t.true(lossAfter(output, 8)! < lossAfter(former, keptStep)!, 'it goes on learning');

    const verified = stage.start('coordinator', ['verify', output]);
    t.is(await verified.ended, 0, verified.stderr);
  });

  test.serial(`the weights of a run of ${version} can be validated and exported`, async (t) => {
    const stage = new Stage(t);
    const run = unpack(version, join(stage.folder, 'run'));
    const where = ['--data-path', images, '-o', join(stage.folder, 'out')];
    const what = ['--model', 'Z', '--imsize', '32', '--threads', '1'];
    const validated = stage.start('coordinator', ['validate', ...what, '--weights', run, ...where]);
    t.is(await validated.ended, 0, validated.stderr);
    const noted = metricsOf(run).at(-1)!;
    const loss = Number(/loss ([\d.]+)/.exec(validated.stdout)?.[1]);
    t.true(Math.abs(loss - noted['val/loss']!) < 1e-3, validated.stdout);
    const exported = stage.start('coordinator', ['export', run, join(stage.folder, 'out.pth.tar')]);
    t.is(await exported.ended, 0, exported.stderr);
  });
}
