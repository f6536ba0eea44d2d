/** The process in which the file of a custom model runs. What it prints to standard output is lost. */
import { register } from 'node:module';
import { CornetError } from '../../shared/errors.ts';
import type { CustomModel } from '../../shared/models/define.ts';
import { recordModel } from '../../shared/models/record.ts';
import type { Answer } from './load.ts';

const [file, times] = process.argv.slice(2) as [string, string];

// The file may lie anywhere: this package's own is meant, wherever that is installed.
const own = new URL('../../shared/models/define.js', import.meta.url).href;
const hook = `export async function resolve(name, context, next) {
  return name === 'cornet-ts/model' ? { url: ${JSON.stringify(own)}, shortCircuit: true } : next(name, context);
}`;
register(`data:text/javascript,${encodeURIComponent(hook)}`);

async function answer(): Promise<Answer> {
  let exported: { default?: unknown };
  try {
    exported = (await import(file)) as { default?: unknown };
  } catch (error) {
    return cannotBeLoaded(error);
  }
  const model = exported.default as Partial<CustomModel> | undefined;
  if (typeof model?.define !== 'function') {
    return { why: 'its default export is not what defineModel returns.' };
  }
  try {
    return { recorded: recordModel(model as CustomModel, Number(times)) };
  } catch (error) {
    if (error instanceof CornetError) return { why: error.message, hint: error.hint };
    return { why: firstLines(error) };
  }
}

function cannotBeLoaded(error: unknown): Answer {
  const { code } = error as { code?: string };
  if (code === 'ERR_UNKNOWN_FILE_EXTENSION') {
    return {
      why: `Node ${process.version} does not read TypeScript.`,
      hint: 'Use Node 22.18 or newer, or compile the file (tsc) and name the .js.',
    };
  }
  return { why: firstLines(error) };
}

/** With the place in the file where it happened. */
function firstLines(error: unknown): string {
  if (!(error instanceof Error)) return `it throws ${String(error)}.`;
  const place = error.stack?.split('\n').find((line) => line.includes(file));
  return `${error.name}: ${error.message}${place === undefined ? '' : ` (${place.trim()})`}`;
}

process.send!(await answer(), () => process.exit());
