/** Predictions as CSV and as JSON Lines: made image by image from the stored scores, so that any number of images fits. */
import type { FileList } from '../../shared/data/file-list.ts';
import { csvLine } from '../../shared/util/csv.ts';
import { writeDurably } from '../disk/durable-file.ts';
import { likeliest, type Prediction } from './likeliest.ts';
import type { UnreadableImage } from './results.ts';

/** Characters that are written at once. */
const pieceLength = 256 * 1024;

const csvHead = 'image,rank,label,class,probability\n';

interface PredictedImage {
  readonly image: string;
  /** The likeliest first; empty where there is none: the image cannot be read, or its scores are not finite. */
  readonly predictions: readonly Prediction[];
  /** Why it cannot be read; null: it can. */
  readonly unreadable: string | null;
}

/** Where predictions come from. */
export interface Scores {
  /** [outputs] of each image, in the order of `files`; can be gone through several times. */
  readonly rows: () => AsyncIterable<Float32Array>;
  readonly files: FileList;
  readonly unreadable: readonly UnreadableImage[];
}

/** What is to be said of each image. */
export interface Wanted {
  /** How many outputs. */
  readonly topK: number;
  /** What the first outputs stand for. */
  readonly names: readonly string[];
}

/**
 * Writes both files.
 * @returns how many images that can be read have no prediction
 * @throws CornetError as `writeDurably`, and what reading the scores throws
 */
export async function writePredictions(
  paths: { csv: string; jsonLines: string },
  scores: Scores,
  { topK, names }: Wanted,
): Promise<number> {
  let without = 0;
  const csv = (image: PredictedImage) => {
    if (image.predictions.length === 0 && image.unreadable === null) without++;
    return csvLines(image, names);
  };
  await writeDurably(paths.csv, pieces(csvHead, predictedImages(scores, topK), csv));
  const json = (image: PredictedImage) => jsonLine(image, names);
  await writeDurably(paths.jsonLines, pieces('', predictedImages(scores, topK), json));
  return without;
}

/** A line for each prediction; none of an image without. */
function csvLines({ image, predictions }: PredictedImage, names: readonly string[]): string {
  return predictions
    .map(({ label, probability }, i) => csvLine([image, i + 1, label, names[label] ?? '', probability]))
    .join('');
}

/** One line for each image. */
function jsonLine({ image, predictions, unreadable }: PredictedImage, names: readonly string[]): string {
  const named = predictions.map(({ label, probability }) => ({
    label,
    class: names[label] ?? null,
    probability,
  }));
  const reason = unreadable === null ? {} : { unreadable };
  return `${JSON.stringify({ image, predictions: named, ...reason })}\n`;
}

async function* predictedImages(
  { rows, files, unreadable }: Scores,
  topK: number,
): AsyncGenerator<PredictedImage> {
  const reasons = new Map(unreadable.map(({ row, reason }) => [row, reason]));
  let row = 0;
  for await (const scores of rows()) {
    const reason = reasons.get(row) ?? null;
    const predictions = reason === null ? (likeliest(scores, topK) ?? []) : [];
    yield { image: files.path(row), predictions, unreadable: reason };
    row++;
  }
}

async function* pieces(
  head: string,
  images: AsyncIterable<PredictedImage>,
  text: (image: PredictedImage) => string,
): AsyncGenerator<Buffer> {
  let piece = head;
  for await (const image of images) {
    piece += text(image);
    if (piece.length < pieceLength) continue;
    yield Buffer.from(piece);
    piece = '';
  }
  yield Buffer.from(piece);
}
