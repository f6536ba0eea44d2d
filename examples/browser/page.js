/**
 * Names what is in an image with a network that `coordinator export` has written: demo.onnx beside this page, or what
 * `?network=` names. The image is cut and resampled as a validation does it, so the classes and their probabilities are
 * those of `coordinator predict`.
 */
import { InferenceSession, Tensor } from 'onnxruntime-web/wasm';

const shown = 5;

/**
 * @typedef {object} Network
 * @property {InferenceSession} session
 * @property {number} size pixels of a side of its input
 * @property {number[]} mean of each channel, where white is 1
 * @property {number[]} std
 * @property {string[]} classes what its outputs stand for; empty: the file does not say it
 */

/**
 * @typedef {object} Pixels
 * @property {number} width
 * @property {number} height
 * @property {Uint8ClampedArray} data red, green, blue and alpha of each pixel, row by row
 */

// --- The network -------------------------------------------------------------------------------------------

/**
 * @param {string} url
 * @returns {Promise<Network>}
 */
async function load(url) {
  const response = await fetch(url);
  if (!response.ok)
    throw new Error(`${url} is not there (${response.status}): README.md says how it is made.`);
  const file = new Uint8Array(await response.arrayBuffer());
  const about = metadataOf(file);
  const read = (/** @type {string} */ key, /** @type {string} */ otherwise) =>
    JSON.parse(about.get(key) ?? otherwise);
  if (!about.has('image_size')) throw new Error(`${url} is no network of cornet-ts.`);
  return {
    session: await InferenceSession.create(file),
    size: read('image_size', ''),
    mean: read('mean', ''),
    std: read('std', ''),
    classes: read('classes', '[]'),
  };
}

/**
 * ONNX Runtime does not show a file's metadata to JavaScript. In the file they are the fields 14 of the outermost
 * message of Protocol Buffers, each a message of a key (1) and a value (2).
 * @param {Uint8Array} file
 * @returns {Map<string, string>}
 */
function metadataOf(file) {
  const text = new TextDecoder();
  const pairs = fieldsOf(file).filter(([field]) => field === 14);
  return new Map(
    pairs.map(([, pair]) => {
      const fields = new Map(fieldsOf(pair));
      return [text.decode(fields.get(1)), text.decode(fields.get(2))];
    }),
  );
}

/**
 * The fields of a message that have bytes; numbers are left out.
 * @param {Uint8Array} message
 * @returns {[field: number, bytes: Uint8Array][]}
 */
function fieldsOf(message) {
  /** @type {[number, Uint8Array][]} */
  const fields = [];
  let at = 0;
  const varint = () => {
    let value = 0;
    for (let factor = 1; at < message.length; factor *= 128) {
      const byte = message[at++] ?? 0;
      value += (byte % 128) * factor;
      if (byte < 128) break;
    }
    return value;
  };
  while (at < message.length) {
    const tag = varint();
    const kind = tag % 8;
    if (kind === 0) varint();
    else {
      const bytes = kind === 2 ? varint() : kind === 1 ? 8 : 4;
      if (kind === 2) fields.push([Math.floor(tag / 8), message.subarray(at, at + bytes)]);
      at += bytes;
    }
  }
  return fields;
}

/**
 * @param {Network} network
 * @param {Pixels} square of its size
 * @returns {Promise<{ name: string, probability: number }[]>} the likeliest first
 */
async function likeliest({ session, size, mean, std, classes }, { data }) {
  const input = new Float32Array(3 * size * size);
  for (let i = 0; i < input.length; i++) {
    const channel = Math.floor(i / (size * size));
    const value = data[4 * (i % (size * size)) + channel] ?? 0;
    input[i] = (value / 255 - (mean[channel] ?? 0)) / (std[channel] ?? 1);
  }
  const { logits } = await session.run({ images: new Tensor('float32', input, [1, 3, size, size]) });
  const scores = Array.from(/** @type {Float32Array} */ (logits?.data));
  const largest = Math.max(...scores);
  const shares = scores.map((score) => Math.exp(score - largest));
  const sum = shares.reduce((total, share) => total + share, 0);
  return shares
    .map((share, i) => ({ name: classes[i] ?? `output ${i}`, probability: share / sum }))
    .sort((a, b) => b.probability - a.probability);
}

