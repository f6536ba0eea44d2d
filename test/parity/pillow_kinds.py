"""Writes small pictures of as many kinds as are known, and expected.json, which says what Pillow makes of each.

    python3 pillow_kinds.py FOLDER          # needs Pillow and numpy; about 700 images
    python3 pillow_kinds.py FOLDER --few    # those that lie in test/fixtures/images/kinds
    python3 pillow_kinds.py FOLDER --damaged COUNT SEED   # of these, with some bytes changed or cut off

In expected.json a picture has its mode, width, height and the SHA-256 of its RGB bytes and of those of its image, which is
squashed to 32 x 32; one that Pillow refuses is null.
"""
import hashlib
import io
import json
import os
import random
import struct
import sys
import warnings
import zlib

import numpy as np
import PIL
from PIL import Image, ImageCms

WIDTH, HEIGHT = 24, 20
rng = np.random.default_rng(5)


def ramps(channels, bits=8, width=WIDTH, height=HEIGHT):
    """Slopes with some noise: uint32 [height, width, channels]."""
    y, x = np.mgrid[0:height, 0:width]
    most = (1 << bits) - 1
    slopes = [(x * (i + 2) * most // width // 2 + y * (3 - i % 3) * most // height // 3) % (most + 1) for i in range(channels)]
    noise = rng.integers(0, max(1, (most + 1) // 16), (height, width, channels))
    return np.minimum(most, np.stack(slopes, 2) + noise).astype(np.uint32)


rgb = Image.fromarray(ramps(3).astype(np.uint8))
grey = rgb.convert('L')
palette = rgb.quantize(40)


profile = ImageCms.ImageCmsProfile(ImageCms.createProfile('LAB')).tobytes()  # of no use for these: it is ignored
profile = profile[:24] + bytes(12) + profile[36:]  # without the date


def saved(picture, format, **options):
    file = io.BytesIO()
    picture.save(file, format, **options)
    return file.getvalue()


# --- TIFF ---------------------------------------------------------------------------------------------------------------

def packed(rows, bits, order):
    if bits % 8 == 0:
        return rows.astype(f'{order}u{bits // 8}').tobytes()
    out = b''
    for row in rows:
        digits = ''.join(format(int(value), f'0{bits}b') for value in row.reshape(-1))
        digits += '0' * (-len(digits) % 8)
        out += bytes(int(digits[i:i + 8], 2) for i in range(0, len(digits), 8))
    return out


def tiff(samples, bits, photometric, order='<', planar=1, extra=(), sample_format=None, orientation=None, compression=1,
         rows=None, tile=None, colour_map=None, fill_order=None, subsampling=None):
    height, width, channels = samples.shape
    blocks = []
    for plane in [samples] if planar == 1 else np.split(samples, channels, 2):
        if tile:
            for y in range(0, height, tile):
                for x in range(0, width, tile):
                    block = np.zeros((tile, tile, plane.shape[2]), plane.dtype)
                    part = plane[y:y + tile, x:x + tile]
                    block[:part.shape[0], :part.shape[1]] = part
                    blocks.append(packed(block, bits, order))
        else:
            blocks += [packed(plane[y:y + (rows or height)], bits, order) for y in range(0, height, rows or height)]
    if fill_order == 2:
        blocks = [bytes(int(format(byte, '08b')[::-1], 2) for byte in block) for block in blocks]
    if compression == 8:
        blocks = [zlib.compress(block) for block in blocks]
    starts, body = [], b''
    for block in blocks:
        starts.append(8 + len(body))
        body += block + b'\0' * (len(block) % 2)
    tags = {256: ('L', [width]), 257: ('L', [height]), 258: ('H', [bits] * channels), 259: ('H', [compression]),
            277: ('H', [channels]), 284: ('H', [planar])}
    lengths = [len(block) for block in blocks]
    if tile:
        tags.update({322: ('L', [tile]), 323: ('L', [tile]), 324: ('L', starts), 325: ('L', lengths)})
    else:
        tags.update({278: ('L', [rows or height]), 273: ('L', starts), 279: ('L', lengths)})
    for tag, values in [(262, photometric), (266, fill_order), (274, orientation)]:
        if values is not None:
            tags[tag] = ('H', [values])
    if extra:
        tags[338] = ('H', extra)
    if sample_format:
        tags[339] = ('H', [sample_format] * channels)
    if colour_map is not None:
        tags[320] = ('H', colour_map)
    if subsampling:
        tags[530] = ('H', subsampling)
    directory = 8 + len(body)
    behind = directory + 2 + 12 * len(tags) + 4
    entries = data = b''
    for tag, (kind, values) in sorted(tags.items()):
        value = struct.pack(f'{order}{len(values)}{kind}', *values)
        entries += struct.pack(f'{order}HHI', tag, {'H': 3, 'L': 4}[kind], len(values))
        if len(value) <= 4:
            entries += value.ljust(4, b'\0')
        else:
            entries += struct.pack(f'{order}I', behind + len(data))
            data += value + b'\0' * (len(value) % 2)
    head = (b'II' if order == '<' else b'MM') + struct.pack(f'{order}HI', 42, directory)
    return head + body + struct.pack(f'{order}H', len(tags)) + entries + struct.pack(f'{order}I', 0) + data


def tiffs():
    colours = [int(value) for value in rng.integers(0, 65536, 768)]
    for order, compression in [('<', 1), ('>', 1), ('<', 8), ('>', 8)]:
        name = f"{'little' if order == '<' else 'big'}-{'raw' if compression == 1 else 'deflate'}"

        def make(channels, bits, photometric, **options):
            return tiff(ramps(channels, bits), bits, photometric, order, compression=compression, **options)

        for photometric, bits, channels, extras in [
            (0, (1, 2, 4, 8, 16), 1, [()]), (1, (1, 2, 4, 8, 12, 16, 32), 1, [()]), (1, (8, 16), 2, [(0,), (1,), (2,)]),
            (2, (4, 8, 16, 32), 3, [()]), (2, (8, 16), 4, [(), (0,), (1,), (2,), (999,)]),
            (2, (8,), 5, [(0, 0), (1, 0), (2, 0)]), (2, (8,), 6, [(0, 0, 0)]), (5, (8, 16), 4, [()]),
            (5, (8,), 5, [(0,), (2,)]), (6, (8,), 1, [()]), (6, (8,), 3, [()]), (8, (8,), 3, [()]),
        ]:
            for depth in bits:
                for extra in extras:
                    for planar in (1, 2) if channels > 1 else (1,):
                        about = f'{photometric}-{depth}-{channels}-{"".join(map(str, extra))}-{planar}'
                        yield f'{name}-{about}.tif', make(channels, depth, photometric, planar=planar, extra=extra,
                                                          subsampling=(1, 1) if photometric == 6 else None)
        for bits in (1, 2, 4, 8):
            yield f'{name}-palette-{bits}.tif', make(1, bits, 3, colour_map=colours[:3 << bits])
        for extra in (0, 2):
            yield f'{name}-palette-8-{extra}.tif', make(2, 8, 3, colour_map=colours, extra=(extra,))
        yield f'{name}-palette-dark.tif', make(1, 8, 3, colour_map=[value // 256 for value in colours])
        for bits, kind in [(8, 2), (16, 2), (32, 2), (16, 3), (32, 3), (8, 4)]:
            yield f'{name}-format-{kind}-{bits}.tif', make(1, bits, 1, sample_format=kind)
        yield f'{name}-rgb-format-2.tif', make(3, 8, 2, sample_format=2)
        for photometric, bits, channels in [(0, 1, 1), (1, 1, 1), (1, 4, 1), (1, 8, 1), (2, 8, 3), (1, 16, 1), (2, 16, 3)]:
            yield f'{name}-reversed-{photometric}-{bits}.tif', make(channels, bits, photometric, fill_order=2)
        for planar in (1, 2):
            yield f'{name}-strips-{planar}.tif', make(3, 8, 2, planar=planar, rows=7)
            yield f'{name}-tiles-{planar}.tif', make(3, 8, 2, planar=planar, tile=16)
        for channels, bits, photometric in [(3, 16, 2), (1, 16, 1), (4, 8, 5)]:
            yield f'{name}-tiles-{photometric}-{bits}.tif', make(channels, bits, photometric, tile=16)
        for channels in (1, 3):
            yield f'{name}-no-photometric-{channels}.tif', make(channels, 8, None)
        for orientation in range(10):
            yield f'{name}-orientation-{orientation}.tif', make(3, 8, 2, orientation=orientation)
            yield f'{name}-orientation-{orientation}-grey16.tif', make(1, 16, 1, orientation=orientation)
    grey16 = Image.fromarray(ramps(1, 16)[..., 0].astype(np.uint16))
    pictures = {mode: rgb.convert(mode) for mode in ('1', 'L', 'LA', 'P', 'RGB', 'RGBA', 'CMYK')} | {'I16': grey16}
    everything = list(pictures)
    for compression, modes in {
        'tiff_lzw': everything, 'tiff_adobe_deflate': everything, 'packbits': everything, 'lzma': everything,
        'zstd': everything, 'jpeg': ['L', 'LA', 'RGB', 'RGBA', 'CMYK'], 'group3': '1', 'group4': '1', 'tiff_ccitt': '1',
    }.items():
        for mode in modes:
            yield f'{compression}-{mode}.tif', saved(pictures[mode], 'TIFF', compression=compression)
    for compression in ('tiff_lzw', 'tiff_adobe_deflate'):
        for mode in ('L', 'RGB', 'RGBA', 'I16'):
            yield f'{compression}-differences-{mode}.tif', saved(pictures[mode], 'TIFF', compression=compression,
                                                                 tiffinfo={317: 2})
    yield 'profile.tif', saved(rgb, 'TIFF', icc_profile=profile)
    yield 'profile-cmyk.tif', saved(pictures['CMYK'], 'TIFF', icc_profile=profile)
    yield 'pages.tif', saved(grey.crop((0, 0, 9, 7)), 'TIFF', save_all=True, append_images=[rgb])
    yield 'private-tags.tif', saved(rgb, 'TIFF', tiffinfo={65000: 'ours', 50838: 7, 270: 'ImageJ=1.53', 305: 'nobody'})
    yield 'jpeg-strips.tif', saved(rgb.resize((70, 90)), 'TIFF', compression='jpeg', tiffinfo={278: 16})


# --- PNG ----------------------------------------------------------------------------------------------------------------

def chunk(kind, data, checksum=None):
    checksum = zlib.crc32(kind + data) if checksum is None else checksum
    return struct.pack('>I', len(data)) + kind + data + struct.pack('>I', checksum)


signature = b'\x89PNG\r\n\x1a\n'
end = chunk(b'IEND', b'')


def png_pixels(samples, bits):
    return zlib.compress(b''.join(b'\0' + packed(row[None], bits, '>') for row in samples))


def png_head(bits, colour_type, interlace=0):
    return signature + chunk(b'IHDR', struct.pack('>IIBBBBB', WIDTH, HEIGHT, bits, colour_type, 0, 0, interlace))


def interlaced(samples, bits):
    """In the seven passes of Adam7."""
    passes = [(0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2)]
    rows = [row for x, y, right, down in passes for row in samples[y::down, x::right] if row.size > 0]
    return zlib.compress(b''.join(b'\0' + packed(row[None], bits, '>') for row in rows))


def pngs():
    for colour_type, bits, count in [(0, 1, 1), (0, 16, 1), (2, 8, 3), (2, 16, 3), (3, 4, 1), (6, 8, 4)]:
        colours = chunk(b'PLTE', bytes(rng.integers(0, 256, 3 << bits, np.uint8))) if colour_type == 3 else b''
        data = chunk(b'IDAT', interlaced(ramps(count, bits), bits))
        yield f'interlaced-{colour_type}-{bits}.png', png_head(bits, colour_type, 1) + colours + data + end
    yield 'profile.png', saved(rgb, 'PNG', icc_profile=profile)
    channels = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
    plte = chunk(b'PLTE', bytes(rng.integers(0, 256, 768, np.uint8)))
    for colour_type, depths in {0: (1, 2, 4, 8, 16), 2: (8, 16), 3: (1, 2, 4, 8), 4: (8, 16), 6: (8, 16)}.items():
        for bits in depths:
            head = png_head(bits, colour_type)
            pixels = chunk(b'IDAT', png_pixels(ramps(channels[colour_type], bits), bits))
            colours = chunk(b'PLTE', bytes(rng.integers(0, 256, 3 << bits, np.uint8))) if colour_type == 3 else b''
            yield f'{colour_type}-{bits}.png', head + colours + pixels + end
            transparent = {0: b'\0\5', 2: b'\0\1\0\2\0\3', 3: b'\0'}.get(colour_type)
            if transparent:
                yield f'{colour_type}-{bits}-trns.png', head + colours + chunk(b'tRNS', transparent) + pixels + end
                yield f'{colour_type}-{bits}-odd-trns.png', head + colours + chunk(b'tRNS', b'\0') + pixels + end
    head, pixels = png_head(8, 2), png_pixels(ramps(3), 8)
    idat = chunk(b'IDAT', pixels)
    yield 'palette-of-colours.png', head + plte + idat + end
    yield 'palette-missing.png', png_head(8, 3) + chunk(b'IDAT', png_pixels(ramps(1), 8)) + end
    short = chunk(b'PLTE', bytes(range(30)))
    yield 'palette-short.png', png_head(8, 3) + short + chunk(b'IDAT', png_pixels(ramps(1), 8)) + end
    yield 'pieces.png', head + chunk(b'IDAT', pixels[:50]) + chunk(b'IDAT', b'') + chunk(b'IDAT', pixels[50:]) + end
    yield 'pieces-apart.png', head + chunk(b'IDAT', pixels[:50]) + chunk(b'tEXt', b'a\0b') + chunk(b'IDAT', pixels[50:]) + end
    yield 'checksum-of-pixels.png', head + chunk(b'IDAT', pixels, 1) + end
    yield 'checksum-of-text.png', head + chunk(b'tEXt', b'a\0b', 1) + idat + end
    yield 'checksum-of-text-behind.png', head + idat + chunk(b'tEXt', b'a\0b', 1) + end
    yield 'checksum-of-header.png', head[:-4] + b'abcd' + idat + end
    yield 'unknown-critical.png', head + chunk(b'ABCD', b'xyz') + idat + end
    yield 'unknown-ancillary.png', head + chunk(b'abCd', b'xyz') + idat + end
    yield 'unknown-behind.png', head + idat + chunk(b'ABCD', b'xyz') + end
    yield 'no-end.png', head + idat
    yield 'no-checksum-at-end.png', head + idat[:-4]
    yield 'cut-in-pixels.png', head + idat[:-40]
    yield 'cut-in-text-behind.png', head + idat + chunk(b'tEXt', b'a\0' + b'b' * 50)[:-20]
    yield 'appended.png', head + idat + end + b'something'
    yield 'bad-chunk-name.png', head + chunk(b'a\0b\1', b'') + idat + end
    yield 'huge-text.png', head + chunk(b'zTXt', b'a\0\0' + zlib.compress(bytes(2 << 20))) + idat + end
    yield 'huge-profile.png', head + chunk(b'iCCP', b'a\0\0' + zlib.compress(bytes(2 << 20))) + idat + end
    yield 'bad-text.png', head + chunk(b'zTXt', b'a\0\0nonsense') + idat + end
    yield 'gamma.png', head + chunk(b'gAMA', struct.pack('>I', 100_000)) + chunk(b'cHRM', bytes(32)) + idat + end
    yield 'background.png', head + chunk(b'bKGD', b'\0\1\0\2\0\3') + chunk(b'sBIT', b'\5\5\5') + idat + end
    exif = Image.Exif()
    exif[274] = 6
    yield 'orientation.png', saved(rgb, 'PNG', exif=exif)
    yield 'filter-method.png', signature + chunk(b'IHDR', struct.pack('>IIBBBBB', WIDTH, HEIGHT, 8, 2, 0, 1, 0)) + idat + end
    yield 'impossible-depth.png', signature + chunk(b'IHDR', struct.pack('>IIBBBBB', WIDTH, HEIGHT, 4, 2, 0, 0, 0)) + idat + end
    more = [Image.fromarray(255 - np.asarray(rgb)), rgb.rotate(180)]
    yield 'animated.png', saved(rgb, 'PNG', save_all=True, append_images=more)
    yield 'animated-default.png', saved(rgb, 'PNG', save_all=True, append_images=more, default_image=True)
    control = struct.pack('>IIIIIHHBB', 0, WIDTH, HEIGHT, 0, 0, 1, 1, 0, 0)
    yield 'animated-one.png', head + chunk(b'acTL', struct.pack('>II', 1, 0)) + chunk(b'fcTL', control) + idat + end


# --- GIF, WebP ----------------------------------------------------------------------------------------------------------

def gifs():
    small = palette.crop((0, 0, 12, 10))
    plain = saved(palette, 'GIF')
    yield 'plain.gif', plain
    yield 'not-interlaced.gif', saved(palette, 'GIF', interlace=False)
    yield 'grey.gif', saved(grey, 'GIF')
    yield 'transparent.gif', saved(palette, 'GIF', transparency=7)
    yield 'transparent-animated.gif', saved(palette, 'GIF', transparency=0, save_all=True, append_images=[palette.rotate(90)],
                                            disposal=2)
    for name, options in {'small-first': {}, 'small-first-transparent': {'transparency': 3}}.items():
        file = bytearray(saved(small, 'GIF', **options))
        struct.pack_into('<HH', file, 6, WIDTH, HEIGHT)
        yield f'{name}.gif', bytes(file)
        separator = file.index(b',', 13 + 3 * 2 ** ((file[10] & 7) + 1))
        moved = bytearray(file)
        struct.pack_into('<HH', moved, separator + 1, 5, 4)
        yield f'{name}-moved.gif', bytes(moved)
        struct.pack_into('<HH', moved, separator + 1, 20, 15)
        yield f'{name}-beyond.gif', bytes(moved)
    table = 3 * 2 ** ((plain[10] & 7) + 1)
    without = bytearray(plain[:13] + plain[13 + table:])
    without[10] &= 0x7F
    yield 'no-palette.gif', bytes(without)
    local = bytearray(without)
    separator = local.index(b',', 13)
    local[separator + 9] |= 0x80 | plain[10] & 7
    local[separator + 10:separator + 10] = plain[13:13 + table]
    yield 'local-palette.gif', bytes(local)
    short = bytearray(plain[:13] + plain[13:13 + 12] + plain[13 + table:])
    short[10] = short[10] & 0xF8 | 1
    yield 'short-palette.gif', bytes(short)
    yield 'comment.gif', saved(palette, 'GIF', comment=b'a comment' * 50)
    yield 'no-trailer.gif', plain[:-1]
    yield 'cut.gif', plain[:-100]
    yield 'appended.gif', plain + b'something'
    yield 'no-picture.gif', plain[:13 + table] + b';'
    yield 'bilevel.gif', saved(grey.convert('1'), 'GIF')


def webps():
    alpha = rgb.copy()
    alpha.putalpha(grey)
    exif = Image.Exif()
    exif[274] = 6
    yield 'profile.webp', saved(rgb, 'WEBP', icc_profile=profile)
    yield 'lossy.webp', saved(rgb, 'WEBP')
    yield 'lossless.webp', saved(rgb, 'WEBP', lossless=True)
    yield 'lossy-alpha.webp', saved(alpha, 'WEBP')
    yield 'lossless-alpha.webp', saved(alpha, 'WEBP', lossless=True)
    yield 'orientation.webp', saved(rgb, 'WEBP', exif=exif)
    yield 'animated.webp', saved(rgb, 'WEBP', save_all=True, append_images=[rgb.rotate(180)])
    yield 'animated-alpha.webp', saved(alpha, 'WEBP', save_all=True, append_images=[alpha.rotate(180)], lossless=True)
    yield 'cut.webp', saved(rgb, 'WEBP', lossless=True)[:-200]


# --- JPEG ---------------------------------------------------------------------------------------------------------------

def segments(file):
    """The segments before the first scan, and what is left."""
    parts, at = [], 2
    while file[at + 1] != 0xDA:
        length = 2 + struct.unpack('>H', file[at + 2:at + 4])[0]
        parts.append(file[at:at + length])
        at += length
    return parts, file[at:]


def jpeg(parts, rest):
    return b'\xff\xd8' + b''.join(parts) + rest


def jpegs():
    photograph = rgb.resize((64, 56), Image.BICUBIC)
    plain = saved(photograph, 'JPEG', quality=85)
    parts, rest = segments(plain)
    yield 'plain.jpg', plain
    yield 'optimised.jpg', saved(photograph.rotate(180), 'JPEG', quality=60, optimize=True)
    yield 'grey-optimised.jpg', saved(photograph.convert('L').rotate(90), 'JPEG', quality=95, optimize=True)
    yield 'no-huffman.jpg', jpeg([part for part in parts if part[1] != 0xC4], rest)
    yield 'no-quantisation.jpg', jpeg([part for part in parts if part[1] != 0xDB], rest)
    yield 'no-chroma-quantisation.jpg', jpeg([part for part in parts if part[1] != 0xDB or part[4] == 0], rest)
    grey_parts, grey_rest = segments(saved(photograph.convert('L'), 'JPEG'))
    yield 'grey-no-huffman.jpg', jpeg([part for part in grey_parts if part[1] != 0xC4], grey_rest)
    yield 'grey-no-quantisation.jpg', jpeg([part for part in grey_parts if part[1] != 0xDB], grey_rest)
    for sampling in range(3):
        for name, options in {'': {}, '-progressive': {'progressive': True}}.items():
            yield f'sampling-{sampling}{name}.jpg', saved(photograph, 'JPEG', subsampling=sampling, **options)
    for mode in ('L', 'CMYK'):
        yield f'{mode}-progressive.jpg', saved(photograph.convert(mode), 'JPEG', progressive=True)
        yield f'{mode}.jpg', saved(photograph.convert(mode), 'JPEG')
    yield 'kept-rgb.jpg', saved(photograph, 'JPEG', keep_rgb=True)
    yield 'restarts.jpg', saved(photograph, 'JPEG', restart_marker_blocks=2)
    progressive = saved(photograph, 'JPEG', progressive=True, quality=85)
    scans = [i for i in range(len(progressive) - 1) if progressive[i:i + 2] == b'\xff\xda']
    for count in range(1, len(scans)):
        yield f'progressive-scans-{count}.jpg', progressive[:scans[count]] + b'\xff\xd9'
    yield 'progressive-cut.jpg', progressive[:scans[-1]]
    yield 'cut-and-ended.jpg', plain[:-200] + b'\xff\xd9'
    yield 'cut.jpg', plain[:-200]
    yield 'no-end.jpg', plain[:-2]
    yield 'appended.jpg', plain + b'something'
    yield 'padded.jpg', jpeg([b'\xff\xff' + part for part in parts], rest)
    for name, junk in {'zeros': bytes(9), 'text': b'some text', 'escaped': b'\xff\x00' * 3, 'tem': b'\xff\x01',
                       'reserved': b'\xff\x02\x00\x04ab', 'restart': b'\xff\xd3', 'end': b'\xff\xd9',
                       'extension': b'\xff\xf0', 'number-of-lines': b'\xff\xdc\0\4\0\x38'}.items():
        yield f'between-{name}.jpg', jpeg([parts[0], junk, *parts[1:]], rest)
    yield 'short-jfif.jpg', jpeg([b'\xff\xe0\0\6JFIF', *parts[1:]], rest)
    yield 'short-adobe.jpg', jpeg([b'\xff\xee\0\x07Adobe', *parts], rest)
    yield 'adobe-rgb.jpg', jpeg([b'\xff\xee\0\x0eAdobe\0\x64\0\0\0\0\0', *parts[1:]], rest)
    yield 'short-quantisation.jpg', jpeg([b'\xff\xdb\0\x20' + bytes(30), *parts], rest)
    frame = next(i for i, part in enumerate(parts) if part[1] == 0xC0)
    for name, at, value in [('12-bits', 4, 12), ('2-components', 9, 2)]:
        changed = bytearray(parts[frame])
        changed[at] = value
        yield f'{name}.jpg', jpeg([*parts[:frame], bytes(changed), *parts[frame + 1:]], rest)
    exif = Image.Exif()
    exif[274] = 6
    yield 'orientation.jpg', saved(photograph, 'JPEG', exif=exif)
    yield 'profile.jpg', saved(photograph, 'JPEG', icc_profile=profile)
    four_parts, four_rest = segments(saved(photograph.convert('CMYK'), 'JPEG'))
    yield 'CMYK-profile.jpg', saved(photograph.convert('CMYK'), 'JPEG', icc_profile=profile)
    yield 'CMYK-no-adobe.jpg', jpeg([part for part in four_parts if part[1] != 0xEE], four_rest)
    yield 'YCCK.jpg', jpeg([part[:-1] + b'\2' if part[1] == 0xEE else part for part in four_parts], four_rest)
    yield 'extended.jpg', jpeg([b'\xff\xc1' + part[2:] if part[1] == 0xC0 else part for part in parts], rest)
    yield 'no-jfif.jpg', jpeg(parts[1:], rest)
    named = {1: b'R', 2: b'G', 3: b'B'}
    frame_part, scan = bytearray(parts[frame]), bytearray(rest)
    for i, name in named.items():
        frame_part[10 + 3 * (i - 1):11 + 3 * (i - 1)] = name
        scan[5 + 2 * (i - 1):6 + 2 * (i - 1)] = name
    yield 'named-rgb.jpg', jpeg([*parts[1:frame], bytes(frame_part), *parts[frame + 1:]], bytes(scan))
    yield 'several.jpg', saved(photograph, 'MPO', save_all=True, append_images=[photograph.rotate(180)])
    yield 'lossless.jpg', lossless_jpeg(ramps(1)[..., 0])
    yield 'lossless-rgb.jpg', lossless_jpeg(*np.moveaxis(ramps(3), 2, 0))


def lossless_jpeg(*planes):
    """SOF3: every pixel is the difference from its left neighbour, or that above in the first column."""
    height, width = planes[0].shape
    count = len(planes)
    components = range(1, count + 1)
    head = b'\xff\xd8\xff\xc3' + struct.pack('>HBHHB', 8 + 3 * count, 8, height, width, count)
    head += b''.join(bytes([i, 0x11, 0]) for i in components)
    # Sixteen categories, each with a code of five bits: their numbers.
    head += b'\xff\xc4' + struct.pack('>HB', 19 + 16, 0) + bytes([0, 0, 0, 0, 16] + [0] * 11) + bytes(range(16))
    head += b'\xff\xda' + struct.pack('>HB', 6 + 2 * count, count) + b''.join(bytes([i, 0]) for i in components) + b'\1\0\0'
    digits = ''
    for y in range(height):
        for x in range(width):
            for plane in planes:
                before = plane[y, x - 1] if x > 0 else plane[y - 1, 0] if y > 0 else 128
                difference = int(plane[y, x]) - int(before)
                category = abs(difference).bit_length()
                digits += format(category, '05b')
                if category:
                    digits += format(difference if difference > 0 else difference + (1 << category) - 1, f'0{category}b')
    digits += '1' * (-len(digits) % 8)
    coded = bytes(int(digits[i:i + 8], 2) for i in range(0, len(digits), 8))
    return head + coded.replace(b'\xff', b'\xff\0') + b'\xff\xd9'


# --- BMP ----------------------------------------------------------------------------------------------------------------

def bmp(bits, data, header=40, compression=0, colours=None, masks=(), count=0, height=HEIGHT, width=WIDTH, offset=None,
        between=b''):
    if header == 12:
        info = struct.pack('<IHHHH', 12, width, height, 1, bits)
    else:
        info = struct.pack('<IiiHHIIiiII', header, width, height, 1, bits, compression, len(data), 2835, 2835, count, 0)
        inside = struct.pack(f'<{len(masks)}I', *masks) if header > 40 else b''
        info = (info + inside).ljust(header, b'\0')
        if header == 40:
            info += struct.pack(f'<{len(masks)}I', *masks)
    table = b''
    if colours is not None:
        table = b''.join(bytes(colour[::-1]) + (b'' if header == 12 else b'\0') for colour in colours)
    start = 14 + len(info) + len(table) + len(between)
    return b'BM' + struct.pack('<IHHI', start + len(data), 0, 0, start if offset is None else offset) + info + table + between + data


def bmp_rows(samples, bits):
    return b''.join((row := packed(line[None], bits, '<')) + b'\0' * (-len(row) % 4) for line in samples[::-1])


def runs8(index):
    out = b''
    for row in index[::-1]:
        x = 0
        while x < len(row):
            n = 1
            while x + n < len(row) and row[x + n] == row[x] and n < 255:
                n += 1
            out += bytes([n, int(row[x])])
            x += n
        out += b'\0\0'
    return out + b'\0\1'


def absolute(index, bits):
    out = b''
    for row in index[::-1]:
        row = [int(value) for value in row]
        body = bytes(row) if bits == 8 else bytes(a << 4 | b for a, b in zip(row[::2], row[1::2]))
        out += bytes([0, len(row)]) + body + b'\0' * (len(body) % 2) + b'\0\0'
    return out + b'\0\1'


def bmps():
    colours = [[int(v) for v in colour] for colour in rng.integers(0, 256, (256, 3))]
    greys = [[i] * 3 for i in range(256)]
    for bits in (1, 4, 8):
        index = ramps(1, bits)
        data = bmp_rows(index, bits)
        for header in (12, 40, 52, 56, 64, 108, 124):
            yield f'{bits}-{header}.bmp', bmp(bits, data, header, colours=colours[:1 << bits])
        yield f'{bits}-grey.bmp', bmp(bits, data, colours=[[v * 255 // ((1 << bits) - 1)] * 3 for v in range(1 << bits)])
        yield f'{bits}-few.bmp', bmp(bits, data, colours=colours[:1 << bits - 1], count=1 << bits - 1)
        yield f'{bits}-no-offset.bmp', bmp(bits, data, colours=colours[:1 << bits], offset=0)
        yield f'{bits}-offset-at-palette.bmp', bmp(bits, data, colours=colours[:1 << bits], offset=54)
        yield f'{bits}-top-down.bmp', bmp(bits, data, colours=colours[:1 << bits], height=-HEIGHT)
        yield f'{bits}-gap.bmp', bmp(bits, data, colours=colours[:1 << bits], between=bytes(10))
        yield f'{bits}-cut.bmp', bmp(bits, data, colours=colours[:1 << bits])[:-5]
        yield f'{bits}-black-white.bmp', bmp(bits, data, colours=[[0] * 3, [255] * 3], count=2)
        yield f'{bits}-white-black.bmp', bmp(bits, data, colours=[[255] * 3, [0] * 3], count=2)
    index = ramps(1, 8)
    yield '8-greys.bmp', bmp(8, bmp_rows(index, 8), colours=greys)
    yield '8-few-greys.bmp', bmp(8, bmp_rows(index, 8), colours=greys[:100], count=100)
    yield '8-too-many.bmp', bmp(8, bmp_rows(index, 8), colours=colours + colours, count=512)
    yield '8-palette-cut.bmp', bmp(8, b'', colours=colours[:100], count=256)
    yield '2-bits.bmp', bmp(2, bmp_rows(ramps(1, 2), 2), colours=colours[:4])
    yield '8-bit-fields.bmp', bmp(8, bmp_rows(index, 8), compression=3, colours=colours, masks=(0xFF, 0xFF00, 0xFF0000))
    yield 'bilevel-saved.bmp', saved(grey.convert('1'), 'BMP')
    yield 'grey-saved.bmp', saved(grey, 'BMP')
    words, longs = bmp_rows(ramps(1, 16), 16), bmp_rows(ramps(4, 8), 8)
    yield '16.bmp', bmp(16, words)
    yield '24.bmp', bmp(24, bmp_rows(ramps(3), 8))
    yield '24-os2.bmp', bmp(24, bmp_rows(ramps(3), 8), 12)
    yield '32.bmp', bmp(32, longs)
    yield '24-top-down.bmp', bmp(24, bmp_rows(ramps(3), 8), height=-HEIGHT)
    yield '24-cut.bmp', bmp(24, bmp_rows(ramps(3), 8))[:-1]
    yield '24-fields.bmp', bmp(24, bmp_rows(ramps(3), 8), compression=3, masks=(0xFF0000, 0xFF00, 0xFF))
    for name, masks in {'565': (0xF800, 0x7E0, 0x1F), '555': (0x7C00, 0x3E0, 0x1F), '444': (0xF00, 0xF0, 0xF)}.items():
        for header in (40, 56, 108):
            yield f'16-{name}-{header}.bmp', bmp(16, words, header, 3, masks=masks + (() if header == 40 else (0,)))
    for masks in [(0xFF0000, 0xFF00, 0xFF, 0), (0xFF000000, 0xFF0000, 0xFF00, 0), (0xFF000000, 0xFF00, 0xFF, 0),
                  (0xFF000000, 0xFF0000, 0xFF00, 0xFF), (0xFF, 0xFF00, 0xFF0000, 0xFF000000),
                  (0xFF0000, 0xFF00, 0xFF, 0xFF000000), (0xFF000000, 0xFF00, 0xFF, 0xFF0000), (0, 0, 0, 0),
                  (0xFF, 0xFF00, 0xFF0000, 0)]:
        about = '-'.join(f'{mask:x}' for mask in masks)
        for header in (52, 108, 124):
            yield f'32-{about}-{header}.bmp', bmp(32, longs, header, 3, masks=masks)
        yield f'32-{about}-40.bmp', bmp(32, longs, 40, 3, masks=masks[:3])
    steps = ramps(1, 8)[..., 0] // 32 * 32
    for table, name in [(colours, ''), (greys, '-greys')]:
        yield f'rle8{name}.bmp', bmp(8, runs8(steps), compression=1, colours=table)
        yield f'rle8-absolute{name}.bmp', bmp(8, absolute(steps, 8), compression=1, colours=table)
    yield 'rle8-top-down.bmp', bmp(8, runs8(steps), compression=1, colours=colours, height=-HEIGHT)
    yield 'rle8-no-end.bmp', bmp(8, runs8(steps)[:-2], compression=1, colours=colours)
    yield 'rle8-ends-early.bmp', bmp(8, runs8(steps)[:40] + b'\0\1', compression=1, colours=colours)
    yield 'rle8-delta.bmp', bmp(8, b'\5\7\0\2\3\2' + runs8(steps), compression=1, colours=colours)
    yield 'rle8-too-long.bmp', bmp(8, b'\xff\7\0\0' + runs8(steps), compression=1, colours=colours)
    yield 'rle8-short-rows.bmp', bmp(8, b'\5\7\0\0' * HEIGHT, compression=1, colours=colours)
    yield 'rle8-cut-in-run.bmp', bmp(8, absolute(steps, 8)[:30], compression=1, colours=colours)
    four = ramps(1, 4)[..., 0]
    yield 'rle4-absolute.bmp', bmp(4, absolute(four, 4), compression=2, colours=colours[:16])
    yield 'rle4.bmp', bmp(4, (bytes([WIDTH, 0x35]) + b'\0\0') * HEIGHT + b'\0\1', compression=2, colours=colours[:16])
    yield 'rle4-odd.bmp', bmp(4, (b'\0\5\x12\x34\x50\0' + bytes([WIDTH - 4, 0x27]) + b'\0\0') * HEIGHT, compression=2,
                              colours=colours[:16])
    yield 'rle8-black-white.bmp', bmp(8, runs8(steps // 128), compression=1, colours=[[0] * 3, [255] * 3], count=2)
    for compression in (4, 5, 6):
        yield f'compression-{compression}.bmp', bmp(24, bmp_rows(ramps(3), 8), compression=compression)
    yield 'unknown-header.bmp', bmp(24, bmp_rows(ramps(3), 8), 48)


# --- PNM ----------------------------------------------------------------------------------------------------------------

def pnms():
    def text(values, most):
        return ' '.join(str(int(v)) for v in values.reshape(-1)).encode() if most else b''

    size = f'{WIDTH} {HEIGHT}\n'.encode()
    for most in (1, 2, 7, 15, 100, 254, 255, 256, 1000, 1023, 4095, 65535):
        for kind, channels in (2, 1), (3, 3), (5, 1), (6, 3):
            values = ramps(channels, 16) * most // 65535
            data = text(values, most) if kind < 4 else packed(values, 8 if most < 256 else 16, '>')
            yield f'p{kind}-{most}.ppm', f'P{kind}\n'.encode() + size + f'{most}\n'.encode() + data
    bits = ramps(1, 1)
    yield 'p1.pbm', b'P1\n' + size + text(bits, 1)
    yield 'p1-dense.pbm', b'P1\n' + size + text(bits, 1).replace(b' ', b'')
    yield 'p1-comment.pbm', b'P1\n' + size + text(bits, 1).replace(b' ', b'#c 5\n', 4)
    yield 'p1-wrong.pbm', b'P1\n' + size + text(bits, 1).replace(b'1', b'2', 1)
    yield 'p1-short.pbm', b'P1\n' + size + text(bits, 1)[:-30]
    yield 'p4.pbm', b'P4\n' + size + packed(bits, 1, '>')
    yield 'p4-cut.pbm', b'P4\n' + size + packed(bits, 1, '>')[:-1]
    floats = (ramps(1, 9)[..., 0].astype(np.float32) - 100) * 1.01
    for name, scale, order in [('little', b'-1.0', '<'), ('big', b'1.0', '>'), ('scaled', b'-0.5', '<')]:
        yield f'pf-{name}.pfm', b'Pf\n' + size + scale + b'\n' + floats.astype(f'{order}f4').tobytes()
    yield 'pf-zero.pfm', b'Pf\n' + size + b'0\n' + floats.tobytes()
    yield 'pf-colours.pfm', b'PF\n' + size + b'-1.0\n' + bytes(WIDTH * HEIGHT * 12)
    data = packed(ramps(3), 8, '>')
    for name, head in {
        'comment': b'P6\n# a comment\n' + size + b'255\n',
        'comment-by-return': b'P6\n# a comment\r' + size + b'255\n',
        'comment-long': b'P6\n#' + b'c' * 6000 + b'\n' + size + b'255\n',
        'comment-in-number': b'P6\n2#c\n4 20\n255\n',
        'tabs': b'P6\t24\t20\t255\t',
        'plus': b'P6 +24 20 255\n',
        'comment-at-once': b'P6#c\n' + size + b'255\n',
        'long-number': b'P6 00000000024 20 255\n',
        'zero': b'P6\n' + size + b'0\n',
        'too-high': b'P6\n' + size + b'65536\n',
        'negative': b'P6\n-24 20\n255\n',
        'no-width': b'P6\n0 20\n255\n',
        'cmyk': b'P0CMYK\n' + size + b'255\n',
        'pam': b'P7\nWIDTH 24\nHEIGHT 20\nDEPTH 3\nMAXVAL 255\nENDHDR\n',
    }.items():
        yield f'{name}.ppm', head + data + data
    yield 'cut.ppm', b'P6\n' + size + b'255\n' + data[:-1]
    yield 'above-maximum.pgm', b'P5\n' + size + b'100\n' + packed(ramps(1), 8, '>')
    yield 'p2-above-maximum.pgm', b'P2\n' + size + b'100\n' + text(ramps(1), 1)
    yield 'p3-comment.ppm', b'P3\n' + size + b'255\n' + text(ramps(3), 1).replace(b' ', b' # c\n', 5)
    yield 'p3-joined-by-comment.ppm', b'P3\n' + size + b'255\n' + b'1#c\n2 ' + text(ramps(3), 1)
    yield 'p3-word.ppm', b'P3\n' + size + b'255\n' + b'abc ' + text(ramps(3), 1)
    yield 'p3-short.ppm', b'P3\n' + size + b'255\n' + text(ramps(3), 1)[:-30]


# --- Very tall images, which Pillow resamples in the other order --------------------------------------------------------

def talls():
    for width, height in [(3, 299), (3, 300), (3, 301), (7, 700), (7, 701), (1, 150), (2, 250), (9, 1200)]:
        picture = Image.fromarray(rng.integers(0, 256, (height, width, 3), np.uint8))
        yield f'{width}-{height}.png', saved(picture, 'PNG')
        yield f'{width}-{height}.jpg', saved(picture, 'JPEG', quality=50)
    yield 'wide.png', saved(Image.fromarray(rng.integers(0, 256, (3, 400, 3), np.uint8)), 'PNG')


# --- Formats that are none of these -------------------------------------------------------------------------------------

def others():
    yield 'drawing.svg', b'<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"><rect width="9" height="9"/></svg>'
    yield 'drawing-xml.svg', b'<?xml version="1.0"?>\n<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"/>'
    yield 'page.html', b'<!DOCTYPE html><html><body>Not found</body></html>'
    yield 'pointer.jpg', b'version https://git-lfs.github.com/spec/v1\noid sha256:' + b'0' * 64 + b'\nsize 9\n'
    yield 'document.pdf', b'%PDF-1.4\n'
    yield 'words.jpg', b'only words'


FAMILIES = [tiffs, pngs, gifs, webps, jpegs, bmps, pnms, talls, others]


def facts(name):
    """In a process of its own: a few of these files make Pillow crash, which is a refusal, too."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        with open(os.devnull, 'w') as nothing:
            os.dup2(nothing.fileno(), 2)
        os.write(writing, json.dumps(facts_here(name)).encode())
        os._exit(0)
    os.close(writing)
    with open(reading) as pipe:
        answer = pipe.read()
    os.waitpid(child, 0)
    return json.loads(answer) if answer else None


def facts_here(name):
    try:
        with warnings.catch_warnings(), Image.open(name) as picture:
            warnings.simplefilter('ignore')
            mode = picture.mode
            converted = picture.convert('RGB')
    except Exception:  # whatever Pillow raises, torchvision's loader raises it, too
        return None
    pixels = np.asarray(converted)
    height, width = pixels.shape[:2]
    squashed = converted.resize((32, 32), Image.BILINEAR)
    sha256, squash = (hashlib.sha256(data).hexdigest() for data in (pixels.tobytes(), squashed.tobytes()))
    return {'mode': mode, 'width': width, 'height': height, 'sha256': sha256, 'squash': squash}


def pictures(few):
    for family in FAMILIES:
        for number, (name, data) in enumerate(family()):
            name = f'{family.__name__[:-1]}-{name}'
            if few and family is tiffs and not name.startswith('tiff-little-raw-orientation') and number % 9:
                continue
            if few and family in (bmps, pnms) and number % 3:
                continue
            yield name, data


def damaged(count, seed):
    draws = random.Random(seed)
    whole = list(pictures(False))
    for number in range(count):
        name, data = draws.choice(whole)
        data = bytearray(data)
        anywhere = draws.random() < 0.3
        for _ in range(draws.choice([1, 1, 1, 2, 4])):
            # Mostly where the header is, which in these TIFF files is the end.
            first = max(0, len(data) - 260) if name.startswith('tiff') and not anywhere else 0
            last = len(data) if anywhere or first > 0 else min(len(data), 120)
            at = draws.randrange(first, last)
            flipped = data[at] ^ 1 << draws.randrange(8)
            data[at] = draws.choice([0, 1, 2, 3, 4, 8, 16, 255, flipped, draws.randrange(256)])
        if draws.random() < 0.1:
            data = data[:draws.randrange(1, len(data))]
        yield f'{number:05d}-{name}', bytes(data)


def main(folder, which=None, count='0', seed='0'):
    os.makedirs(folder, exist_ok=True)
    expected = {}
    for name, data in damaged(int(count), int(seed)) if which == '--damaged' else pictures(which == '--few'):
        with open(f'{folder}/{name}', 'wb') as file:
            file.write(data)
        expected[name] = facts(f'{folder}/{name}')
    with open(f'{folder}/expected.json', 'w') as file:
        lines = ',\n'.join(f'    {json.dumps(name)}: {json.dumps(fact)}' for name, fact in sorted(expected.items()))
        file.write(f'{{\n  "pillow": "{PIL.__version__}",\n  "images": {{\n{lines}\n  }}\n}}\n')


if __name__ == '__main__':
    main(*sys.argv[1:])
