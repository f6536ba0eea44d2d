"""What the bus gives: a vector of CORnet-S between memory and the GPU, pageable and pinned.

    bandwidth.py DEVICE
"""

import statistics
import sys
import time

import torch

BYTES = 213_700_000
ROUNDS = 7


def milliseconds(copy):
    times = []
    for _ in range(ROUNDS):
        torch.cuda.synchronize()
        start = time.perf_counter()
        copy()
        torch.cuda.synchronize()
        times.append(1000 * (time.perf_counter() - start))
    return statistics.median(times)


def main(device):
    gpu = torch.empty(BYTES, dtype=torch.uint8, device=device)
    pageable = torch.zeros(BYTES, dtype=torch.uint8)
    other = torch.zeros(BYTES, dtype=torch.uint8)
    pinned = torch.zeros(BYTES, dtype=torch.uint8).pin_memory()
    ways = {
        "pageable to the GPU": lambda: gpu.copy_(pageable),
        "the GPU to pageable": lambda: pageable.copy_(gpu),
        "pinned to the GPU": lambda: gpu.copy_(pinned, non_blocking=True),
        "the GPU to pinned": lambda: pinned.copy_(gpu, non_blocking=True),
        f"memory to memory, {torch.get_num_threads()} threads": lambda: other.copy_(pageable),
    }
    for what, copy in ways.items():
        took = milliseconds(copy)
        print(f"| PyTorch: {what} | {took:.1f} ms | {BYTES / took / 1e6:.1f} GB/s |", flush=True)


if __name__ == "__main__":
    main(sys.argv[1])
