/**
 * A text in lines of at most `room` columns, broken behind a comma where one is in the line's second half, else at a
 * blank. A word that is longer than a line, as of a path, stays whole.
 */
export function wrap(text: string, room: number): string[] {
  if (text.length <= room) return [text];
  const comma = text.lastIndexOf(', ', room - 1) + 1;
  const blank = text.lastIndexOf(' ', room);
  const at = comma > room / 2 ? comma : blank > 0 ? blank : text.indexOf(' ');
  if (at <= 0) return [text];
  return [text.slice(0, at), ...wrap(text.slice(at + 1), room)];
}
