/** An option's value: from text to what its schema wants, or a sentence that names the option. */
import { z } from 'zod';
import { CornetError } from '../errors.ts';
import { oneLine, quoteName, shortened } from '../util/printable.ts';

/** Characters of a wrong value that the sentence about it quotes. */
const shown = 80;

interface ReadOptions {
  /** How text becomes what the schema checks, where that is not obvious. */
  read?: ((text: string) => unknown) | undefined;
  hint?: string | undefined;
}

/**
 * @param name what the user calls it: `--seed`
 * @throws CornetError OPTION_INVALID
 */
export function readValue<T>(
  name: string,
  schema: z.ZodType<T>,
  text: string,
  { read = isNumeric(schema) ? toNumber : String, hint }: ReadOptions = {},
): T {
  const parsed = schema.safeParse(read(text));
  if (parsed.success) return parsed.data;
  const [issue] = parsed.error.issues;
  if (issue?.code === 'custom') {
    throw new CornetError('OPTION_INVALID', `${name}: ${issue.message}.`, { hint: issue.params?.hint });
  }
  const value = quoteName(shortened(withoutUrls(text), shown));
  throw new CornetError(
    'OPTION_INVALID',
    `${name} must be ${describeValue(schema)}, not ${value}.`,
    hint === undefined ? {} : { hint },
  );
}

/** The same, as commander reads an option. */
export function parserOf<T>(name: string, schema: z.ZodType<T>, options?: ReadOptions): (text: string) => T {
  return (text) => readValue(name, schema, text, options);
}

function toNumber(text: string): number {
  return text.trim() === '' ? Number.NaN : Number(text);
}

interface Shape {
  type?: string;
  enum?: string[];
  anyOf?: Shape[];
  prefixItems?: Shape[];
  minimum?: number;
  exclusiveMinimum?: number;
  maximum?: number;
  exclusiveMaximum?: number;
}

export function isNumeric(schema: z.ZodType): boolean {
  return schema instanceof z.ZodNumber;
}

/** `a whole number of at least 0 and at most 65535`. */
export function describeValue(schema: z.ZodType): string {
  return describeShape(z.toJSONSchema(schema) as Shape);
}

function describeShape({ type, enum: names, anyOf, prefixItems, ...range }: Shape): string {
  if (prefixItems !== undefined) {
    return `${prefixItems.length} values with commas between, each ${describeShape(prefixItems[0]!)}`;
  }
  if (type === 'array') return 'names with commas between';
  if (anyOf !== undefined) return anyOf.map(describeShape).join(', or ');
  if (names !== undefined) return names.length === 1 ? names[0]! : `one of ${names.join(', ')}`;
  if (type === 'boolean') return 'true or false';
  if (type !== 'integer' && type !== 'number') return 'text';
  const { minimum, exclusiveMinimum, maximum, exclusiveMaximum } = range;
  const limits = [
    ...(minimum === undefined ? [] : [`of at least ${minimum}`]),
    ...(exclusiveMinimum === undefined ? [] : [`greater than ${exclusiveMinimum}`]),
    ...(maximum === undefined || maximum === Number.MAX_SAFE_INTEGER ? [] : [`at most ${maximum}`]),
    ...(exclusiveMaximum === undefined ? [] : [`less than ${exclusiveMaximum}`]),
  ];
  return `a ${type === 'integer' ? 'whole ' : ''}number ${limits.join(' and ')}`.trimEnd();
}

/** What was typed, without a URL that stands in it: it may hold a password. */
export function withoutUrls(text: string): string {
  const lines = text.replace(/\b([a-z][\w+.-]*):\/\/[^\n]*?(?='?\.?(\n|$))/gi, '$1://***').split('\n');
  return lines.map(oneLine).join('\n');
}
