import { z } from 'zod';
import { rowsForPrograms } from '../coordinator/options/given-options.ts';
import { type CommandName, defaultToldOf, demandOf, isNegation } from '../coordinator/options/row.ts';
import { type NamedRow, type OptionName, optionRows } from '../coordinator/options/table.ts';
import { modelNames } from '../shared/models/model.ts';

/** Where `npm run docs:api` writes the options of the API. */
export const apiOptionsPath = 'coordinator/api/options.ts';

/** The interfaces, made from the one table. */
export function apiOptions(): string {
  return `/** Options by their names, as the table of all options has them. Made by \`npm run docs:api\`; a test compares the two. */
import type { Notice } from '../watch/news.ts';

/** What every call takes that begins a run. */
export interface CallOptions {
  /** Aborting it asks the run to stop; what is done is kept. */
  signal?: AbortSignal | undefined;
}

${interfaceOf('TrainOptions', 'start')}
${interfaceOf('ExtractFeaturesOptions', 'test')}
${interfaceOf('ValidateOptions', 'validate')}
${interfaceOf('PredictOptions', 'predict')}
${interfaceOf('ExportWeightsOptions', 'export')}`;
}

/** Of a command that begins no run: nothing of it can be aborted, and it has no events. */
const onNotice = `  /** Is told what takes a while, and what may not be expected. */
  onNotice?: ((notice: Notice) => void) | undefined;`;

function interfaceOf(name: string, command: CommandName): string {
  const [base, own] = command === 'export' ? ['', [onNotice]] : [' extends CallOptions', []];
  const properties = [...rowsForPrograms(command).map((row) => property(row, command)), ...own];
  return `/** Those of \`coordinator ${command}\`. */
export interface ${name}${base} {
${properties.join('\n')}
}
`;
}

function property(row: NamedRow, command: CommandName): string {
  const optional = row.requiredBy?.includes(command) ? '' : '?';
  const type =
    row.attribute === 'model' ? modelType : typeOf(z.toJSONSchema(row.value, { io: 'input' }) as Shape);
  const known = optional === '' ? type : `${type} | undefined`;
  return `${comment(sentencesOf(row, command))}\n  ${row.attribute}${optional}: ${known};`;
}

function sentencesOf(row: NamedRow, command: CommandName): string {
  const { unit, env } = row;
  const { help, details } = { ...row, ...otherwise[row.attribute] };
  const told = isNegation(row) ? 'true' : defaultToldOf(row);
  const demand = demandOf(row, command);
  return [
    isNegation(row) ? `\`false\`: ${help}.` : sentence(help),
    ...(details === undefined ? [] : [sentence(details)]),
    ...(unit === undefined || unit === 'none' ? [] : [`Unit: ${unit}.`]),
    ...(told === null ? [] : [`Default: ${told === '.' ? 'the current folder' : told}.`]),
    ...(env === undefined ? [] : [`Default: the environment variable ${env}.`]),
    ...(demand === null || demand === 'required' ? [] : [sentence(demand)]),
  ]
    .join(' ')
    .replace(/--[a-z][a-z-]+/g, (flag) => attributeOf.get(flag) ?? flag)
    .replace(/[\w/]+<\w+>[\w/*]*/g, (path) => `\`${path}\``);
}

/** `weights`, for `--weights`. */
const attributeOf = new Map(
  optionRows.flatMap(({ flags, attribute }) =>
    [...flags.matchAll(/--[a-z-]+/g)].map(([flag]) => [flag, `\`${attribute}\``] as const),
  ),
);

/** What a program is told in other words than a command line. */
const otherwise: Partial<Record<OptionName, { help: string; details?: string }>> = {
  config: {
    help: "options from a YAML or JSON file or a run's config.json",
    details: 'what is given beside it wins',
  },
  redis: {
    help: 'use this Redis instead of a private one',
    details: 'redis://, rediss://, unix:// or redis+sentinel://host,host/master-name',
  },
  timeStep: {
    help: "the number of a module's call, from 0, or one of these",
    details: 'with --tap all or everything the default is all',
  },
};

function sentence(text: string): string {
  const word = /^[A-Za-z]+[ ,]/.test(text); // `tf32: …` stays as it is written
  return word ? `${text[0]!.toUpperCase()}${text.slice(1)}.` : `${text}.`;
}

/** So that editors offer the four, and find a wrong one. */
const modelType = [
  ...modelNames.map((name) => `'${name}'`),
  ...['ts', 'mts', 'js', 'mjs'].map((ending) => `\`\${string}.${ending}\``),
].join(' | ');

const columns = 110;

function comment(text: string): string {
  const one = `  /** ${text} */`;
  if (one.length <= columns) return one;
  const lines = [''];
  for (const word of text.split(' ')) {
    const line = `${lines.at(-1)} ${word}`.trim();
    if (line.length > columns - '   * '.length) lines.push(word);
    else lines[lines.length - 1] = line;
  }
  return ['  /**', ...lines.map((line) => `   * ${line}`), '   */'].join('\n');
}

interface Shape {
  type?: string;
  enum?: string[];
  anyOf?: Shape[];
  prefixItems?: Shape[];
  items?: Shape;
}

function typeOf({ type, enum: names, anyOf, prefixItems, items }: Shape): string {
  if (anyOf !== undefined) return anyOf.map(typeOf).join(' | ');
  if (names !== undefined) return names.map((name) => `'${name}'`).join(' | ');
  if (prefixItems !== undefined) return `readonly [${prefixItems.map(typeOf).join(', ')}]`;
  if (type === 'array') return `readonly ${typeOf(items!)}[]`;
  return type === 'integer' ? 'number' : type!;
}
