/** The command line that this process was given, as it may be shown. */
import { ownCommand } from '../../shared/process/own-command.ts';
import { redactUrl } from '../../shared/redis/redis.ts';

const secret = '--redis';

/**
 * As the user would type it, without passwords.
 * @param argv as Node has it
 */
export function ownCommandLine(argv: readonly string[] = process.argv): string {
  const [, , command = '', ...given] = argv;
  const args = given.map((word, i) => {
    if (given[i - 1] === secret) return redactUrl(word);
    if (word.startsWith(`${secret}=`)) return `${secret}=${redactUrl(word.slice(secret.length + 1))}`;
    return word;
  });
  return ownCommand('coordinator', command, args);
}
