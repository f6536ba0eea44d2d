/** Which output of a decoder stands for which class of a data set. */

/**
 * @param classes of a data set, in its order
 * @param classNames what the first outputs stand for; empty: the classes of the data set, in their order
 * @returns for each class its output; null: there is none
 */
export function outputsOf(classes: readonly string[], classNames: readonly string[]): (number | null)[] {
  if (classNames.length === 0) return classes.map((_, position) => position);
  const outputs = new Map(classNames.map((name, output) => [name, output]));
  return classes.map((name) => outputs.get(name) ?? null);
}

/** What the first outputs stand for, where a configuration does not tell it by name. */
export function namesOfOutputs(
  { classNames }: { readonly classNames: readonly string[] },
  classes: readonly string[],
): readonly string[] {
  return classNames.length === 0 ? classes : classNames;
}
