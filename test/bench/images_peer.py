"""The peer of the image pipeline: Pillow, used as torchvision's ImageFolder and transforms do.

    images_peer.py FOLDER train|val IMAGES PROCESSES

Images of FOLDER/train become random resized crops, those of FOLDER/val are resized and centre-cropped. Each process
works on its own, as a DataLoader's workers do, but hands nothing over. Prints one line of JSON.
"""

import glob
import json
import math
import multiprocessing
import random
import sys
import time

import numpy as np
from PIL import Image

SIZE, SHORT = 224, 256


def random_box(width, height):
    for _ in range(10):
        area = width * height * random.uniform(0.08, 1)
        ratio = math.exp(random.uniform(math.log(3 / 4), math.log(4 / 3)))
        w, h = round(math.sqrt(area * ratio)), round(math.sqrt(area / ratio))
        if 0 < w <= width and 0 < h <= height:
            top, left = random.randint(0, height - h), random.randint(0, width - w)
            return left, top, left + w, top + h
    return 0, 0, width, height


def load(path, split):
    with open(path, 'rb') as file:
        image = Image.open(file).convert('RGB')
    if split == 'train':
        image = image.crop(random_box(*image.size)).resize((SIZE, SIZE), Image.BILINEAR)
        if random.random() < 0.5:
            image = image.transpose(Image.FLIP_LEFT_RIGHT)
    else:
        width, height = image.size
        scale = SHORT / min(width, height)
        image = image.resize((int(width * scale), int(height * scale)), Image.BILINEAR)
        left, top = round((image.width - SIZE) / 2), round((image.height - SIZE) / 2)
        image = image.crop((left, top, left + SIZE, top + SIZE))
    return np.asarray(image)


def work(paths, split, count):
    """Seconds on the clock and of CPU time."""
    batch = np.empty((32, SIZE, SIZE, 3), np.uint8)
    for i in range(32):
        batch[i] = load(paths[i % len(paths)], split)
    start, cpu = time.perf_counter(), time.process_time()
    for i in range(count):
        batch[i % 32] = load(paths[i % len(paths)], split)
    return time.perf_counter() - start, time.process_time() - cpu


def main():
    folder, split, images, processes = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
    paths = sorted(glob.glob(f'{folder}/{split}/*/*'))
    each = images // processes
    with multiprocessing.Pool(processes) as pool:
        times = pool.starmap(work, [(paths[i::processes], split, each) for i in range(processes)])
    print(
        json.dumps(
            {
                'who': f'Pillow {Image.__version__}',
                'split': split,
                'threads': processes,
                'imagesPerSecond': each * processes / max(wall for wall, _ in times),
                'imagesPerCpuSecond': each * processes / sum(cpu for _, cpu in times),
            }
        )
    )


if __name__ == '__main__':
    main()
