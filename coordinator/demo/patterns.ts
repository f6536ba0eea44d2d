/**
 * The demo's ten classes: textures that are told apart by shape alone. Each looks the same mirrored, and each can be
 * told from a small part of the image, because training cuts and mirrors the images at random.
 */
import type { Draws } from '../../shared/random.ts';

/** How far inside the figure the point (x, y) lies, in pixels; negative outside. An edge is drawn one pixel soft. */
export type Pattern = (x: number, y: number) => number;

/** Draws a pattern's variations for an image whose figures are about `period` pixels apart. */
type PatternFamily = (period: number, draws: Draws) => Pattern;

/** The distance from the middle of a period: 0 in the middle, half a period at its ends. */
function fromMiddle(x: number, period: number): number {
  return Math.abs(x - Math.floor(x / period) * period - period / 2);
}

function stripes(period: number, draws: Draws): Pattern {
  const width = period * draws.between(0.2, 0.3);
  const sway = period * draws.between(0, 0.2);
  const swayLength = period * draws.between(3, 6);
  return (x, y) => width - fromMiddle(y + sway * Math.sin((2 * Math.PI * x) / swayLength), period);
}

const patternFamilies: Record<string, PatternFamily> = {
  blobs: (period, draws) => {
    const waves = Array.from({ length: 14 }, () => {
      const angle = draws.between(0, 2 * Math.PI);
      const frequency = (2 * Math.PI) / (period * draws.between(1.2, 1.9));
      const phase = draws.between(0, 2 * Math.PI);
      return { fx: frequency * Math.cos(angle), fy: frequency * Math.sin(angle), phase };
    });
    return (x, y) => waves.reduce((sum, { fx, fy, phase }) => sum + Math.sin(fx * x + fy * y + phase), 0);
  },

  bricks: (period, draws) => {
    const joint = period * draws.between(0.1, 0.14);
    const length = period * draws.between(1.8, 2.2);
    return (x, y) => {
      const shift = Math.floor(y / period) % 2 === 0 ? 0 : length / 2;
      return Math.min(period / 2 - fromMiddle(y, period), length / 2 - fromMiddle(x + shift, length)) - joint;
    };
  },

  checkers: (period) => (x, y) => {
    const inColumn = fromMiddle(x, 2 * period) - period / 2;
    const inRow = fromMiddle(y, 2 * period) - period / 2;
    return Math.sign(inColumn * inRow) * Math.min(Math.abs(inColumn), Math.abs(inRow));
  },

  dots: (period, draws) => {
    const radius = period * draws.between(0.26, 0.36);
    const height = period * Math.sqrt(0.75);
    return (x, y) => {
      const shift = Math.floor(y / height) % 2 === 0 ? 0 : period / 2;
      return radius - Math.hypot(fromMiddle(x + shift, period), fromMiddle(y, height));
    };
  },

  horizontal: stripes,

  net: (period, draws) => {
    const width = period * draws.between(0.1, 0.16);
    return (x, y) => {
      const [rising, falling] = [(x + y) * Math.SQRT1_2, (x - y) * Math.SQRT1_2];
      return width - Math.min(fromMiddle(rising, period), fromMiddle(falling, period));
    };
  },

  rings: (period, draws) => {
    const width = period * draws.between(0.2, 0.3);
    const centreX = draws.between(-1.5, 1.5) * period;
    const centreY = draws.between(-1.5, 1.5) * period;
    return (x, y) => width - fromMiddle(Math.hypot(x - centreX, y - centreY), period);
  },

  triangles: (period) => (x, y) => {
    const shift = Math.floor(y / period) % 2 === 0 ? 0 : period / 2;
    const fromTop = y - Math.floor(y / period) * period;
    const side = (fromTop / 2 - fromMiddle(x + shift, period)) * 0.9;
    return Math.min(side, period * 0.9 - fromTop);
  },

  vertical: (period, draws) => {
    const pattern = stripes(period, draws);
    return (x, y) => pattern(y, x);
  },

  zigzags: (period, draws) => {
    const width = period * draws.between(0.18, 0.26);
    const length = period * draws.between(1.6, 2.2);
    return (x, y) => width - fromMiddle(y + 1.6 * fromMiddle(x, length), period * 1.4) * 0.6;
  },
};

/** The names of the classes, sorted: the label is the position. */
export const patternNames: readonly string[] = Object.keys(patternFamilies).sort();

/** A variation of the pattern, turned and moved a little, for an image with its middle at (0, 0). */
export function drawPattern(name: string, draws: Draws): Pattern {
  const period = draws.between(11, 20);
  const angle = draws.between(-0.12, 0.12);
  const [cos, sin] = [Math.cos(angle), Math.sin(angle)];
  const [dx, dy] = [draws.between(0, 4 * period), draws.between(0, 4 * period)];
  const pattern = patternFamilies[name]!(period, draws);
  const centred = name === 'rings'; // their centre must stay in the image
  return (x, y) => pattern(x * cos - y * sin + (centred ? 0 : dx), x * sin + y * cos + (centred ? 0 : dy));
}
