/** The segments of a JPEG file, as strictly as Pillow reads them (JpegImagePlugin.py, and libjpeg behind its scans). */
import { cutShort } from './checks.ts';

const [dht, jpg, dac, rst0, eoi, sos, dqt, dnl, dri, dhp, app0, app14, jpg0, jpg13, com] = [
  0xc4, 0xc8, 0xcc, 0xd0, 0xd9, 0xda, 0xdb, 0xdc, 0xdd, 0xde, 0xe0, 0xee, 0xf0, 0xfd, 0xfe,
] as const;
const progressive: readonly number[] = [0xc2, 0xc6, 0xca, 0xce];
/** Bytes of an application segment up to the end of its version. */
const versionEnd = 7;

const isFrame = (marker: number) =>
  (marker >= 0xc0 && marker <= 0xcf && ![dht, jpg, dac].some((other) => other === marker)) || marker === dhp;
const standsAlone = (marker: number) =>
  marker === jpg || (marker >= rst0 && marker <= eoi) || (marker >= jpg0 && marker <= jpg13);

interface Jpeg {
  readonly components: number;
  readonly progressive: boolean;
}

/**
 * Goes over all segments. The addon's jpeg-segments.cc has the same rules.
 * @throws Error, the rest of the sentence "The image … cannot be read: "
 */
export function checkJpeg(file: Buffer): Jpeg {
  let frame: Jpeg = { components: 0, progressive: false };
  let at = 2;
  const next = () => {
    if (at >= file.length) throw cutShort();
    return file[at++]!;
  };
  const segment = () => {
    const length = next() * 256 + next() - 2;
    if (length < 0 || at + length > file.length) throw cutShort();
    at += length;
    return file.subarray(at - length, at);
  };
  for (;;) {
    if (next() !== 0xff) continue; // bytes between segments
    let marker = next();
    while (marker === 0xff) marker = next(); // padding
    if (marker === 0) continue;
    if (marker < 0xc0) throw new Error('it has a marker that no JPEG file has before its first scan');
    if (standsAlone(marker)) continue;
    const body = segment();
    if (isFrame(marker)) {
      frame = { components: checkFrame(body), progressive: progressive.includes(marker) };
    } else if (marker === dqt) checkQuantisation(body);
    else if ((marker === app0 && isNamed(body, 'JFIF')) || (marker === app14 && isNamed(body, 'Adobe'))) {
      if (body.length < versionEnd) throw new Error('its header is damaged');
    } else if (marker === sos) {
      checkScans(file, at, frame.progressive || (body[0] ?? 0) < frame.components);
      return frame;
    }
  }
}

/**
 * What ends a scan must begin a segment, up to the end of the image. A file without an end is the decoder's matter.
 * @param several whether another scan may follow
 */
function checkScans(file: Buffer, start: number, several: boolean): void {
  for (let at = file.indexOf(0xff, start); at >= 0 && at + 1 < file.length; at = file.indexOf(0xff, at)) {
    const marker = file[at + 1]!;
    if (marker === 0xff) at++;
    else if (marker <= 1 || (marker >= rst0 && marker < rst0 + 8)) at += 2;
    else if (marker === eoi) return;
    else if (![dht, dac, dqt, dnl, dri, com].some((other) => other === marker) && (marker & 0xf0) !== 0xe0) {
      if (marker !== sos || !several) throw new Error('its scans are damaged');
      at += 2;
    } else if (at + 4 > file.length) return;
    else at += 2 + file.readUInt16BE(at + 2);
  }
}

function isNamed(body: Buffer, name: string): boolean {
  return body.toString('latin1', 0, name.length) === name;
}

function checkFrame(body: Buffer): number {
  if (body.length < 6) throw new Error('its frame header is damaged');
  const [bits, components] = [body[0]!, body[5]!];
  if (bits !== 8) throw new Error(`it has samples of ${bits} bits, which is not supported`);
  if (![1, 3, 4].includes(components)) {
    throw new Error(`it has ${components} components, which is not supported`);
  }
  return components;
}

function checkQuantisation(body: Buffer): void {
  for (let at = 0; at < body.length; ) {
    at += body[at]! < 16 ? 65 : 129;
    if (at > body.length) throw new Error('its quantisation table is damaged');
  }
}
