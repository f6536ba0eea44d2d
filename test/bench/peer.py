"""The peer: the four CORnets in eager PyTorch, and a timer of bare training steps.

    peer.py MODEL BATCH STEPS PRECISION THREADS [plain|tuned]

plain   as run.py does it: NCHW
tuned   channels-last weights and images, besides what the caller's environment sets of malloc

bf16 is autocast's; SGD is PyTorch's default implementation. A bare step is forward, backward and SGD on synthetic images that are in memory already. Prints one line of JSON.
"""

import json
import resource
import statistics
import sys
import time

import torch
from torch import nn


class AreaZ(nn.Sequential):
    def __init__(self, inputs, channels, kernel=3, stride=1):
        super().__init__(
            nn.Conv2d(inputs, channels, kernel, stride, padding=kernel // 2),
            nn.ReLU(inplace=True),
            nn.MaxPool2d(3, stride=2, padding=1),
        )


class Decoder(nn.Module):
    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(512, 1000)

    def forward(self, x):
        return self.linear(x.mean((2, 3)))


class Z(nn.Sequential):
    def __init__(self):
        super().__init__(AreaZ(3, 64, 7, 2), AreaZ(64, 128), AreaZ(128, 256), AreaZ(256, 512), Decoder())


class AreaR(nn.Module):
    def __init__(self, inputs, channels, kernel, stride):
        super().__init__()
        self.channels, self.stride = channels, stride
        self.conv_input = nn.Conv2d(inputs, channels, kernel, stride, padding=kernel // 2)
        self.norm_input = nn.GroupNorm(32, channels)
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.norm1 = nn.GroupNorm(32, channels)

    def forward(self, x, state):
        x = torch.relu_(self.norm_input(self.conv_input(x)))
        return self.recur(x if state is None else x + state)

    def recur(self, x):
        return torch.relu_(self.norm1(self.conv1(x)))


class Unrolled(nn.Module):
    """R passes outputs on within a time step, RT to the next one."""

    def __init__(self, times, same_step):
        super().__init__()
        self.times, self.same_step = times, same_step
        self.areas = nn.ModuleList(
            [AreaR(3, 64, 7, 4), AreaR(64, 128, 3, 2), AreaR(128, 256, 3, 2), AreaR(256, 512, 3, 2)]
        )
        self.decoder = Decoder()

    def forward(self, images):
        n, _, size, _ = images.shape
        outputs = []
        for area in self.areas:
            size = -(-size // area.stride)
            zeros = images.new_zeros(n, area.channels, size, size)
            outputs.append(area.recur(zeros) if outputs else area(images, None))
        for _ in range(1, self.times):
            before, outputs = outputs, []
            for i, area in enumerate(self.areas):
                source = images if i == 0 else (outputs if self.same_step else before)[i - 1]
                outputs.append(area(source, before[i]))
        return self.decoder(outputs[-1])


class AreaS(nn.Module):
    def __init__(self, inputs, channels, times):
        super().__init__()
        wide = 4 * channels
        self.conv_input = nn.Conv2d(inputs, channels, 1, bias=False)
        self.skip = nn.Conv2d(channels, channels, 1, stride=2, bias=False)
        self.norm_skip = nn.BatchNorm2d(channels)
        self.conv1 = nn.Conv2d(channels, wide, 1, bias=False)
        self.conv2 = nn.Conv2d(wide, wide, 3, stride=2, padding=1, bias=False)
        self.conv3 = nn.Conv2d(wide, channels, 1, bias=False)
        self.norms = nn.ModuleList(
            nn.ModuleList([nn.BatchNorm2d(wide), nn.BatchNorm2d(wide), nn.BatchNorm2d(channels)])
            for _ in range(times)
        )

    def forward(self, x):
        x = self.conv_input(x)
        for t, (norm1, norm2, norm3) in enumerate(self.norms):
            skip = self.norm_skip(self.skip(x)) if t == 0 else x
            x = torch.relu_(norm1(self.conv1(x)))
            x = nn.functional.conv2d(x, self.conv2.weight, stride=2 if t == 0 else 1, padding=1)
            x = torch.relu_(norm2(x))
            x = norm3(self.conv3(x))
            x += skip
            x = torch.relu_(x)
        return x


class S(nn.Sequential):
    def __init__(self):
        super().__init__(
            nn.Conv2d(3, 64, 7, stride=2, padding=3, bias=False),
            nn.BatchNorm2d(64),
            nn.ReLU(inplace=True),
            nn.MaxPool2d(3, stride=2, padding=1),
            nn.Conv2d(64, 64, 3, padding=1, bias=False),
            nn.BatchNorm2d(64),
            nn.ReLU(inplace=True),
            AreaS(64, 128, 2),
            AreaS(128, 256, 4),
            AreaS(256, 512, 2),
            Decoder(),
        )


MODELS = {"Z": Z, "R": lambda: Unrolled(5, True), "RT": lambda: Unrolled(5, False), "S": S}
IMAGE_SIZE = 224
WARM_UP = 2


def main(name, batch, steps, precision, threads, variant="plain"):
    torch.manual_seed(0)
    torch.set_num_threads(threads)
    memory_format = {"plain": torch.contiguous_format, "tuned": torch.channels_last}[variant]
    model = MODELS[name]().to(memory_format=memory_format)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9, weight_decay=1e-4)
    images = torch.randn(batch, 3, IMAGE_SIZE, IMAGE_SIZE).contiguous(memory_format=memory_format)
    labels = torch.randint(1000, (batch,))
    seconds = []
    for _ in range(WARM_UP + steps):
        start = time.perf_counter()
        with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bf16"):
            logits = model(images)
        loss = nn.functional.cross_entropy(logits.float(), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        loss.item()
        seconds.append(time.perf_counter() - start)
    median = statistics.median(seconds[WARM_UP:])
    print(
        json.dumps(
            {
                "who": "peer",
                "model": name,
                "variant": variant,
                "batch": batch,
                "precision": precision,
                "threads": threads,
                "steps": steps,
                "secondsPerStep": median,
                "imagesPerSecond": batch / median,
                "peakMegabytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
                "version": torch.__version__,
            }
        )
    )


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4], int(sys.argv[5]), *sys.argv[6:])
