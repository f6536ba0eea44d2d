/** Weights and their network as one file of ONNX, which runs without cornet-ts and without PyTorch. */
import type { Pieces } from '../../shared/formats/proto.ts';
import { stateLayout } from '../../shared/formats/state-layout.ts';
import { outputsOfHead } from '../../shared/models/model.ts';
import { version } from '../../shared/process/version.ts';
import { batchName, imagesName, traceGraph } from './onnx-graph.ts';
import { type Initializer, modelProto } from './onnx-proto.ts';
import { chosenTimes, type ExportSource } from './source.ts';

/** Has all that the models need; a later one would only leave out runtimes and converters that stopped at it. */
const opset = 17;
/** Of the releases that brought opset 17 (ONNX 1.12, June 2022); ONNX Runtime reads it from 1.12 on. */
const irVersion = 8;

/**
 * The file's bytes: equal weights of equal networks give equal ones.
 * @param taps full names (`V4.output-t3`): outputs beside the logits
 */
export function onnxFile({ network, model, body, sha256 }: ExportSource, taps: readonly string[]): Pieces {
  const { imageSize, normalize, names } = network;
  const graph = traceGraph(model, imageSize, taps);
  const slots = new Map(stateLayout(model, 'inference').slots.map((slot) => [slot.name, slot]));
  const weights = graph.weights.map((name): Initializer => {
    const { dtype, shape, offset, bytes } = slots.get(name)!;
    return { name, dtype, shape, data: body.subarray(offset, offset + bytes) };
  });
  const times = chosenTimes(network);
  const title = `CORnet-${model.name}${times === null ? '' : `, ${times} time steps`}`;
  const [mean, std] = [normalize.mean.join(', '), normalize.std.join(', ')];
  return modelProto({
    irVersion,
    opset,
    producer: { name: 'cornet-ts', version },
    doc: `${title}, ${outputsOfHead(model)} outputs. Input: RGB from 0 to 1, less the mean (${mean}), divided by the standard deviation (${std}) of each channel.`,
    graph: {
      name: `CORnet-${model.name}`,
      nodes: graph.nodes,
      initializers: [...weights, ...graph.constants],
      inputs: [
        {
          name: imagesName,
          shape: [batchName, 3, imageSize, imageSize],
          doc: 'Images, normalised: [images, RGB, height, width].',
        },
      ],
      outputs: graph.outputs.map((output, i) => ({
        ...output,
        doc: i === 0 ? 'Scores of the classes, before a softmax.' : 'An output of the network in between.',
      })),
    },
    metadata: {
      model: `CORnet-${model.name}`,
      ...(times === null ? {} : { times: String(times) }),
      image_size: String(imageSize),
      mean: JSON.stringify(normalize.mean),
      std: JSON.stringify(normalize.std),
      ...(names === null ? {} : { classes: JSON.stringify(names.names) }),
      ...(names?.assumed === true ? { classes_assumed: 'true' } : {}),
      cornet_ts_version: version,
      weights_sha256: sha256,
    },
  });
}
