/**
 * Group normalisation, for which TensorFlow has no kernel: sums over the pixels of each channel, joined per group, and
 * one scale and offset for each image and channel. Over the activations themselves go five operations forwards and
 * seven backwards; everything else is as small as images × channels.
 */
import type { Kernels } from './kernels.ts';
import type { Native } from './tfjs.ts';

/** Of each image and channel: [n, 1, c]. */
export interface GroupStatistics {
  readonly mean: Native;
  readonly inverseDeviation: Native;
}

/** @param x [n, h, w, c], of which h · w · (c / groups) values are normalised together */
export function groupNorm(
  kernels: Kernels,
  x: Native,
  groups: number,
  scale: Native,
  offset: Native,
  epsilon: number,
): GroupStatistics & { readonly y: Native } {
  return kernels.tidy(() => {
    const { pixels, perGroup, count } = sizes(kernels, x, groups);
    const size = kernels.scalar(count);
    const average = (sums: Native) => kernels.divide(perGroup(sums), size);
    const mean = average(kernels.sum(pixels, [1], true));
    const variance = average(kernels.sum(kernels.squaredDifference(pixels, mean), [1], true));
    const inverseDeviation = kernels.rsqrt(kernels.add(variance, kernels.scalar(epsilon)));
    const factor = kernels.multiply(inverseDeviation, scale);
    const shift = kernels.subtract(offset, kernels.multiply(mean, factor));
    const y = kernels.add(kernels.multiply(pixels, factor), shift);
    return { y: kernels.reshape(y, x.shape), mean, inverseDeviation };
  });
}

/** Gradients for x, scale and offset. */
export function groupNormGradient(
  kernels: Kernels,
  dy: Native,
  x: Native,
  groups: number,
  scale: Native,
  { mean, inverseDeviation }: GroupStatistics,
): [Native, Native, Native] {
  return kernels.tidy(() => {
    const { pixels, perGroup, count, channels } = sizes(kernels, x, groups);
    const gradient = kernels.reshape(dy, pixels.shape);
    const { add, subtract, multiply, divide } = bound(kernels);
    const size = kernels.scalar(count);
    const sum = kernels.sum(gradient, [1], true);
    const product = kernels.sum(multiply(gradient, pixels), [1], true);

    const overImages = (each: Native) => kernels.reshape(kernels.sum(each, [0]), [channels]);
    const dOffset = overImages(sum);
    const dScale = overImages(multiply(subtract(product, multiply(sum, mean)), inverseDeviation));

    // y depends on x also through mean and deviation: dx = dy · scale · d + x · slope + shift, with d = 1/deviation.
    const groupSum = perGroup(multiply(sum, scale));
    const groupProduct = perGroup(multiply(product, scale));
    const cube = multiply(multiply(inverseDeviation, inverseDeviation), inverseDeviation);
    const slope = divide(multiply(subtract(multiply(groupSum, mean), groupProduct), cube), size);
    const shift = add(multiply(slope, mean), divide(multiply(groupSum, inverseDeviation), size));
    const direct = multiply(gradient, multiply(inverseDeviation, scale));
    const dx = add(direct, subtract(multiply(pixels, slope), shift));
    return [kernels.reshape(dx, x.shape), dScale, dOffset];
  });
}

function sizes(kernels: Kernels, x: Native, groups: number) {
  const [n = 0, h = 0, w = 0, channels = 0] = x.shape;
  const members = channels / groups;
  return {
    channels,
    count: h * w * members,
    pixels: kernels.reshape(x, [n, h * w, channels]),
    /** The sum over a group's channels, for each of them: [n, 1, c] → [n, 1, c]. */
    perGroup: (each: Native): Native => {
      const sums = kernels.sum(kernels.reshape(each, [n, groups, members]), [2], true);
      return kernels.reshape(kernels.broadcast(sums, [n, groups, members]), [n, 1, channels]);
    },
  };
}

/** The kernels' arithmetic, to be written like formulas. */
function bound(kernels: Kernels) {
  return {
    add: (x: Native, y: Native) => kernels.add(x, y),
    subtract: (x: Native, y: Native) => kernels.subtract(x, y),
    multiply: (x: Native, y: Native) => kernels.multiply(x, y),
    divide: (x: Native, y: Native) => kernels.divide(x, y),
  };
}
