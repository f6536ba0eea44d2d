"""What Pillow itself makes of pictures: checks the fixtures' pixels, and makes those of other boxes.

    original_pixels.py fixtures FOLDER          compares FOLDER/expected/ with what Pillow makes of FOLDER's pictures
    original_pixels.py resample WISHES OUTPUT   WISHES: a JSON list of {path, box, size, window, flip}; OUTPUT gets the
                                                pixels of all, uint8 RGB, one after the other

Prints the version of Pillow.
"""

import glob
import json
import os
import sys

import numpy as np
import PIL
from PIL import Image

SIZE, SHORT = 224, 256


def squashed(image):
    return image.resize((SIZE, SIZE), Image.BILINEAR)


def centre_cropped(image):
    """torchvision's Resize(256) and CenterCrop(224)."""
    width, height = image.size
    short = min(width, height)
    image = image.resize((int(SHORT * width / short), int(SHORT * height / short)), Image.BILINEAR)
    left, top = round((image.width - SIZE) / 2), round((image.height - SIZE) / 2)
    return image.crop((left, top, left + SIZE, top + SIZE))


def box_of(image, box):
    return image.crop((box["left"], box["top"], box["left"] + box["width"], box["top"] + box["height"]))


def fixtures(folder):
    boxes = json.load(open(f"{folder}/expected/boxes.json"))
    compared = set()
    for name, facts in boxes.items():
        image = Image.open(f"{folder}/{name}").convert("RGB")
        assert image.size == (facts["width"], facts["height"]), name
        for kind, pixels in (
            ("resize224", squashed(image)),
            ("resize256_crop224", centre_cropped(image)),
            ("resizedcrop224", squashed(box_of(image, facts["resizedcrop"]))),
        ):
            path = f"{folder}/expected/{name}.{kind}.npy"
            assert np.array_equal(np.load(path), np.asarray(pixels)), path
            compared.add(path)
    assert compared == set(glob.glob(f"{folder}/expected/*.npy")), "every file of expected pixels was compared"


def resample(wishes, output):
    with open(output, "wb") as file:
        for wish in json.load(open(wishes)):
            image = box_of(Image.open(wish["path"]).convert("RGB"), wish["box"])
            image = box_of(image.resize((wish["width"], wish["height"]), Image.BILINEAR), wish["window"])
            if wish["flip"]:
                image = image.transpose(Image.FLIP_LEFT_RIGHT)
            file.write(image.tobytes())


if __name__ == "__main__":
    command, *arguments = sys.argv[1:]
    {"fixtures": fixtures, "resample": resample}[command](*arguments)
    print(PIL.__version__)
