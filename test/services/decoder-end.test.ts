import { spawnSync } from 'node:child_process';
import test from 'ava';

/** Runs a module with a decoder and 200 images under way; returns how the process ended. */
function runWithDecoder(whenDecoded: string) {
  const module = `
    import { wholeFile } from './dist/shared/data/image-source.js';
    import { openDecoder } from './dist/worker/data/decode.js';
    import { squash } from './dist/worker/data/transform.js';
    const decoder = openDecoder(2);
    for (let i = 0; i < 200; i++) {
      const image = new Uint8Array(64 * 64 * 3);
      decoder.decode(wholeFile('test/fixtures/images/landscape.jpg'), squash(64), 64, image, 0).then(() => { ${whenDecoded} });
    }`;
  const { status, signal, stdout } = spawnSync(process.execPath, ['--input-type=module', '-e', module], {
    encoding: 'utf8',
  });
  return { status, signal, stdout };
}

test('a process lives as long as images are under way, and not longer', (t) => {
  const { status, signal, stdout } = runWithDecoder("process.stdout.write('.')");
  t.deepEqual({ status, signal, images: stdout.length }, { status: 0, signal: null, images: 200 });
});

test('a process can end in the middle of its images', (t) => {
  t.like(runWithDecoder('if (i === 20) process.exit(3)'), { status: 3, signal: null });
});
