/** The segments before the first scan of a JPEG file, as strictly as Pillow reads them (JpegImagePlugin.py). */
import { cutShort } from './checks.ts';

const [dht, jpg, dac, rst0, eoi, sos, dqt, dhp, app0, app14, jpg0, jpg13] = [
  0xc4, 0xc8, 0xcc, 0xd0, 0xd9, 0xda, 0xdb, 0xde, 0xe0, 0xee, 0xf0, 0xfd,
];
/** Bytes of an application segment up to the end of its version. */
const versionEnd = 7;

const isFrame = (marker: number) =>
  (marker >= 0xc0 && marker <= 0xcf && ![dht, jpg, dac].includes(marker)) || marker === dhp;
const standsAlone = (marker: number) =>
  marker === jpg || (marker >= rst0! && marker <= eoi!) || (marker >= jpg0! && marker <= jpg13!);

/**
 * How many components the picture has. The addon's jpeg-segments.cc has the same rules.
 * @throws Error, the rest of the sentence "The image … cannot be read: "
 */
export function jpegComponents(file: Buffer): number {
  let components = 0;
  let at = 2;
  const next = () => {
    if (at >= file.length) throw cutShort();
    return file[at++]!;
  };
  for (;;) {
    if (next() !== 0xff) continue; // bytes between segments
    let marker = next();
    while (marker === 0xff) marker = next(); // padding
    if (marker === 0) continue;
    if (marker < 0xc0) throw new Error('it has a marker that no JPEG file has before its first scan');
    if (standsAlone(marker)) continue;
    const length = next() * 256 + next() - 2;
    if (length < 0 || at + length > file.length) throw cutShort();
    const body = file.subarray(at, at + length);
    at += length;
    if (isFrame(marker)) components = checkFrame(body);
    else if (marker === dqt) checkQuantisation(body);
    else if ((marker === app0 && isNamed(body, 'JFIF')) || (marker === app14 && isNamed(body, 'Adobe'))) {
      if (length < versionEnd) throw new Error('its header is damaged');
    } else if (marker === sos) return components;
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
