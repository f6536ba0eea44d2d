import { hasSteering } from './printable.ts';

/** Words as a POSIX shell reads them again; a name with characters that steer a terminal, as bash and zsh do. */
export function shellWords(words: readonly string[]): string {
  return words.map(shellWord).join(' ');
}

function shellWord(word: string): string {
  if (hasSteering(word)) return `$'${[...word].map(escaped).join('')}'`;
  // An equals sign alone is special at the beginning of a word, to zsh; so is a tilde.
  if (/^[\w@%+:,./-][\w@%+:,./=~-]*$/.test(word)) return word;
  return `'${word.replaceAll("'", `'\\''`)}'`;
}

function escaped(character: string): string {
  if (character === "'" || character === '\\') return `\\${character}`;
  if (!hasSteering(character)) return character;
  const bytes = [...Buffer.from(character)];
  return bytes.map((byte) => `\\x${byte.toString(16).padStart(2, '0')}`).join('');
}
