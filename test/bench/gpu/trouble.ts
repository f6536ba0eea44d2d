/** A GPU out of memory, and a GPU whose context is lost: in whose words, and who survives it. */
import { eachLineOfScript, onGpu, type Target } from './table.ts';

const limit = 45;

export async function benchTrouble({ device, threads, precision, batch }: Target): Promise<void> {
  for (const what of ['memory', 'assert']) {
    console.log(`\n### Trouble: ${what}\n`);
    const images = onGpu({ device }) ? 64 * batch : batch;
    const failed = await eachLineOfScript(
      'gpu/trouble-worker.js',
      [what, device, threads, precision, images],
      { threads, limit },
      (line) => console.log(`- ${line}`),
    );
    console.log(`- ${failed === null ? 'exit code 0' : `ended with ${failed}`}`);
  }
}
