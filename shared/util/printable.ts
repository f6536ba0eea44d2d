/** Names and sentences from outside, fit for a terminal, a log and a page: nothing in them steers what shows them. */

/**
 * What moves the cursor, colours, rings, breaks a line or turns the direction of reading, or cannot be seen at all: control
 * characters, U+2028 and U+2029, marks of direction, the byte order mark, halves of surrogate pairs.
 */
const steering = /[\p{Cc}\p{Cs}\u061c\u200b\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff]/gu;
const shortEscapes: Record<string, string> = { '\n': '\\n', '\r': '\\r', '\t': '\\t' };

/** Whether a name has characters that steer what shows it. */
export function hasSteering(name: string): boolean {
  return name.search(steering) >= 0;
}

function escaped(character: string): string {
  const code = character.charCodeAt(0);
  const hex = code.toString(16);
  return (
    shortEscapes[character] ?? (code < 0x100 ? `\\x${hex.padStart(2, '0')}` : `\\u${hex.padStart(4, '0')}`)
  );
}

/**
 * A file's, folder's or class's name as it stands in a sentence: as it is where nobody can misread it, else in quotes
 * with escapes.
 */
export function quoteName(name: string): string {
  const inner = name.replace(/["\\]/g, '\\$&').replace(steering, escaped);
  const misread = name === '' || inner !== name || /^\s|\s$|^'|'$/.test(name);
  return misread ? `"${inner}"` : name;
}

/** A text of one or more lines: whatever steers is escaped, line breaks stay. */
export function printable(text: string): string {
  return text.replace(steering, (character) => (character === '\n' ? character : escaped(character)));
}

/** The same as one line. */
export function oneLine(text: string): string {
  return text.replace(steering, escaped);
}

/** JSON with nothing that steers, and the same meaning: a log is read on terminals, too. */
export function printableJson(json: string): string {
  return json.replace(steering, (character) => {
    if (character === '\n') return character; // between two lines; within a string JSON has escaped it
    return `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`;
  });
}

/** What would flood a terminal or a log is cut. */
export function shortened(text: string, most: number): string {
  return text.length > most ? `${text.slice(0, most)}…` : text;
}
