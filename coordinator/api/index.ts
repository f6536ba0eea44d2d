/**
 * What `import … from 'cornet-ts'` gives: the commands as functions. They print nothing and never end the process; the
 * errors that a user can cause or meet are {@link CornetError}s.
 *
 * @packageDocumentation
 */
export type { Normalization } from '../../shared/defaults.ts';
export { CornetError, type ErrorCode } from '../../shared/errors.ts';
export type { ModelGraph } from '../../shared/models/graph.ts';
export type { ModelName } from '../../shared/models/model.ts';
export type {
  FreeOptions,
  InferenceConfig,
  InferenceResult,
  ResultOptions,
  RunConfig,
} from '../../shared/run-config.ts';
export type { FeatureReport } from '../inference/features.ts';
export type {
  InferenceEvent,
  InferenceProgress,
  InferenceProgressEvent,
  InferenceStart,
  InferenceStartEvent,
} from '../inference/inference-news.ts';
export type { LayerRow } from '../inference/layers.ts';
export type { PredictionReport } from '../inference/predict.ts';
export type { UnreadableImage } from '../inference/results.ts';
export type { ClassReport, ValidationReport } from '../inference/validate.ts';
export type { ReportedCheckpoint, RunReport } from '../training/start.ts';
export type { CommandHint } from '../view/run-view.ts';
export type {
  CheckpointEvent,
  EndEvent,
  Ending,
  Happened,
  Notice,
  Scores,
  StartEvent,
  StartInfo,
  StepEvent,
  TrainingEvent,
  ValidationEvent,
} from '../watch/news.ts';
export { exportWeights } from './export.ts';
export { extractFeatures, predict, validate } from './infer.ts';
export { type ModelFacts, models, type NetworkShape, type StateDictEntry } from './models.ts';
export type {
  CallOptions,
  ExportWeightsOptions,
  ExtractFeaturesOptions,
  PredictOptions,
  TrainOptions,
  ValidateOptions,
} from './options.ts';
export type { RunHandle } from './run-handle.ts';
export { type Training, train } from './train.ts';
export {
  type ReadWeightsOptions,
  readWeights,
  type Weights,
  type WeightTensor,
  type WriteCheckpointOptions,
  writeCheckpoint,
} from './weights.ts';
