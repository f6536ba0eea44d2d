/** What a person would see: the rows of a terminal after everything that was written to it. */

// biome-ignore lint/suspicious/noControlCharactersInRegex: it is what terminals are told by
const token = /\x1b\[([?0-9;]*)([A-Za-z])|./gsu;

/**
 * Knows what `TerminalViewer` uses: text, line breaks, cursor up, clearing, wrapping on and off.
 * @returns all rows, those that have scrolled away included, without trailing blanks
 */
export function screenOf(written: string, columns: number): string[] {
  const rows: string[][] = [[]];
  let [row, column, wrap] = [0, 0, true];
  for (const [sign, argument, command] of written.matchAll(token)) {
    rows[row] ??= [];
    if (command === 'A') row = Math.max(0, row - Number(argument));
    else if (command === 'K') rows[row]!.length = Math.min(rows[row]!.length, column);
    else if (command === 'J') {
      rows.length = row + 1;
      rows[row]!.length = Math.min(rows[row]!.length, column);
    } else if (argument === '?7') wrap = command === 'h';
    else if (command !== undefined) continue;
    else if (sign === '\r') column = 0;
    else if (sign === '\n') [row, column] = [row + 1, 0];
    else {
      if (column === columns) [row, column] = wrap ? [row + 1, 0] : [row, column - 1];
      rows[row] ??= [];
      rows[row]![column++] = sign;
    }
  }
  return rows.map((cells) =>
    Array.from(cells, (cell) => cell ?? ' ')
      .join('')
      .trimEnd(),
  );
}
