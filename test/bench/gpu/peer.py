"""The peers on a card: the CORnets in PyTorch, as the original trains them and as fast as PyTorch goes.

    peer.py VARIANT MODEL BATCH STEPS DEVICE

eager: fp32, NCHW, SGD and PyTorch's own settings; each step's float32 images come from pinned memory, and loss and right
answers are read at every step, as in the original's run.py.
tuned: torch.compile, bfloat16 autocast, channels-last, fused SGD, cuDNN's benchmark, TensorFloat-32 where it applies; the
images are on the card already, and nothing is read before the end.

Prints one line of JSON: the median of the steps (eager), the mean over all of them (tuned); what is in use of the card's
memory afterwards, by whomever.
"""

import json
import pathlib
import statistics
import sys
import time

import torch
from torch import nn

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
from peer import IMAGE_SIZE, MODELS  # noqa: E402

WARM_UP = 5


def synchronize(device):
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def eager(name, batch, steps, device):
    model = MODELS[name]().to(device)
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-4, momentum=0.9, weight_decay=1e-4)
    images = torch.randn(batch, 3, IMAGE_SIZE, IMAGE_SIZE)
    labels = torch.randint(1000, (batch,))
    if device.type == "cuda":
        images, labels = images.pin_memory(), labels.pin_memory()
    seconds = []
    for _ in range(WARM_UP + steps):
        start = time.perf_counter()
        target = labels.to(device, non_blocking=True)
        logits = model(images.to(device, non_blocking=True))
        loss = nn.functional.cross_entropy(logits, target)
        loss.item()
        (logits.argmax(1) == target).sum().item()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        synchronize(device)
        seconds.append(time.perf_counter() - start)
    return statistics.median(seconds[WARM_UP:])


def tuned(name, batch, steps, device):
    torch.backends.cudnn.benchmark = True
    torch.set_float32_matmul_precision("high")
    model = MODELS[name]().to(device).to(memory_format=torch.channels_last)
    # PyTorch 1.13 to 2.3 have no fused SGD for every device.
    fused = {"fused": True} if "fused" in torch.optim.SGD.__init__.__code__.co_varnames else {}
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-4, momentum=0.9, weight_decay=1e-4, **fused)
    images = torch.randn(batch, 3, IMAGE_SIZE, IMAGE_SIZE, device=device).to(memory_format=torch.channels_last)
    labels = torch.randint(1000, (batch,), device=device)
    compiled = torch.compile(model)

    def step():
        with torch.autocast(device.type, torch.bfloat16):
            loss = nn.functional.cross_entropy(compiled(images), labels)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    for _ in range(WARM_UP):
        step()
    synchronize(device)
    start = time.perf_counter()
    for _ in range(steps):
        step()
    synchronize(device)
    return (time.perf_counter() - start) / steps


def main(variant, name, batch, steps, device):
    torch.manual_seed(0)
    device = torch.device(device)
    seconds = {"eager": eager, "tuned": tuned}[variant](name, batch, steps, device)
    used = 0
    if device.type == "cuda":
        free, total = torch.cuda.mem_get_info(device)
        used = total - free
    versions = {"torch": torch.__version__, "cuda": torch.version.cuda, "cudnn": torch.backends.cudnn.version()}
    row = {"who": variant, "model": name, "batch": batch, "steps": steps, "versions": versions}
    row |= {"secondsPerStep": seconds, "imagesPerSecond": batch / seconds, "peakMegabytes": used / 2**20}
    print(json.dumps(row))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4]), sys.argv[5])
