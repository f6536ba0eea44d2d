"""What Pillow and torchvision make of small images: the effects of augmentation.

    augmentation_pixels.py > test/fixtures/augmentation.json

Without torchvision, what its transforms call is called here (Pillow's methods, and PyTorch's convolution for the blur);
with it, both must be the same. In the JSON, images are base64 of uint8 RGB; what is Pillow's to the bit has a SHA-256.
"""

import base64
import hashlib
import json
import math

import numpy as np
import PIL
import torch
from PIL import Image, ImageEnhance

try:
    import torchvision.transforms.functional as reference
    from torchvision.transforms import InterpolationMode
except ImportError:
    reference = None


def hue(image, factor):
    h, s, v = image.convert("HSV").split()
    shifted = np.array(h, dtype=np.uint8) + np.int32(factor * 255).astype(np.uint8)
    return Image.merge("HSV", (Image.fromarray(shifted, "L"), s, v)).convert("RGB")


def grayscale(image, _):
    grey = image.convert("L")
    return Image.merge("RGB", (grey, grey, grey))


def kernel_of(sigma):
    radius = math.ceil(3 * sigma)
    x = torch.linspace(-radius, radius, steps=2 * radius + 1)
    weights = torch.exp(-0.5 * (x / sigma).pow(2))
    return radius, weights / weights.sum()


def blur(image, sigma):
    radius, kernel = kernel_of(sigma)
    pixels = torch.from_numpy(np.array(image)).permute(2, 0, 1).float()
    padded = torch.nn.functional.pad(pixels, [radius] * 4, mode="reflect")
    weights = torch.mm(kernel[:, None], kernel[None, :]).expand(3, 1, -1, -1)
    blurred = torch.nn.functional.conv2d(padded[None], weights, groups=3)[0].round()
    return Image.fromarray(blurred.to(torch.uint8).permute(1, 2, 0).numpy())


EFFECTS = {
    "rotate": lambda image, degrees: image.rotate(degrees, Image.BILINEAR, fillcolor=(0, 0, 0)),
    "brightness": lambda image, factor: ImageEnhance.Brightness(image).enhance(factor),
    "contrast": lambda image, factor: ImageEnhance.Contrast(image).enhance(factor),
    "saturation": lambda image, factor: ImageEnhance.Color(image).enhance(factor),
    "hue": hue,
    "grayscale": grayscale,
    "blur": blur,
}


def of_torchvision(image, kind, value):
    if kind == "rotate":
        return reference.rotate(image, value, InterpolationMode.BILINEAR, fill=0)
    if kind == "grayscale":
        return reference.rgb_to_grayscale(image, num_output_channels=3)
    if kind == "blur":
        return reference.gaussian_blur(image, [2 * math.ceil(3 * value) + 1] * 2, [value, value])
    return getattr(reference, f"adjust_{kind}")(image, value)


def effect(image, kind, value):
    made = EFFECTS[kind](image, value)
    if reference is not None:
        theirs = of_torchvision(image, kind, value)
        assert made.tobytes() == theirs.tobytes(), (kind, value)
    return made


def images():
    rng = np.random.default_rng(7)
    y, x = np.mgrid[0:31, 0:31]
    yield "noise", rng.integers(0, 256, (17, 17, 3))
    yield "grey", np.repeat(rng.integers(0, 256, (16, 16, 1)), 3, 2)
    yield "saturated", rng.integers(0, 2, (24, 24, 3)) * 255
    yield "slopes", np.stack([x * 255 // 30, y * 255 // 30, (x * 5 + y * 3) % 256], 2)


VALUES = {
    "rotate": [0, 90, 180, -90, 10, -33.3, 45, 123.456, -179.9],
    "brightness": [0, 0.3, 1, 1.7, 3],
    "contrast": [0, 0.3, 1, 1.7, 3],
    "saturation": [0, 0.3, 1, 1.7, 3],
    "hue": [-0.5, -0.2, 0, 0.1, 0.5],
    "grayscale": [0],
    "blur": [0.2, 0.7, 1.5, 4.9],
}
CHAINS = [
    [("rotate", 20), ("hue", 0.1), ("contrast", 1.4), ("brightness", 0.8), ("saturation", 1.6)],
    [("contrast", 0.6), ("saturation", 0.2), ("hue", -0.3), ("grayscale", 0)],
]


def encoded(pixels):
    return base64.b64encode(pixels.tobytes()).decode()


def cases(name, image):
    for kind, values in VALUES.items():
        for value in values:
            made = effect(image, kind, value)
            kept = {"pixels": encoded(made)} if kind == "blur" else {"sha256": digest(made)}
            yield {"image": name, "steps": [[kind, value]], **kept}
    for chain in CHAINS:
        made = image
        for kind, value in chain:
            made = effect(made, kind, value)
        yield {"image": name, "steps": chain, "sha256": digest(made)}


def digest(image):
    return hashlib.sha256(image.tobytes()).hexdigest()


if __name__ == "__main__":
    sources = {name: Image.fromarray(pixels.astype(np.uint8)) for name, pixels in images()}
    facts = {
        "pillow": PIL.__version__,
        "images": {name: {"size": image.width, "pixels": encoded(image)} for name, image in sources.items()},
        "cases": [case for name, image in sources.items() for case in cases(name, image)],
    }
    print(json.dumps(facts, separators=(",", ":")).replace('{"image":', '\n{"image":'))
