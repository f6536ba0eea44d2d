/** The operations by their definitions, in float64 and without haste: what every backend is compared with. */
import { elementCount } from '../../shared/models/model.ts';
import type { BatchNormTensors, Ops, Tensor } from '../../shared/models/ops.ts';

/** Row-major values. */
export interface Plain extends Tensor {
  readonly data: Float64Array;
}

export function plain(shape: readonly number[], data: ArrayLike<number>): Plain {
  return { shape, data: Float64Array.from(data) };
}

export class ReferenceOps implements Ops<Plain> {
  release(): void {} // the garbage collector's work

  scope<R>(body: () => R): R {
    return body();
  }

  zeros(shape: readonly number[]): Plain {
    return plain(shape, new Float64Array(elementCount(shape)));
  }

  conv2d(x: Plain, weight: Plain, bias: Plain | null, stride: number, padding: number): Plain {
    const [channels = 0, inputs = 0, size = 0] = weight.shape;
    return windowed(x, channels, { size, stride, padding }, (at, o) => {
      let sum = bias?.data[o] ?? 0;
      for (let i = 0; i < inputs; i++) {
        for (let k = 0; k < size * size; k++) {
          sum += (at(i, k) ?? 0) * weight.data[(o * inputs + i) * size * size + k]!;
        }
      }
      return sum;
    });
  }

  batchNorm(x: Plain, norm: BatchNormTensors<Plain>, epsilon: number, training: boolean): Plain {
    const [n = 0, c = 0, h = 0, w = 0] = x.shape;
    const count = n * h * w;
    const channel = (index: number) => Math.floor(index / (h * w)) % c;
    if (training) {
      const mean = new Float64Array(c);
      const squares = new Float64Array(c);
      x.data.forEach((value, index) => {
        mean[channel(index)]! += value / count;
      });
      x.data.forEach((value, index) => {
        squares[channel(index)]! += (value - mean[channel(index)]!) ** 2;
      });
      norm.runningMean.data.set(mean);
      norm.runningVar.data.set(squares.map((sum) => sum / (count - 1)));
    }
    const biased = training ? (count - 1) / count : 1;
    const data = x.data.map((value, index) => {
      const i = channel(index);
      const deviation = Math.sqrt(norm.runningVar.data[i]! * biased + epsilon);
      return ((value - norm.runningMean.data[i]!) / deviation) * norm.weight.data[i]! + norm.bias.data[i]!;
    });
    return plain(x.shape, data);
  }

  groupNorm(x: Plain, groups: number, weight: Plain, bias: Plain, epsilon: number): Plain {
    const [n = 0, c = 0, h = 0, w = 0] = x.shape;
    const count = (c / groups) * h * w;
    const data = new Float64Array(x.data.length);
    for (let begin = 0; begin < n * c * h * w; begin += count) {
      const values = x.data.subarray(begin, begin + count);
      const mean = values.reduce((sum, value) => sum + value, 0) / count;
      const variance = values.reduce((sum, value) => sum + (value - mean) ** 2, 0) / count;
      values.forEach((value, k) => {
        const i = Math.floor((begin + k) / (h * w)) % c;
        data[begin + k] = ((value - mean) / Math.sqrt(variance + epsilon)) * weight.data[i]! + bias.data[i]!;
      });
    }
    return plain(x.shape, data);
  }

  relu(x: Plain): Plain {
    return plain(
      x.shape,
      x.data.map((value) => Math.max(value, 0)),
    );
  }

  maxPool(x: Plain, size: number, stride: number, padding: number): Plain {
    return windowed(x, x.shape[1]!, { size, stride, padding }, (at, i) => {
      let largest = Number.NEGATIVE_INFINITY;
      for (let k = 0; k < size * size; k++) largest = Math.max(largest, at(i, k) ?? largest);
      return largest;
    });
  }

  globalAveragePool(x: Plain): Plain {
    const [n = 0, c = 0, h = 0, w = 0] = x.shape;
    const data = new Float64Array(n * c);
    x.data.forEach((value, index) => {
      data[Math.floor(index / (h * w))]! += value / (h * w);
    });
    return plain([n, c, 1, 1], data);
  }

  flatten(x: Plain): Plain {
    return plain(x.shape.slice(0, 2), x.data);
  }

  linear(x: Plain, weight: Plain, bias: Plain): Plain {
    const [n = 0, inputs = 0] = x.shape;
    const outputs = weight.shape[0]!;
    const data = new Float64Array(n * outputs);
    for (let index = 0; index < data.length; index++) {
      const [row, o] = [Math.floor(index / outputs), index % outputs];
      data[index] = bias.data[o]!;
      for (let i = 0; i < inputs; i++)
        data[index]! += x.data[row * inputs + i]! * weight.data[o * inputs + i]!;
    }
    return plain([n, outputs], data);
  }

  add(x: Plain, y: Plain): Plain {
    return plain(
      x.shape,
      x.data.map((value, index) => value + y.data[index]!),
    );
  }
}

/** Mean over the rows of logits. */
export function crossEntropy(logits: Plain, labels: ArrayLike<number>): number {
  const [n = 0, classes = 0] = logits.shape;
  let sum = 0;
  for (let row = 0; row < n; row++) {
    const values = logits.data.subarray(row * classes, (row + 1) * classes);
    const largest = Math.max(...values);
    sum +=
      largest +
      Math.log(values.reduce((all, value) => all + Math.exp(value - largest), 0)) -
      values[labels[row]!]!;
  }
  return sum / n;
}

/**
 * One value per window of each image and output channel.
 * @param value is given `at(channel, k)`, the k-th pixel of the window, undefined in the padding
 */
function windowed(
  x: Plain,
  channels: number,
  { size, stride, padding }: { size: number; stride: number; padding: number },
  value: (at: (channel: number, k: number) => number | undefined, channel: number) => number,
): Plain {
  const [n = 0, c = 0, h = 0, w = 0] = x.shape;
  const windows = (length: number) => Math.floor((length + 2 * padding - size) / stride) + 1;
  const shape = [n, channels, windows(h), windows(w)] as const;
  const data = new Float64Array(elementCount(shape));
  let index = 0;
  for (let image = 0; image < n; image++) {
    for (let channel = 0; channel < channels; channel++) {
      for (let row = 0; row < shape[2]; row++) {
        for (let column = 0; column < shape[3]; column++) {
          const at = (i: number, k: number): number | undefined => {
            const y = row * stride - padding + Math.floor(k / size);
            const z = column * stride - padding + (k % size);
            if (y < 0 || y >= h || z < 0 || z >= w) return undefined;
            return x.data[((image * c + i) * h + y) * w + z];
          };
          data[index++] = value(at, channel);
        }
      }
    }
  }
  return plain(shape, data);
}
