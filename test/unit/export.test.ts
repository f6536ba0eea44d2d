/** `coordinator export --onnx`, up to the file; `test/parity/onnx.test.ts` runs what is in it. */
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import test from 'ava';
import { readWeights, writeCheckpoint } from '../../coordinator/api/index.ts';
import type { ExportOptions } from '../../coordinator/options/table.ts';
import { buildModel } from '../../shared/models/family.ts';
import { version } from '../../shared/process/version.ts';
import { exported } from '../helpers/exported.ts';
import { temporaryFolder } from '../helpers/temporary.ts';
import { validatedRun } from '../helpers/validated-run.ts';

type Field = number | Uint8Array;

/** The fields of a message by their numbers. */
function fieldsOf(message: Uint8Array): Map<number, Field[]> {
  const fields = new Map<number, Field[]>();
  let at = 0;
  const varint = (): number => {
    let value = 0;
    for (let factor = 1; ; factor *= 0x80) {
      const byte = message[at++]!;
      value += (byte % 0x80) * factor;
      if (byte < 0x80) return value;
    }
  };
  const bytes = (count: number): Uint8Array => {
    at += count;
    return message.subarray(at - count, at);
  };
  while (at < message.length) {
    const tag = varint();
    const field = tag % 8 === 0 ? varint() : bytes(tag % 8 === 2 ? varint() : 4);
    fields.set(tag >> 3, [...(fields.get(tag >> 3) ?? []), field]);
  }
  return fields;
}

const text = (field: Field | undefined): string => Buffer.from(field as Uint8Array).toString();

test('a graph says of which network it is, and nothing of when and where it was made', async (t) => {
  const run = await validatedRun(t, buildModel('RT', 5, 3), { classNames: ['ant', 'bee', 'cat'] });
  const target = join(run, 'rt.onnx');
  await exported(`${run}:best`, target);
  const file = fieldsOf(readFileSync(target));
  t.deepEqual([...file.keys()], [1, 2, 3, 6, 7, 8, 14]);
  t.deepEqual(file.get(1), [8]);
  t.is(text(file.get(2)![0]), 'cornet-ts');
  t.is(text(file.get(3)![0]), version);
  t.true(text(file.get(6)![0]).startsWith('CORnet-RT, 5 time steps, 3 outputs. Input: RGB from 0 to 1,'));
  t.deepEqual(fieldsOf(file.get(8)![0] as Uint8Array).get(2), [17]);
  const pairs = file.get(14)!.map((pair) => fieldsOf(pair as Uint8Array));
  const metadata = Object.fromEntries(pairs.map((pair) => [text(pair.get(1)![0]), text(pair.get(2)![0])]));
  const { weights_sha256: hash, ...others } = metadata;
  t.regex(hash!, /^[0-9a-f]{64}$/);
  t.deepEqual(others, {
    model: 'CORnet-RT',
    times: '5',
    image_size: '32',
    mean: '[0.485,0.456,0.406]',
    std: '[0.229,0.224,0.225]',
    classes: '["ant","bee","cat"]',
    cornet_ts_version: version,
  });
  const graph = fieldsOf(file.get(7)![0] as Uint8Array);
  t.deepEqual([...graph.keys()], [1, 2, 5, 11, 12]);
});

test('initializers are the weights under their names in a state dict, bit for bit', async (t) => {
  const target = join(temporaryFolder(t), 'z.onnx');
  await exported('untrained', target, { model: 'Z' });
  const { tensors } = await readWeights('untrained', { model: 'Z' });
  const graph = fieldsOf(fieldsOf(readFileSync(target)).get(7)![0] as Uint8Array);
  const initializers = graph.get(5)!.map((tensor) => fieldsOf(tensor as Uint8Array));
  t.deepEqual(
    initializers.map((tensor) => text(tensor.get(8)![0])),
    [...tensors.keys()],
  );
  for (const tensor of initializers) {
    const { data, shape } = tensors.get(text(tensor.get(8)![0]))!;
    t.deepEqual(tensor.get(1), [...shape]);
    t.is(
      Buffer.compare(
        tensor.get(9)![0] as Uint8Array,
        Buffer.from(data.buffer, data.byteOffset, data.byteLength),
      ),
      0,
    );
  }
});

