"""What PyTorch makes of a stimulus that changes: CORnet-R and RT with another image at each time step.

    frames_numbers.py > test/fixtures/frames.json

Weights and images are those of the closed formula, image t with the salt t. Of each area's output at each step and of the
decoder: the L2 norm and sixteen values.
"""

import json

import numpy as np
import torch
from original_features import AREAS, calls_of, formula, normalized

TIMES, CLIPS, SIZE, TOLD = 5, 2, 64, 16


def entry(name, shape):
    count = int(np.prod(shape))
    if len(shape) == 4:
        offset, scale = 0, np.sqrt(6 / np.prod(shape[1:]))
    elif len(shape) == 2:
        offset, scale = 0, np.sqrt(3 / shape[1])
    else:
        offset, scale = int(name.endswith(".weight")), 0.1
    values = offset + scale * formula(name, count)
    return torch.from_numpy(values.astype(np.float32)).reshape(shape)


def weights():
    shapes, inputs = {}, 3
    for area, channels, kernel in zip(AREAS, (64, 128, 256, 512), (7, 3, 3, 3)):
        shapes[f"{area}.conv_input.weight"] = (channels, inputs, kernel, kernel)
        shapes[f"{area}.conv_input.bias"] = (channels,)
        shapes[f"{area}.conv1.weight"] = (channels, channels, 3, 3)
        for norm in ("norm_input", "norm1"):
            shapes[f"{area}.{norm}.weight"] = shapes[f"{area}.{norm}.bias"] = (channels,)
        inputs = channels
    shapes["decoder.linear.weight"], shapes["decoder.linear.bias"] = (1000, 512), (1000,)
    return {name: entry(name, shape) for name, shape in shapes.items()}


def frame(t):
    values = formula("images", CLIPS * SIZE * SIZE * 3, salt=t)
    return normalized(((values + 1) * 128).astype(np.uint8).reshape(CLIPS, SIZE, SIZE, 3))


def told(value):
    flat = value.flatten().double()
    values = flat[:: max(1, len(flat) // TOLD)][:TOLD]
    return {"l2": float(f"{flat.norm().item():.9g}"), "values": [float(f"{v:.9g}") for v in values.tolist()]}


def main():
    torch.set_num_threads(1)
    state, frames = weights(), torch.stack([frame(t) for t in range(TIMES)])
    models = {}
    for model in ("R", "RT"):
        calls = calls_of(model, state, frames, TIMES)
        steps = {f"{area}.output-t{t}": calls[f"{area}.output"][t] for t in range(TIMES) for area in AREAS}
        once = {name: calls[name][0] for name in ("decoder.avgpool", "decoder.output")}
        models[model] = {name: told(value) for name, value in {**steps, **once}.items()}
    print(json.dumps({"times": TIMES, "clips": CLIPS, "imageSize": SIZE, "models": models}))


if __name__ == "__main__":
    main()
