import { CornetError } from '../../shared/errors.ts';
import type { InferenceEnd } from '../inference/conduct-inference.ts';
import { type FeatureReport, extractFeatures as features } from '../inference/features.ts';
import type { InferenceEvent, InferenceFrontend } from '../inference/inference-news.ts';
import { type PredictionReport, predict as predictions } from '../inference/predict.ts';
import { type ValidationReport, validate as validation } from '../inference/validate.ts';
import { checkOptions } from '../options/given-options.ts';
import type { CommandName } from '../options/row.ts';
import type { FeatureOptions, InferenceOptions, PredictOptions as NamingOptions } from '../options/table.ts';
import type { CallOptions, ExtractFeaturesOptions, PredictOptions, ValidateOptions } from './options.ts';
import { programFrontend, withoutSignal } from './program-frontend.ts';
import { handleOf, type RunHandle } from './run-handle.ts';

/**
 * Extracts features of images, as `coordinator test` does: arrays (.npy or .npz) with a row for each image, and JSON
 * that says what the rows are.
 * @returns resolves to where they are; rejects with a {@link CornetError}, `INTERRUPTED` if it was aborted: the same
 *   call continues what was begun
 */
export function extractFeatures(options: ExtractFeaturesOptions): RunHandle<InferenceEvent, FeatureReport> {
  return infer('test', options, (checked, frontend) =>
    features(checked as unknown as FeatureOptions, frontend),
  );
}

/**
 * Validates weights, as `coordinator validate` does.
 * @returns resolves to how right they are; rejects as {@link extractFeatures}
 */
export function validate(options: ValidateOptions): RunHandle<InferenceEvent, ValidationReport> {
  return infer('validate', options, (checked, frontend) =>
    validation(checked as unknown as InferenceOptions, frontend),
  );
}

/**
 * Names the likeliest classes of images, as `coordinator predict` does.
 * @returns resolves to where they are written; rejects as {@link extractFeatures}
 */
export function predict(options: PredictOptions): RunHandle<InferenceEvent, PredictionReport> {
  return infer('predict', options, (checked, frontend) =>
    predictions(checked as unknown as NamingOptions, frontend),
  );
}

function infer<R>(
  command: CommandName,
  options: CallOptions,
  work: (checked: ReturnType<typeof checkOptions>, frontend: InferenceFrontend) => Promise<InferenceEnd<R>>,
): RunHandle<InferenceEvent, R> {
  return handleOf(async (emit) => {
    const { signal, given } = withoutSignal(options);
    const checked = checkOptions(command, given);
    const viewer = () => ({
      news: (event: InferenceEvent) => emit(event.type === 'start' ? structuredClone(event) : event),
      waiting: () => undefined,
      end: () => undefined,
    });
    const frontend = programFrontend({ command, options: checked, signal, tell: emit, viewer });
    const ended = await work(checked, frontend);
    if (ended.outcome === 'complete') return ended.result;
    throw new CornetError('INTERRUPTED', ended.message, { hint: 'The same call continues it.' });
  });
}
