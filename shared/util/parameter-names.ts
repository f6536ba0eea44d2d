/**
 * Whether a parameter is meant by a name that an option gives: its own (`V2.conv1.weight`), that of its layer (`V2.conv1`)
 * or area (`V2`), or a pattern of these in which * stands for any characters (`*.norm*`).
 */
export function isNamedBy(pattern: string): (parameter: string) => boolean {
  const parts = pattern.split('*').map((part) => part.replace(/[^\w]/g, String.raw`\$&`));
  const expression = new RegExp(`^${parts.join('.*')}(?:\\..+)?$`);
  return (parameter) => expression.test(parameter);
}
