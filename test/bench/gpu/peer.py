"""The peers on a GPU: a CORnet in PyTorch, as the original trains it and as fast as PyTorch goes.

    peer.py MODEL DEVICE [VARIANT:BATCH:STEPS ...]
    peer.py MODEL DEVICE profile:BATCH        where the time of `channels-last` goes, by kernel

eager          as run.py: fp32, NCHW, PyTorch's own settings; each step's float32 images come from pinned memory, and
               loss and right answers are read at every step
channels-last  tuned eager: bf16 autocast, channels-last, fused SGD, cuDNN's benchmark, TensorFloat-32 where it applies;
               the images are on the GPU already, and nothing is read before the end
contiguous     the same in NCHW
norm16-…       either with group norms in bf16, which autocast keeps in fp32
compiled       channels-last under torch.compile
graphs         compiled with mode="reduce-overhead", that is CUDA graphs

One process for all variants, one line of JSON for each: the median of the steps (eager), the mean over all of them
(others); the most memory that PyTorch held in it.
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
    torch.backends.cudnn.benchmark = False
    torch.set_float32_matmul_precision("highest")
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


class Norm16(nn.GroupNorm):
    def forward(self, x):
        with torch.autocast(x.device.type, enabled=False):
            return nn.functional.group_norm(
                x.bfloat16(), self.num_groups, self.weight.bfloat16(), self.bias.bfloat16(), self.eps
            )


def with_norms_in_bf16(model):
    for module in model.modules():
        if isinstance(module, nn.GroupNorm):
            module.__class__ = Norm16
    return model


def tuned_step(name, batch, device, memory_format, wrap):
    """A step as PyTorch's tuning guide has it."""
    torch.backends.cudnn.benchmark = True
    torch.set_float32_matmul_precision("high")
    model = MODELS[name]().to(device).to(memory_format=memory_format)
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-4, momentum=0.9, weight_decay=1e-4, fused=True)
    images = torch.randn(batch, 3, IMAGE_SIZE, IMAGE_SIZE, device=device).to(memory_format=memory_format)
    labels = torch.randint(1000, (batch,), device=device)
    wrapped = wrap(model)

    def step():
        with torch.autocast(device.type, torch.bfloat16):
            loss = nn.functional.cross_entropy(wrapped(images), labels)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    return step


def tuned(name, batch, steps, device, memory_format=torch.channels_last, wrap=lambda model: model):
    step = tuned_step(name, batch, device, memory_format, wrap)
    for _ in range(WARM_UP):
        step()
    synchronize(device)
    start = time.perf_counter()
    for _ in range(steps):
        step()
    synchronize(device)
    return (time.perf_counter() - start) / steps


VARIANTS = {
    "eager": eager,
    "channels-last": tuned,
    "contiguous": lambda *what: tuned(*what, memory_format=torch.contiguous_format),
    "norm16-channels-last": lambda *what: tuned(*what, wrap=with_norms_in_bf16),
    "norm16-contiguous": lambda *what: tuned(
        *what, memory_format=torch.contiguous_format, wrap=with_norms_in_bf16
    ),
    "compiled": lambda *what: tuned(*what, wrap=torch.compile),
    "graphs": lambda *what: tuned(*what, wrap=lambda model: torch.compile(model, mode="reduce-overhead")),
}


def profile(name, batch, device):
    step = tuned_step(name, batch, device, torch.channels_last, lambda model: model)
    for _ in range(WARM_UP):
        step()
    synchronize(device)
    activities = [torch.profiler.ProfilerActivity.CPU]
    if device.type == "cuda":
        activities = [torch.profiler.ProfilerActivity.CUDA]
    with torch.profiler.profile(activities=activities) as result:
        step()
        synchronize(device)
    key = "self_device_time_total" if device.type == "cuda" else "self_cpu_time_total"
    rows = sorted(result.key_averages(), key=lambda row: -getattr(row, key))[:24]
    total = sum(getattr(row, key) for row in result.key_averages())
    for row in rows:
        share = getattr(row, key) / total
        print(f"{1e-3 * getattr(row, key):9.2f} ms {100 * share:5.1f} % {row.count:5d} x  {row.key[:150]}")


def measure(variant, name, batch, steps, device):
    torch.manual_seed(0)
    torch.compiler.reset()
    if device.type == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
    row = {"variant": variant, "batch": batch, "version": torch.__version__}
    try:
        seconds = VARIANTS[variant](name, batch, steps, device)
        held = torch.cuda.max_memory_reserved() if device.type == "cuda" else 0
        row |= {"secondsPerStep": seconds, "imagesPerSecond": batch / seconds, "megabytes": held / 2**20}
    except Exception as error:  # noqa: BLE001: the next variant may work
        row |= {"failed": str(error).splitlines()[0][:160]}
    print(json.dumps(row), flush=True)


def main(name, device, *what):
    device = torch.device(device)
    for text in what:
        variant, *numbers = text.split(":")
        if variant == "profile":
            profile(name, int(numbers[0]), device)
        else:
            measure(variant, name, int(numbers[0]), int(numbers[1]), device)


if __name__ == "__main__":
    main(*sys.argv[1:])
