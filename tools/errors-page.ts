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

What a user can cause or meet ends a command with one sentence, its code, and what to do next, on standard error:

\`\`\`
error: The folder /data/run-3 already holds a run. [RUN_EXISTS]
Continue that run with --resume, or give another --output-path.
\`\`\`

The sentence names the file, host, step or value that it is about. The way out in the table is the general one; where the
program knows a better one for the case at hand, it prints that instead.

## Exit codes

| code | meaning |
|---|---|
| ${exitCodes.complete} | The command did all that it was asked to; for a run: it is complete. |
| ${exitCodes.error} | An error; its code is in the last lines of standard error, and in \`log.jsonl\` where there is a run folder. |
| ${exitCodes.usage} | The command was not understood, or its options do not go together. |
| ${exitCodes.resumable} | Stopped on request before the end; \`coordinator start --resume\` goes on. |

## All codes

| code | exit | what it means | what to do |
|---|---|---|---|
${rows.join('\n')}
`;
}

function cell(text: string): string {
  return text.replaceAll('|', '\\|').replace(/<[^>]+>/g, (placeholder) => `\`${placeholder}\``);
}
