import test from 'ava';
import { chooseTaps, type TapRequest } from '../../coordinator/inference/choose-taps.ts';
import { CornetError } from '../../shared/errors.ts';
import { buildModel } from '../../shared/models/family.ts';
import type { ModelName } from '../../shared/models/model.ts';

const size = 224;
const choose = (model: ModelName, request: TapRequest, times = 5) =>
  chooseTaps(buildModel(model, times), size, request);
const taps = (model: ModelName, request: TapRequest) => choose(model, request).taps.map(({ tap }) => tap);
const files = (model: ModelName, request: TapRequest) =>
  choose(model, request).taps.map(({ fileName }) => fileName);

test('the default is what the decoder reads', (t) => {
  t.deepEqual(taps('S', {}), ['decoder.avgpool']);
  t.deepEqual(files('S', {}), ['decoder_avgpool']);
});

test('a layer without a sublayer means its output, at the last time step', (t) => {
  t.deepEqual(taps('S', { layer: 'V4' }), ['V4.output-t3']);
  t.deepEqual(files('S', { layer: 'V4' }), ['V4_output']);
  t.deepEqual(taps('RT', { layer: 'V2', sublayer: 'norm1' }), ['V2.norm1-t4']);
});

test('an area is taken in whatever case it is written', (t) => {
  t.deepEqual(taps('S', { layer: 'v4' }), ['V4.output-t3']);
  t.deepEqual(taps('S', { layer: 'Decoder' }), ['decoder.avgpool']);
  t.deepEqual(taps('S', { tap: 'it.output-t0,v1.output' }), ['V1.output', 'IT.output-t0']);
});

test('--time-step counts calls, as the original does', (t) => {
  t.deepEqual(taps('S', { layer: 'V4', timeStep: 0 }), ['V4.output-t0']);
  t.deepEqual(taps('R', { layer: 'IT', sublayer: 'conv_input', timeStep: 0 }), ['IT.conv_input-t1']);
  t.deepEqual(taps('S', { layer: 'V4', sublayer: 'norm1_3', timeStep: 0 }), ['V4.norm1_3-t3']);
  t.deepEqual(taps('S', { layer: 'V1', timeStep: 'all' }), ['V1.output']);
});

test('several steps of one output have the step in their names', (t) => {
  t.deepEqual(files('S', { layer: 'IT', timeStep: 'all' }), ['IT_output_t0', 'IT_output_t1']);
  t.deepEqual(files('S', { tap: 'V4.output-t3,IT.output,V4.output-t0' }), [
    'V4_output_t0',
    'V4_output_t3',
    'IT_output',
  ]);
});

test('all is what the areas put out, everything is each sublayer, at every step', (t) => {
  t.deepEqual(files('S', { tap: 'all' }), [
    'V1_output',
    ...['V2_output_t0', 'V2_output_t1'],
    ...['V4_output_t0', 'V4_output_t1', 'V4_output_t2', 'V4_output_t3'],
    ...['IT_output_t0', 'IT_output_t1', 'decoder_avgpool'],
  ]);
  t.is(taps('R', { tap: 'all' }).length, 4 * 5 + 1);
  t.is(taps('S', { tap: 'everything' }).length, 101);
  t.deepEqual(taps('S', { tap: 'all', timeStep: 2 }), ['V4.output-t2']);
});

test('a step before the image has arrived is warned of, with the step at which it has', (t) => {
  t.deepEqual(choose('RT', { layer: 'V4', timeStep: 1 }).warnings, [
    'The image has not reached V4.output-t1 of CORnet-RT: its features are the same for every image (it does from V4.output-t2 on).',
  ]);
  t.is(choose('RT', { tap: 'all' }).warnings.length, 1 + 2 + 3);
  t.is(choose('R', { tap: 'all' }).warnings.length, 3);
  t.is(choose('S', { tap: 'everything' }).warnings.length, 0);
  t.regex(choose('RT', {}, 3).warnings[0]!, /decoder.avgpool .*with so few --times it never does/);
});

test('what the model does not have is answered with the nearest names', (t) => {
  const refused: [TapRequest, RegExp, RegExp][] = [
    [{ layer: 'V4', sublayer: 'ouput' }, /no output V4.ouput/, /Nearest names: V4.output, /],
    [{ layer: 'IT.output' }, /takes one area, such as V4, not IT\.output\./, /with --tap: --tap IT\.output$/],
    [{ layer: 'v1, V2.conv1,decoder' }, /not v1, V2/, /--tap V1\.output,V2\.conv1,decoder\.avgpool$/],
    [{ layer: 'V1,V2', sublayer: 'conv1' }, /takes one area/, /--tap V1\.conv1,V2\.conv1$/],
    [{ tap: 'V4.output-t7' }, /no output V4.output-t7/, /V4.output-t0, V4.output-t1, V4.output-t2/],
    [{ layer: 'IT', timeStep: 2 }, /computes IT.output 2 times .* no --time-step 2/, /up to 1/],
    [{ tap: 'V4.output-t1', timeStep: 'last' }, /names its time step, and so does --time-step/, /./],
    [{ tap: 'all', layer: 'IT' }, /not by both/, /./],
    [{ layer: 'all' }, /no output all\.output/, /^All areas at once: --tap all\./],
    [{ tap: 'all', timeStep: 9 }, /10 times or more \(--time-step 9\)/, /counted from 0/],
  ];
  for (const [request, message, hint] of refused) {
    const error = t.throws(() => choose('S', request), { instanceOf: CornetError, code: 'OPTION_INVALID' });
    t.regex(error!.message, message);
    t.regex(error!.hint, hint);
  }
});