test('equal weights give equal files, whatever they were kept in', async (t) => {
  const folder = temporaryFolder(t);
  const classes = Array.from({ length: 1000 }, (_, i) => `class ${i}`);
  const weights = { ...(await readWeights('untrained', { model: 'R', times: 2 })), classes };
  const bytes: Buffer[] = [];
  for (const [place, name] of ['one.safetensors', 'two.pth.tar', 'two.pth.tar'].entries()) {
    const [source, target] = [join(folder, name), join(folder, `${place}.onnx`)];
    await writeCheckpoint(source, weights, { force: true });
    await exported(source, target, { tap: 'V4.output,IT.output-t0' });
    bytes.push(readFileSync(target));
  }
  t.true(bytes[0]!.equals(bytes[1]!));
  t.true(bytes[1]!.equals(bytes[2]!));
});

test('a file that exists is replaced only with --force, and --onnx needs no ending', async (t) => {
  const target = join(temporaryFolder(t), 'graph');
  writeFileSync(target, 'mine');
  const options = { onnx: true, model: 'Z' } as const;
  await t.throwsAsync(exported('untrained', target, options), { code: 'OUTPUT_EXISTS' });
  t.is(readFileSync(target, 'utf8'), 'mine');
  t.is(await exported('untrained', target, { ...options, force: true }), 'untrained (seed 0)');
  t.is(fieldsOf(readFileSync(target)).get(1)![0], 8);
});

test('what may not be expected of a network is told', async (t) => {
  const warnings: string[] = [];
  const options = { model: 'RT', times: 2, tap: 'V4.output-t0' } as const;
  await exported('untrained', join(temporaryFolder(t), 'rt.onnx'), options, warnings);
  t.is(warnings.length, 2);
  t.regex(warnings[0]!, /^With --times 2 the image does not reach the decoder of CORnet-RT/);
  t.regex(warnings[1]!, /^The image has not reached V4\.output-t0 of CORnet-RT/);
});

test('options that do not go together are refused before anything is read', async (t) => {
  const folder = temporaryFolder(t);
  const refused = (name: string, options: Partial<ExportOptions>, message: RegExp) =>
    t.throwsAsync(exported(join(folder, 'none'), join(folder, name), options), {
      code: 'OPTION_INVALID',
      message,
    });
  await refused('z.onnx', { onnx: true, hub: true }, /give one of them/);
  await refused('z.pth.tar', { tap: 'all' }, /^--tap names outputs of a graph of ONNX/);
  await refused('z', { hub: true, tap: 'all' }, /^--tap names outputs of a graph of ONNX/);
  await refused(
    'z.pth.tar',
    { model: 'Z' },
    /^--model, --times, --image-size and --weights-key have no meaning/,
  );
  t.deepEqual(readdirSync(folder), []);
});

test('an error leaves no file behind', async (t) => {
  const folder = temporaryFolder(t);
  const fails = (target: string, options: Partial<ExportOptions>, code: string) =>
    t.throwsAsync(exported('untrained', join(folder, target), options), { code });
  await fails('z.onnx', {}, 'OPTION_INVALID'); // no model
  await fails('z.onnx', { model: 'Z', tap: 'V3.output' }, 'OPTION_INVALID');
  await fails(join('no', 'z.onnx'), { model: 'Z' }, 'FOLDER_NOT_WRITABLE');
  mkdirSync(join(folder, 'folder.onnx'));
  await fails('folder.onnx', { model: 'Z', force: true }, 'FOLDER_NOT_WRITABLE');
  t.deepEqual(readdirSync(folder), ['folder.onnx']);
});
