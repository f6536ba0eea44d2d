import test from 'ava';
import { type Common, Roster } from '../../coordinator/protocol/roster.ts';
import type { Hello } from '../../shared/wire/protocol.ts';

const hello: Hello = {
  type: 'hello',
  host: 'here',
  pid: 1,
  place: 'p',
  version: '1',
  fingerprint: 'f',
  vectorLength: 16,
  step: null,
  numerics: { backend: 'torch', version: '2', device: 'cpu', processor: 'some', threads: 1 },
  probe: 'probe',
  pixels: 'Pillow 12.3.0, 0123456789abcdef',
};

test('a worker that makes other pixels of images than the first one is refused, with both named', (t) => {
  const common: Common = { version: '1', fingerprint: 'f', place: 'p', carrier: 'auto', numerics: null };
  const roster = new Roster(1, common);
  t.is(roster.whyRefused(hello), null);
  roster.add('first', hello, 1, 0);
  t.is(roster.numerics?.pixels, hello.pixels);
  t.is(roster.whyRefused(hello), null);
  const pixels = 'Pillow 12.3.0, fedcba9876543210';
  t.deepEqual(roster.whyRefused({ ...hello, pixels }), {
    code: 'PIXELS_DIFFER',
    message: `The worker decodes images to different pixels (${pixels}) than the run (${hello.pixels}).`,
  });
});
