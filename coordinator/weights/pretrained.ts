/** The weights that the original publishes: downloaded once, kept under the user's cache folder. */
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { download as limits } from '../../shared/defaults.ts';
import { CornetError } from '../../shared/errors.ts';
import type { ModelName } from '../../shared/models/model.ts';
import { cacheFolder, cacheHint } from '../../shared/process/cache-folder.ts';

/** As PyTorch's model zoo does, the first digits of its SHA-256 are part of a file's name. */
const published: Readonly<Record<ModelName, { name: string; sha256Prefix: string }>> = {
  Z: { name: 'cornet_z-5c427c9c.pth', sha256Prefix: '5c427c9c' },
  R: { name: 'cornet_r-5930a990.pth', sha256Prefix: '5930a990' },
  RT: { name: 'cornet_rt-933c001c.pth', sha256Prefix: '933c001c' },
  S: { name: 'cornet_s-1d3f7974.pth', sha256Prefix: '1d3f7974' },
};
/** Bytes from one line of progress to the next where the server does not say how many there will be. */
const progressStep = 10_000_000;
const publisher = 'https://s3.amazonaws.com/cornet-models';

type Environment = Readonly<Record<string, string | undefined>>;

/**
 * The file of a model's published weights; what is there already is not downloaded again.
 * @param say is told how far the download is
 * @throws CornetError DOWNLOAD_FAILED, DISK_FULL, FOLDER_NOT_WRITABLE
 */
export async function pretrainedWeights(
  model: ModelName,
  environment: Environment,
  say: (sentence: string) => void,
): Promise<string> {
  const { name, sha256Prefix } = published[model];
  const cache = cacheFolder(environment);
  if (cache === null) {
    const message = `There is no folder to keep ${name} in: this user has no home.`;
    throw new CornetError('FOLDER_NOT_WRITABLE', message, { hint: cacheHint });
  }
  const path = join(cache, name);
  const url = `${publisher}/${name}`;
  let said = -1;
  const onProgress = (received: number, total: number | null) => {
    const tenth = total === null ? Math.floor(received / progressStep) : Math.floor((10 * received) / total);
    if (tenth === said) return;
    said = tenth;
    say(`Downloading ${name}: ${megabytes(received)}${total === null ? '' : ` of ${megabytes(total)}`} MB`);
  };
  const { download } = await import('./download.ts'); // with it comes a whole HTTP client
  await download({ url, path, sha256Prefix, environment, limits, sleep, onProgress });
  return path;
}

function megabytes(bytes: number): string {
  return (bytes / 1e6).toFixed(1);
}