// --- The image ---------------------------------------------------------------------------------------------

/**
 * The values that the file has: colour profiles are left aside, as in training.
 * @param {Blob} file
 * @returns {Promise<Pixels>}
 */
async function decode(file) {
  const parts = withoutExif(new Uint8Array(await file.arrayBuffer()));
  const bitmap = await createImageBitmap(new Blob(parts, { type: file.type }), {
    colorSpaceConversion: 'none',
    premultiplyAlpha: 'none',
  });
  const { width, height } = bitmap;
  const context = new OffscreenCanvas(width, height).getContext('2d', { willReadFrequently: true });
  if (context === null) throw new Error('This browser has no canvas of two dimensions.');
  context.drawImage(bitmap, 0, 0);
  bitmap.close();
  return context.getImageData(0, 0, width, height);
}

/**
 * A browser turns a JPEG image upright as its Exif segment says, which training does not: so that is left out.
 * @param {Uint8Array<ArrayBuffer>} file
 */
function withoutExif(file) {
  const [exif, pixels] = [0xe1, 0xda];
  const parts = [file.subarray(0, 2)];
  let at = 2;
  if (file[0] === 0xff && file[1] === 0xd8) {
    // Each segment: 0xff, its kind, and its length in two bytes that count themselves.
    while (file[at] === 0xff && file[at + 1] !== pixels) {
      const end = at + 2 + 256 * (file[at + 2] ?? 0) + (file[at + 3] ?? 0);
      if (file[at + 1] !== exif) parts.push(file.subarray(at, end));
      at = end;
    }
  }
  return [...parts, file.subarray(at)];
}

/**
 * What a validation sees of an image: the short side resized to 256/224 of the size, the square in the middle.
 * @param {Pixels} image
 * @param {number} size
 * @returns {Pixels}
 */
function cut(image, size) {
  const short = Math.floor((size * 256) / 224);
  const { width, height } = image;
  const [wide, high] =
    width <= height
      ? [short, Math.floor((short * height) / width)]
      : [Math.floor((short * width) / height), short];
  const left = halfToEven((wide - size) / 2);
  const top = halfToEven((high - size) / 2);
  const rows = resample(image, filters(width, wide, left, size), 'across');
  return resample(rows, filters(height, high, top, size), 'down');
}

/** A canvas resizes in a way of its own. This is Pillow's: weights in fixed point with so many bits. */
const bits = 22;

/**
 * @typedef {{ first: number, weights: number[] }} Filter what becomes a pixel, and how much each counts
 */

/**
 * A triangle over two pixels of the result, or of the image where that is enlarged.
 * @param {number} from pixels of the image
 * @param {number} to pixels that become of them
 * @param {number} start the first of those that are wanted
 * @param {number} count
 * @returns {Filter[]}
 */
function filters(from, to, start, count) {
  const scale = from / to;
  const reach = Math.max(scale, 1);
  return Array.from({ length: count }, (_, i) => {
    const centre = (start + i + 0.5) * scale;
    const first = Math.max(0, Math.trunc(centre - reach + 0.5));
    const end = Math.min(from, Math.trunc(centre + reach + 0.5));
    const heights = Array.from({ length: end - first }, (_, k) =>
      Math.max(0, 1 - Math.abs(first + k + 0.5 - centre) / reach),
    );
    const sum = heights.reduce((total, height) => total + height, 0);
    return { first, weights: heights.map((height) => Math.trunc((height / sum) * 2 ** bits + 0.5)) };
  });
}

/**
 * Along one direction; what lies between the two is rounded to whole levels, too.
 * @param {Pixels} image
 * @param {Filter[]} line
 * @param {'across' | 'down'} direction
 * @returns {Pixels}
 */
