/** How wide a text is on a terminal. */

/** Signs that take up two columns: those of East Asian scripts, full-width forms, pictures. */
const wide =
  /[\u1100-\u115f\u2e80-\u303e\u3041-\ua4cf\uac00-\ud7a3\uf900-\ufaff\ufe30-\ufe6f\uff01-\uff60\uffe0-\uffe6\p{Emoji_Presentation}\u{20000}-\u{3fffd}]/u;
/** Signs that join the one before them. */
const joined = /\p{Mn}|\p{Me}|\u200c|\u200d/u;

/** Columns of a text without control characters. */
export function columnsOf(text: string): number {
  let columns = 0;
  for (const sign of text) columns += joined.test(sign) ? 0 : wide.test(sign) ? 2 : 1;
  return columns;
}

/**
 * As much of a text as `most` columns have room for, with `mark` where something is missing.
 * @param from which end goes
 */
export function cutTo(text: string, most: number, mark: string, from: 'end' | 'start' = 'end'): string {
  if (columnsOf(text) <= most) return text;
  const signs = [...text];
  const kept: string[] = [];
  let free = Math.max(0, most - columnsOf(mark));
  for (const sign of from === 'end' ? signs : signs.toReversed()) {
    free -= columnsOf(sign);
    if (free < 0) break;
    kept.push(sign);
  }
  if (most < columnsOf(mark)) return '';
  return from === 'end' ? kept.join('') + mark : mark + kept.toReversed().join('');
}
