import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { homedir, tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'ava';
import { Command } from 'commander';
import { readConfigFile } from '../../coordinator/options/config-file.ts';
import { addOptions } from '../../coordinator/options/flags.ts';
import type { CommandName } from '../../coordinator/options/row.ts';
import { normalizations, plainAugmentation } from '../../shared/defaults.ts';
import { runConfig, type StartingWeights } from '../../shared/run-config.ts';
import { trainingConfig as config } from '../helpers/training-config.ts';

const folder = mkdtempSync(join(tmpdir(), 'cornet-test-'));
test.after.always(() => rmSync(folder, { recursive: true }));

let files = 0;
function file(content: string, suffix = 'yaml'): string {
  const path = join(folder, `${files++}.${suffix}`);
  writeFileSync(path, content);
  return path;
}

/** What a command line becomes: the options that the command's action gets. */
function parse(name: CommandName, ...argv: string[]): Record<string, unknown> {
  let given: Record<string, unknown> = {};
  const command = addOptions(new Command(name), name).exitOverride();
  command.configureOutput({ writeErr: () => undefined }).action((options) => {
    given = options;
  });
  command.parse(argv, { from: 'user' });
  return Object.fromEntries(
    Object.entries(given).filter(([key, value]) => key !== 'config' && value !== undefined),
  );
}

test('keys are long option names, with hyphens, underscores or capitals, and flags win', (t) => {
  const yaml = file(
    [
      'model: R',
      'output-path: out',
      'batch_size: 64',
      'learningRate: 1e-2',
      'stepSize: 5',
      'audit: 1/1000',
      'skip-unreadable: true',
      'deterministic: false',
      'maxSteps:',
      'save-model-secs: 60',
    ].join('\n'),
  );
  const expected = {
    model: 'R',
    outputPath: 'out',
    batchSize: 64,
    learningRate: 0.01,
    stepSize: 5,
    audit: 0.001,
    skipUnreadable: true,
    deterministic: false,
    flip: true,
    saveModelSecs: 60,
  };
  t.deepEqual(parse('start', '--config', yaml), expected);
  t.deepEqual(parse('start', '--config', yaml, '--batch-size', '8'), { ...expected, batchSize: 8 });
  t.deepEqual(parse('start', '--lr', '0.5', '--config', yaml), { ...expected, learningRate: 0.5 });
});

test('a file of JSON, or of YAML that looks like it', (t) => {
  t.is(parse('start', '-o', 'x', '--config', file('{"batchSize": 4}', 'json')).batchSize, 4);
  t.is(parse('start', '-o', 'x', '--config', file('{batchSize: 4}')).batchSize, 4);
});

test('paths and names of models are read as on a command line', (t) => {
  const given = parse('start', '--config', file('output-path: ~/x\ndata_path: ~/images\nmodel: cornet_s'));
  t.like(given, { outputPath: join(homedir(), 'x'), dataPath: join(homedir(), 'images'), model: 'S' });
});

test('a flag takes the place of those of the file that it does not go with', (t) => {
  const yaml = file('output-path: x\ncpu-workers: 2\nrestore-path: a\nweights-key: k');
  const given = parse('start', '--config', yaml, '--ngpus', '1', '--weights', 'b');
  t.like(given, { ngpus: 1, weights: 'b' });
  t.false('cpuWorkers' in given || 'restorePath' in given);
  t.like(parse('start', '--config', yaml), { cpuWorkers: 2, restorePath: 'a' });
});

test('what a run starts with plays no part when it is resumed, unless it is a flag', (t) => {
  const yaml = file('output-path: x\nweights: a\nrestore-path: b');
  const resumed = parse('start', '--config', yaml, '--resume', '--weights', 'c');
  t.deepEqual(resumed, { outputPath: 'x', resume: true, weights: 'c', deterministic: true, flip: true });
});

test('values are held to the bounds of the options; errors name file and key', (t) => {
  const wrong: [string, CommandName, RegExp][] = [
    [
      'seed: 4294967296',
      'start',
      /\.yaml: seed must be a whole number .* at most 4294967295, not 4294967296\./,
    ],
    ['momentum: true', 'start', /\.yaml: momentum must be a single value, not true\./],
    ['model: [Z, S]', 'start', /\.yaml: model must be Z, R, RT, S, not "\[\\"Z\\",\\"S\\"\]"\./],
    ['skip-unreadable: 1', 'start', /\.yaml: skip-unreadable must be true or false, not 1\./],
    ['redis: ["redis://u:secret@h"]', 'start', /redis must be a single value, not (?!.*secret)/],
    ['lr: 1\nlearning-rate: 2', 'start', /\.yaml: learning-rate is another name of an option/],
    ['config: other.yaml', 'start', /\.yaml: config is not an option of `coordinator start`\./],
    ['epochs: 2', 'validate', /\.yaml: epochs is not an option of `coordinator validate`\./],
    ['a: 1\na: 2', 'start', /\.yaml is neither YAML nor JSON: Map keys must be unique at line 2, column 1\./],
    ['data-path: a/~/b', 'start', /\.yaml: data-path: a\/~\/b has a ~ /],
    ['just words', 'start', /\.yaml holds no options/],
    [
      '{"format": 2, "result": {}, "options": {}}',
      'start',
      /\.yaml is of format 2, and this version of cornet-ts reads format 3/,
    ],
    ['{"result": {}, "options": {}}', 'start', /\.yaml is not a run's configuration of this version/],
  ];
  for (const [content, command, message] of wrong) {
    const code = content.includes('format') ? 'RUN_FORMAT' : 'OPTION_INVALID';
    t.throws(() => readConfigFile(file(content), command), { message, code });
  }
  t.throws(() => readConfigFile(join(folder, 'none'), 'start'), {
    message: /none cannot be read: it does not exist/,
  });
});

test('an unknown key is refused with the nearest names', (t) => {
  const error = t.throws(() => readConfigFile(file('batchsiz: 4'), 'start')) as Error & { hint: string };
  t.regex(error.message, /there is no option batchsiz\./);
  t.regex(error.hint, /^Nearest names: batch-size, /);
});

test("a training's config.json gives its options again", (t) => {
  const path = file(JSON.stringify(config), 'json');
  t.deepEqual(parse('start', '--config', path, '-o', 'x'), {
    outputPath: 'x',
    model: 'Z',
    times: 5,
    head: 1000,
    freeze: [],
    trainOnly: [],
    freezeNorms: false,
    imageSize: 32,
    dataPath: '/images',
    skipUnreadable: true,
    batchSize: 10,
    epochs: 2,
    learningRate: 0.5,
    stepSize: 2,
    momentum: 0.9,
    weightDecay: 1e-4,
    schedule: 'step',
    optimizer: 'sgd',
    clipNorm: 0,
    warmupEpochs: 0,
    minLr: 0,
    nesterov: false,
    labelSmoothing: 0,
    lrScale: '',
    valSplit: 0,
    ...plainAugmentation,
    ...normalizations.imagenet,
    seed: 3,
    lanes: 2,
    precision: 'fp32',
    deterministic: false,
    saveModelSecs: 7,
    saveModelEpochs: 1,
    saveValEpochs: 0.5,
    keepCheckpoints: 4,
    cpuWorkers: 2,
    workers: 2,
    threads: 3,
    audit: 0,
    backend: 'tensorflow',
    joinTimeout: 12,
    workerTimeout: 3600,
    carrier: 'auto',
    tensorboard: false,
  });
  const validated = parse('validate', '--config', path);
  t.like(validated, { model: 'Z', imageSize: 32, dataPath: '/images', weights: 'pretrained', threads: 3 });
  t.is(validated.batchSize, undefined);
});

test('a config.json without a carrier has the quickest that works, and a file may name one, and ports', (t) => {
  const { carrier: _, ...earlier } = config.options;
  const path = file(JSON.stringify({ ...config, options: earlier }), 'json');
  t.is(parse('start', '--config', path, '-o', 'x').carrier, 'auto');
  t.is(runConfig.parse({ ...config, options: earlier }).options.carrier, 'auto');
  const given = parse(
    'start',
    '--config',
    file('output-path: x\ncarrier: tcp\nblob-ports: 7000\nblobHost: "[fd00::7]"'),
  );
  t.like(given, { carrier: 'tcp', blobPorts: { from: 7000, to: 7000 }, blobHost: 'fd00::7' });
});

test('the configuration of a training with AdamW has nothing in it that AdamW does not', (t) => {
  const trained = { ...config, result: { ...config.result, optimizer: 'adamw', betas: [0.8, 0.9] } };
  const given = parse('start', '--config', file(JSON.stringify(trained), 'json'), '-o', 'x');
  t.like(given, { optimizer: 'adamw', betas: [0.8, 0.9] });
  t.false('momentum' in given || 'nesterov' in given);
});

test('with config.json, a new run starts from the file that the run started from', (t) => {
  const given = (startingWeights: StartingWeights) => {
    const options = { ...config.options, startingFile: '/file', localWorkers: { device: 'cuda', count: 4 } };
    const started = { ...config, options, result: { ...config.result, startingWeights } };
    return parse('start', '-o', 'x', '--config', file(JSON.stringify(started), 'json'));
  };
  const sha256 = '0'.repeat(64);
  const weights = given({ from: 'weights', sha256, key: 'model.student', head: 'extended' });
  t.like(weights, { weights: '/file', weightsKey: 'model.student', extendHead: true, ngpus: 4 });
  t.false('newHead' in weights);
  const checkpoint = given({ from: 'checkpoint', sha256, key: null, head: 'kept' });
  t.is(checkpoint.restorePath, '/file');
  t.false('weights' in checkpoint || 'cpuWorkers' in checkpoint);
});