function resample({ width, height, data }, line, direction) {
  const [wide, high] = direction === 'across' ? [line.length, height] : [width, line.length];
  const [step, otherStep] = direction === 'across' ? [4, 4 * width] : [4 * width, 4];
  const result = new Uint8ClampedArray(4 * wide * high).fill(255);
  for (const [i, { first, weights }] of line.entries()) {
    for (let other = 0; other < (direction === 'across' ? high : wide); other++) {
      const target = direction === 'across' ? 4 * (other * wide + i) : 4 * (i * wide + other);
      for (let channel = 0; channel < 3; channel++) {
        let sum = 2 ** (bits - 1);
        let at = first * step + other * otherStep + channel;
        for (const weight of weights) {
          sum += weight * (data[at] ?? 0);
          at += step;
        }
        result[target + channel] = sum >> bits;
      }
    }
  }
  return { width: wide, height: high, data: result };
}

/** @param {number} x */
function halfToEven(x) {
  const rounded = Math.round(x);
  return x % 1 === 0.5 && rounded % 2 === 1 ? rounded - 1 : rounded;
}

// --- The page ----------------------------------------------------------------------------------------------

/**
 * @template {HTMLElement} E
 * @param {string} id
 * @param {new () => E} Kind
 * @returns {E}
 */
function element(id, Kind) {
  const found = document.getElementById(id);
  if (!(found instanceof Kind)) throw new Error(`The page has no ${id}.`);
  return found;
}

const picker = element('picker', HTMLInputElement);
const status = element('status', HTMLElement);
const result = element('result', HTMLElement);
const canvas = element('seen', HTMLCanvasElement);
const classes = element('classes', HTMLElement);

/**
 * @param {Network} network
 * @param {File} file
 */
async function show(network, file) {
  result.hidden = true;
  status.textContent = `Looking at ${file.name} …`;
  const began = performance.now();
  const image = await decode(file).catch(() => null);
  if (image === null) {
    status.textContent = `${file.name} is no image that this browser can read.`;
    return;
  }
  const square = cut(image, network.size);
  const prepared = performance.now();
  const found = await likeliest(network, square);
  const ended = performance.now();
  [canvas.width, canvas.height] = [square.width, square.height];
  const drawn = new ImageData(square.width, square.height);
  drawn.data.set(square.data);
  canvas.getContext('2d')?.putImageData(drawn, 0, 0);
  classes.replaceChildren(...found.slice(0, shown).map(row));
  result.hidden = false;
  const [likely] = found;
  status.textContent =
    `${file.name}: ${likely?.name}, ${percent(likely?.probability ?? 0)}. It took ` +
    `${milliseconds(ended - began)}, of which ${milliseconds(ended - prepared)} in the network.`;
}

/**
 * @param {{ name: string, probability: number }} one
 * @returns {HTMLTableRowElement}
 */
function row({ name, probability }) {
  const row = document.createElement('tr');
  const head = document.createElement('th');
  head.scope = 'row';
  head.textContent = name;
  const number = document.createElement('td');
  number.className = 'number';
  const data = document.createElement('data');
  data.value = String(probability);
  data.textContent = percent(probability);
  number.append(data);
  const bar = document.createElement('td');
  bar.ariaHidden = 'true';
  const meter = document.createElement('meter');
  meter.value = probability;
  bar.append(meter);
  row.append(head, number, bar);
  return row;
}

const percent = (/** @type {number} */ part) => `${(100 * part).toFixed(1)} %`;
const milliseconds = (/** @type {number} */ time) => `${time.toFixed(0)} ms`;

/** @param {Network} network */
function listen(network) {
  // One image after the other, in the order in which they came.
  let last = Promise.resolve();
  const take = (/** @type {FileList | undefined | null} */ files) => {
    const file = files?.[0];
    if (file !== undefined) last = last.then(() => show(network, file)).catch(tell);
  };
  picker.addEventListener('change', () => take(picker.files));
  document.addEventListener('drop', ({ dataTransfer }) => take(dataTransfer?.files));
  picker.disabled = false;
  const { size } = network;
  status.textContent = `The network is ready: it sees ${size} × ${size} pixels.`;
}

/** @param {unknown} error */
function tell(error) {
  status.textContent = error instanceof Error ? error.message : String(error);
}

// Otherwise the browser would leave the page and show the image.
for (const type of ['dragover', 'drop', 'dragleave']) {
  document.addEventListener(type, (event) => {
    event.preventDefault();
    document.body.classList.toggle('over', type === 'dragover');
  });
}

load(new URLSearchParams(location.search).get('network') ?? 'demo.onnx').then(listen, tell);
