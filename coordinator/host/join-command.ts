/** How a worker is added to a run from elsewhere: a command to be pasted into a shell there. */
import { basename } from 'node:path';
import { ownCommand } from '../../shared/process/own-command.ts';
import { redactUrl } from '../../shared/redis/redis.ts';
import type { AnyConfig } from '../../shared/run-config.ts';
import { shellWords } from '../../shared/util/shell-words.ts';
import type { JoinHint } from '../view/run-view.ts';

/** Hosts that mean another machine on each machine. */
const here = /^(?:\/|unix:|\w+:\/\/(?:[^@/]*@)?(?:localhost|127\.[\d.]+|\[::1\])(?:[:/?]|$))/;

/**
 * @param redisUrl the user's Redis: a private one is reached by nobody else
 * @param script what Node was given to run, by which the user called this program
 */
export function joinHint(
  { run, options: { dataPath } }: Pick<AnyConfig, 'run'> & { options: { dataPath: string } },
  redisUrl: string,
  script: string = process.argv[1] ?? '',
): JoinHint {
  const shown = redactUrl(redisUrl);
  const secret = shown.includes('***');
  const onlyHere = here.test(shown);
  const where = onlyHere ? 'on this host' : 'on this host or another one';
  const how = secret
    ? `To add a worker ${where}, set CORNET_REDIS_URL to the URL of this Redis, with its password, and run:`
    : `To add a worker ${where}, run:`;
  const argv = [...(secret ? [] : ['--redis', shown]), '--run', run, '--data-path', dataPath];
  const command = onlyHere ? ownCommand('worker', 'start', argv) : workerStartCommand(argv, script);
  return { how, command };
}

/** By its name alone: where the package lies on another host is not known here (`ownCommand` is for this one). */
function workerStartCommand(argv: readonly string[], script: string): string {
  const name = basename(script);
  const program = name.startsWith('cornet') ? ['cornet', 'worker'] : ['worker'];
  return shellWords([...program, 'start', ...argv]);
}
