import { healthExitCodes } from '../coordinator/view/health.ts';
import { errorCodes, errorTable, exitCodes } from '../shared/errors.ts';

/** Where `npm run docs:errors` writes the page. */
export const errorsPagePath = 'docs/errors.md';

/** The page of all error codes, made from the one table. */
export function errorsPage(): string {
  const rows = errorCodes.map((code) => {
    const { exit, meaning, remedy } = errorTable[code];
    return `| \`${code}\` | ${exit} | ${cell(meaning)} | ${cell(remedy)} |`;
  });
  return `# Errors

<!-- Made from shared/errors.ts by \`npm run docs:errors\`; a test compares the two. -->

An error ends a command with one sentence, its code, and what to do next, on standard error:

\`\`\`
error: The folder /data/run-3 already holds a run. [RUN_EXISTS]
Continue that run with --resume, or use another --output-path.
\`\`\`

The sentence names the file, host, step or value that it is about. The table shows the general remedies; where the
program knows a better one for the case at hand, it prints that instead.

## Exit codes

| code | meaning |
|---|---|
| ${exitCodes.complete} | The command did everything it was asked to do; a run is complete. |
| ${exitCodes.error} | An error, or something that \`doctor\`, \`check-data\` or \`verify\` found; an error's code is in the last lines of standard error and, if there is a run folder, in \`log.jsonl\`. |
| ${exitCodes.usage} | The command line is not valid, or its options contradict each other. |
| ${exitCodes.resumable} | Stopped on request before the end. \`coordinator start --resume\` continues a training; for \`test\`, \`validate\`, \`predict\` or an interrupted start-up, run the same command again. |
| ${healthExitCodes.SLOW}, ${healthExitCodes.STUCK}, ${healthExitCodes.STOPPED} | \`coordinator status\` only: the run is SLOW, STUCK or STOPPED ([watch.md](watch.md#is-it-healthy)). |

## All codes

| code | exit | what it means | what to do |
|---|---|---|---|
${rows.join('\n')}
`;
}

function cell(text: string): string {
  return text
    .replaceAll('|', '\\|')
    .replace(/(`[^`]*`)|<[^>]+>/g, (found, code: string | undefined) => code ?? `\`${found}\``);
}
