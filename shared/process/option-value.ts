/** An option's value: from text to what its schema wants, or a sentence that names the option. */
import { inspect } from 'node:util';
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
  const told = () => quoteName(shortened(withoutUrls(text), shown));
  return accepted(schema.safeParse(read(text)), { name, told, hint, wanted: () => describeValue(schema) });
}

/**
 * The same for a value that a program gives.
 * @param name what the program calls it: `seed`
 * @throws CornetError OPTION_INVALID
 */
export function checkValue<T>(name: string, schema: z.ZodType<T>, value: unknown, hint?: string): T {
  const wanted = () => describeValue(schema, 'in an array');
  const told = () => oneLine(shortened(withoutUrls(inWords(value)), shown));
  return accepted(parsed(schema, value), { name, told, hint, wanted });
}

/** Some values make zod throw: it would freeze a typed array. */
function parsed<T>(schema: z.ZodType<T>, value: unknown): z.ZodSafeParseResult<T> {
  try {
    return schema.safeParse(value);
  } catch {
    return { success: false, error: new z.ZodError([]) } as z.ZodSafeParseError<T>;
  }
}

/** As a program writes it: `'8'` for text, `8` for a number. */
function inWords(value: unknown): string {
  return inspect(value, {
    depth: 0,
    breakLength: Number.POSITIVE_INFINITY,
    customInspect: false,
    getters: false,
  });
}

interface Given {
  name: string;
  /** The value, as it may be shown. */
  told: () => string;
  hint: string | undefined;
  wanted: () => string;
}

function accepted<T>(result: z.ZodSafeParseResult<T>, { name, told, hint, wanted }: Given): T {
  if (result.success) return result.data;
  const [issue] = result.error.issues;
  if (issue?.code === 'custom') {
    const sentence = issue.message.startsWith('must ') ? ` ${issue.message}` : `: ${issue.message}`;
    throw new CornetError('OPTION_INVALID', `${name}${sentence}.`, { hint: issue.params?.hint ?? hint });
  }
  const sentence = `${name} must be ${wanted()}, not ${told()}.`;
  throw new CornetError('OPTION_INVALID', sentence, hint === undefined ? {} : { hint });
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

/**
 * `a whole number of at least 0 and at most 65535`.
 * @param array how several values are given
 */
export function describeValue(schema: z.ZodType, array = 'with commas between'): string {
  return describeShape(z.toJSONSchema(schema, { io: 'input' }) as Shape, array);
}

function describeShape({ type, enum: names, anyOf, prefixItems, ...range }: Shape, array: string): string {
  if (prefixItems !== undefined) {
    return `${prefixItems.length} values ${array}, each ${describeShape(prefixItems[0]!, array)}`;
  }
  if (type === 'array') return `names ${array}`;
  if (anyOf !== undefined) return anyOf.map((shape) => describeShape(shape, array)).join(', or ');
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
