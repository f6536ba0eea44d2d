"""The peer of `coordinator test`: PyTorch, batched and tuned, with its DataLoader.

    features_peer.py weights MODEL FILE
    features_peer.py MODEL WEIGHTS FOLDER OUTPUT BATCH PRECISION THREADS

The first makes a file of weights. The second loads one, reads IT's last output of every picture of FOLDER, squashed to
224 x 224 by Pillow as the original's transforms do, and writes OUTPUT as .npy. Tuned: no gradients, channels-last, bf16
autocast for bf16, as many processes that decode as threads that compute, batches one ahead. Prints one line of JSON; the
clock is the caller's, from start to end.
"""

import glob
import json
import sys

import numpy as np
import torch
from PIL import Image

from peer import IMAGE_SIZE, MODELS, Decoder

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


class Pictures(torch.utils.data.Dataset):
    def __init__(self, folder):
        self.paths = sorted(glob.glob(f"{folder}/*"))

    def __len__(self):
        return len(self.paths)

    def __getitem__(self, i):
        with open(self.paths[i], "rb") as file:
            image = Image.open(file).convert("RGB").resize((IMAGE_SIZE, IMAGE_SIZE), Image.BILINEAR)
        return torch.from_numpy(np.array(image))


def make_weights(name, file):
    torch.save(MODELS[name]().state_dict(), file)


def main(name, weights, folder, output, batch, precision, threads):
    torch.set_num_threads(threads)
    model = MODELS[name]().eval()
    model.load_state_dict(torch.load(weights, weights_only=True))
    model.to(memory_format=torch.channels_last)
    held = []
    for module in model.modules():
        if isinstance(module, Decoder):
            module.register_forward_pre_hook(lambda _, inputs: held.append(inputs[0]))
    mean, std = torch.tensor(MEAN).view(1, 3, 1, 1), torch.tensor(STD).view(1, 3, 1, 1)
    pictures = Pictures(folder)
    features = []
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16, enabled=precision == "bf16"):
        for images in torch.utils.data.DataLoader(pictures, batch, num_workers=threads):
            # NHWC as decoded is channels-last already
            model((images.permute(0, 3, 1, 2) / 255 - mean) / std)
            features.append(held.pop().float().flatten(1).numpy())
    np.save(output, np.concatenate(features))
    print(json.dumps({"who": "peer", "model": name, "images": len(pictures), "version": torch.__version__}))


if __name__ == "__main__":
    if sys.argv[1] == "weights":
        make_weights(*sys.argv[2:])
    else:
        main(*sys.argv[1:5], int(sys.argv[5]), sys.argv[6], int(sys.argv[7]))
