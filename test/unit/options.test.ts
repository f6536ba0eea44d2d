import { readFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';
import test from 'ava';
import { Command } from 'commander';
import { z } from 'zod';
import { program } from '../../coordinator/cli.ts';
import { changedOptions, changedSettings } from '../../coordinator/options/changes.ts';
import { examples } from '../../coordinator/options/examples.ts';
import { addOptions } from '../../coordinator/options/flags.ts';
import { elsewhere, meantBy } from '../../coordinator/options/reference-words.ts';
import { type CommandName, groups, isSwitch } from '../../coordinator/options/row.ts';
import { defaultOf, optionRows, rowsOf, type StartOptions } from '../../coordinator/options/table.ts';
import { chooseFreeOptions } from '../../coordinator/training/options.ts';
import { CornetError } from '../../shared/errors.ts';
import { buildModel } from '../../shared/models/family.ts';
import { bounds } from '../../shared/option-bounds.ts';
import { isNumeric, readValue } from '../../shared/process/option-value.ts';
import { type FreeOptions, freeOptions, type RunConfig, runConfig } from '../../shared/run-config.ts';
import { cliPage, cliPagePath } from '../../tools/cli-page.ts';
import { resultOf } from '../helpers/state.ts';
import { trainingConfig } from '../helpers/training-config.ts';

const conducting = ['start', 'validate', 'test', 'predict'] as const;

function parse(name: CommandName, argv: readonly string[]): Record<string, unknown> {
  const command = addOptions(new Command(name), name).exitOverride();
  command.configureOutput({ writeErr: () => undefined, writeOut: () => undefined });
  return command.parse(argv, { from: 'user' }).opts();
}

test('every option has flags that give its name, a group, a sentence, a command, and a unit if it is a number', (t) => {
  for (const row of optionRows) {
    const { attribute, flags, group, help, details = '', commands, unit } = row;
    const command = new Command().option(flags);
    t.is(command.options[0]?.attributeName(), attribute);
    t.true(groups.includes(group), attribute);
    for (const text of [help, details]) t.notRegex(text, /\.$|\.pth$/, attribute);
    t.true(help.length > 0 && commands.length > 0, attribute);
    t.is(unit !== undefined, isNumeric(row.value) || attribute === 'timeStep', attribute);
    t.is(isSwitch(row), !flags.includes('<'), attribute);
    t.true(row.requiredBy?.every((name) => commands.includes(name)) ?? true, attribute);
    for (const other of row.excludes ?? [])
      t.true(
        optionRows.some((row) => row.attribute === other),
        other,
      );
  }
});

test('a default is a value that the option accepts', (t) => {
  for (const command of conducting) {
    for (const { attribute, value, default: preset } of rowsOf(command)) {
      if (preset !== undefined) t.true(value.safeParse(preset).success, attribute);
    }
  }
});

test('what config.json has of an option exists, and has its bounds', (t) => {
  const shape = { ...runConfig.shape, ...runConfig.shape.result.shape } as Record<string, unknown>;
  const elsewhere = [
    'weights',
    'weightsKey',
    'newHead',
    'extendHead',
    'taps',
    'dtype',
    'format',
    'recursive',
    'frames',
    'model', // a file has the name that it gives itself
  ];
  for (const { attribute, setting, value } of optionRows) {
    if (setting === undefined || elsewhere.includes(setting)) continue;
    const [, free] = /^options\.(.*)$/.exec(setting) ?? [];
    t.truthy(free === undefined ? shape[setting] : freeOptions.shape[free as 'epochs'], attribute);
    if (free !== undefined || !(setting in bounds)) continue;
    let kept = shape[setting];
    while (kept instanceof z.ZodDefault || kept instanceof z.ZodNullable) kept = kept.unwrap();
    t.is(kept, value, attribute);
  }
});

test('every option that is a path knows the home folder, on a command line', (t) => {
  const paths = optionRows.filter(({ value }) => value === bounds.path).map(({ attribute }) => attribute);
  t.deepEqual(paths.sort(), [
    'classes',
    'config',
    'contactSheet',
    'controlTokenFile',
    'dataPath',
    'exclude',
    'output',
    'outputPath',
    'restorePath',
    'trainList',
    'valList',
    'weights',
  ]);
  for (const { attribute, name, flags, commands } of optionRows) {
    t.is(/<(folder|file|source)>/.test(flags), paths.includes(attribute), attribute);
    if (!paths.includes(attribute) || attribute === 'config') continue;
    const command = commands[0]!;
    const needed = command === 'data' ? ['--data-path', 'x'] : ['-o', 'x'];
    t.is(parse(command, [...needed, `${name}=~/y`])[attribute], join(homedir(), 'y'));
    t.throws(() => parse(command, [`${name}=a/~/y`]), { code: 'OPTION_INVALID' });
  }
  t.throws(() => parse('start', ['--config=~kate/y']), { message: /another user's home/ });
});

test('a model may be named as the reference implementation names it', (t) => {
  for (const [typed, model] of [
    ['s', 'S'],
    ['cornet_s', 'S'],
    ['CORnet-RT', 'RT'],
    ['Cornet_Z', 'Z'],
  ] as const) {
    t.is(parse('start', ['-o', 'x', '--model', typed]).model, model);
  }
});

test('a value out of bounds is refused with the name of the option, by every command alike', (t) => {
  const wrong: [string, string, string][] = [
    [
      '--seed',
      '4294967296',
      '--seed must be a whole number of at least 0 and at most 4294967295, not 4294967296.',
    ],
    ['--times', '0', '--times must be a whole number of at least 1 and at most 1000, not 0.'],
    ['--image-size', '8', '--image-size must be a whole number of at least 16, not 8.'],
    ['--imsize', '3.5', '--image-size must be a whole number of at least 16, not 3.5.'],
    ['--wait', '-1', '--wait must be a number of at least 0, not -1.'],
    ['--workers', '', '--workers must be a whole number of at least 1, not "".'],
    ['--model', 'Q', '--model must be one of Z, R, RT, S, or a file that defines a model (.ts, .js), not Q.'],
  ];
  for (const command of conducting) {
    for (const [flag, value, message] of wrong) {
      if (command === 'predict' && flag === '--seed') continue; // it draws nothing
      t.throws(() => parse(command, [`${flag}=${value}`]), { message, code: 'OPTION_INVALID' });
    }
  }
  const refused = {
    '--momentum': '2',
    '--audit': '3/2',
    '--metrics-port': '65536',
    '--worker-timeout': '1800',
  };
  for (const [flag, value] of Object.entries(refused)) {
    t.throws(() => parse('start', [flag, value]), { message: new RegExp(`^${flag} must be`) });
  }
  t.is(parse('start', ['-o', 'x', '--audit', '1/1000']).audit, 0.001);
});

test('--carrier is one of those that there are; nobody has to name one', (t) => {
  t.is(parse('start', ['-o', 'x']).carrier, undefined);
  t.is(defaultOf('carrier'), 'auto');
  t.is(parse('start', ['-o', 'x', '--carrier', 'tcp']).carrier, 'tcp');
  t.throws(() => parse('start', ['--carrier', 'udp']), {
    message: '--carrier must be one of auto, memory, local, tcp, redis, not udp.',
    code: 'OPTION_INVALID',
  });
});

test('a resume keeps the carrier of the run unless it is told another', (t) => {
  const chosen = (carrier: StartOptions['carrier'], former: FreeOptions | null) =>
    chooseFreeOptions(
      { outputPath: '', dataPath: '/images', ...(carrier === undefined ? {} : { carrier }) },
      'Z',
      { device: 'cpu', count: 1 },
      former,
    ).carrier;
  const former: FreeOptions = { ...trainingConfig.options, carrier: 'tcp' };
  t.is(chosen(undefined, null), 'auto');
  t.is(chosen(undefined, former), 'tcp');
  t.is(chosen('auto', former), 'auto');
});

test('--blob-ports are a range, or one port', (t) => {
  const read = (text: string) => parse('start', ['-o', 'x', `--blob-ports=${text}`]).blobPorts;
  t.deepEqual(read('7000-7007'), { from: 7000, to: 7007 });
  t.deepEqual(read('7000'), { from: 7000, to: 7000 });
  t.deepEqual(read(' 1 - 65535 '), { from: 1, to: 65_535 });
  for (const wrong of [
    '7007-7000',
    '0',
    '0-7',
    '70000',
    '7000-70000',
    'some',
    '',
    '7000-',
    '-7000',
    '7e3',
    '1-2-3',
  ]) {
    const error = t.throws(() => read(wrong), { instanceOf: CornetError, code: 'OPTION_INVALID' }, wrong);
    t.regex(
      error!.message,
      /^--blob-ports: .* must be a port from 1 to 65535, or two with a hyphen between, /,
    );
    t.regex(error!.hint, /--blob-ports 7000-7007/);
  }
});

test('--blob-host is a name or an address, without a port', (t) => {
  const read = (text: string) => parse('start', ['-o', 'x', `--blob-host=${text}`]).blobHost;
  for (const host of ['node-7.example.org', '10.0.0.7', 'fd00::7', 'a'.repeat(253)]) {
    t.is(read(host), host);
  }
  t.is(read('[fd00::7]'), 'fd00::7');
  const wrong = [
    '',
    '[]',
    'a'.repeat(254),
    'node_7',
    'a b',
    'a/b',
    'http://a',
    '10.0.0.7:7000',
    'a%b',
    'fe80::1%eth0',
    '[fd00::7]:7000',
  ];
  for (const host of wrong) {
    const error = t.throws(() => read(host), { instanceOf: CornetError, code: 'OPTION_INVALID' }, host);
    t.regex(error!.message, /^--blob-host: .* is neither the name nor the address of a host\.$/);
    t.regex(error!.hint, /without a port/);
  }
});

test('no password of a URL in the wrong place is repeated', (t) => {
  const error = t.throws(() => readValue('--seed', bounds.seed, 'redis://me:secret@host'));
  t.is(
    error?.message,
    '--seed must be a whole number of at least 0 and at most 4294967295, not redis://***.',
  );
  const host = t.throws(() => readValue('--blob-host', bounds.blobHost, 'redis://me:secret@host'));
  t.is(host?.message, '--blob-host: redis://*** is neither the name nor the address of a host.');
});

test('start sees what was given and nothing else; the other commands see their defaults', (t) => {
  t.deepEqual(parse('start', ['-o', 'x', '--lr', '0.2']), {
    outputPath: 'x',
    learningRate: 0.2,
    deterministic: true,
    flip: true,
  });
  const validate = parse('validate', ['--model', 'Z', '--data-path', 'y']);
  t.like(validate, { weights: 'pretrained', seed: 0, precision: 'fp32' });
  t.like(validate, { backend: 'torch', outputPath: '.', skipUnreadable: false });
  const predict = parse('predict', ['-o', 'x', '--data-path', 'y']);
  t.like(predict, { weights: 'pretrained', topK: 5, recursive: false, seed: undefined });
  for (const told of ['batchSize', 'imageSize', 'times'])
    t.is(validate[told], undefined, 'the weights may say it');
});

test('each option that the result depends on is compared on resume', (t) => {
  const config = {
    backend: 'torch',
    threads: 1,
    result: resultOf(buildModel('Z', 1), { deterministic: true }),
  } as RunConfig;
  const rows = rowsOf('start').filter(({ kind }) => kind === 'result');
  t.true(rows.length > 12);
  const others: Partial<StartOptions> = {
    ...{ deterministic: false, flip: false },
    ...{ normalize: 'half', mean: [0, 0, 0], std: [1, 1, 1] },
  };
  for (const { attribute, name } of rows) {
    const options = {
      outputPath: '',
      [attribute]: 'other',
      ...(attribute in others ? { [attribute]: others[attribute as keyof StartOptions] } : {}),
    };
    const [sentence, ...more] = changedOptions(options as StartOptions, config);
    const told = attribute === 'mean' || attribute === 'std' ? '--normalize' : name; // which they are a part of
    t.true(sentence?.startsWith(`${told} cannot change on resume: the run uses `), attribute);
    t.deepEqual(more, []);
  }
  t.deepEqual(changedSettings({ learningRate: 0.1 }, { learningRate: 0.2 }), [
    '--lr cannot change on resume: the run uses 0.1, you passed 0.2.',
  ]);
});

test('the help fits two screens, and --help-all has every option', (t) => {
  for (const name of conducting) {
    const command = addOptions(new Command(name).description('What it does.'), name).exitOverride();
    let shown = '';
    command.configureOutput({ getOutHelpWidth: () => 100, writeOut: (text) => (shown += text) });
    const lines = command.helpInformation().trimEnd().split('\n');
    t.true(lines.length <= 50, `${name}: ${lines.length} lines`);
    t.true(lines.every((line) => line.length <= 100));
    t.throws(() => command.parse(['--help-all'], { from: 'user' }), { code: 'commander.helpDisplayed' });
    for (const { name: flag } of rowsOf(name)) t.regex(shown, new RegExp(`${flag}\\b`));
  }
});

test('the examples of the help are understood', (t) => {
  const shown = Object.entries(examples) as [CommandName, readonly string[]][];
  t.true(shown.length >= 4);
  for (const [name, calls] of shown) {
    for (const call of calls) {
      const command = addOptions(new Command(name).argument('[runs...]'), name)
        .exitOverride()
        .action(() => {});
      const words = call
        .split(' ')
        .filter((word, i, all) => word !== '--config' && all[i - 1] !== '--config');
      t.notThrows(() => command.parse(words, { from: 'user' }), call);
    }
  }
});

test('what other programs call an option or a command leads to one that there is', (t) => {
  const options = optionRows.flatMap(({ flags }) => flags.match(/--[\w-]+/g)!);
  const commands = program.commands.map((command) => command.name());
  const known = [...options, ...commands];
  for (const [word, meant] of Object.entries(elsewhere)) {
    t.false([...rowsOf('start').map(({ name }) => name), ...commands].includes(word), word);
    t.is(meantBy(word, known), meant);
    t.is(meantBy(word, []), null);
  }
  t.is(meantBy('--gpus=2', options), '--ngpus');
  t.is(meantBy('fit', ['train', 'features']), 'train');
  t.is(meantBy('--unheard-of', options), null);
});

test('a misspelt word from elsewhere leads to what it means, unless one of ours is as near', (t) => {
  const commands = program.commands.map((command) => command.name());
  const options = rowsOf('start').map(({ name }) => name);
  t.is(meantBy('tran', commands), 'train', 'which is taken for start');
  t.is(meantBy('tran', ['train', 'drain']), null);
  t.is(meantBy('evalute', commands), 'validate');
  t.is(meantBy('--max-epoch', options), '--epochs');
  t.is(meantBy('statsu', commands), null);
  t.is(meantBy('--epoch', options), null);
  t.is(meantBy('train', []), null);
});

test('the page of options is the one made from the table (npm run docs:cli)', (t) => {
  t.is(readFileSync(cliPagePath, 'utf8'), cliPage());
});
