"""In place of the reference implementation's package: CORnet-Z and RT with its module names, written for these tests.

Each function returns what the package's function of the same name does: an untrained network in DataParallel.
"""

from collections import OrderedDict

from torch import nn

AREAS = {"V1": (3, 64), "V2": (64, 128), "V4": (128, 256), "IT": (256, 512)}


def decoder():
    parts = [("avgpool", nn.AdaptiveAvgPool2d(1)), ("flatten", nn.Flatten()), ("linear", nn.Linear(512, 1000))]
    return nn.Sequential(OrderedDict([*parts, ("output", nn.Identity())]))


def area_z(name):
    kernel, stride = (7, 2) if name == "V1" else (3, 1)
    conv = nn.Conv2d(*AREAS[name], kernel, stride, padding=kernel // 2)
    parts = [("conv", conv), ("nonlin", nn.ReLU()), ("pool", nn.MaxPool2d(3, 2, 1)), ("output", nn.Identity())]
    return nn.Sequential(OrderedDict(parts))


def cornet_z():
    areas = [(name, area_z(name)) for name in AREAS]
    return nn.DataParallel(nn.Sequential(OrderedDict([*areas, ("decoder", decoder())])))


class AreaRT(nn.Module):
    def __init__(self, name):
        super().__init__()
        inputs, self.channels = AREAS[name]
        kernel, self.stride = (7, 4) if name == "V1" else (3, 2)
        self.conv_input = nn.Conv2d(inputs, self.channels, kernel, self.stride, padding=kernel // 2)
        self.norm_input = nn.GroupNorm(32, self.channels)
        self.nonlin_input = nn.ReLU()
        self.conv1 = nn.Conv2d(self.channels, self.channels, 3, padding=1, bias=False)
        self.norm1 = nn.GroupNorm(32, self.channels)
        self.nonlin1 = nn.ReLU()
        self.output = nn.Identity()

    def forward(self, x, state):
        x = self.nonlin_input(self.norm_input(self.conv_input(x)))
        return self.recur(x if state is None else x + state)

    def recur(self, x):
        return self.output(self.nonlin1(self.norm1(self.conv1(x))))


class RT(nn.Module):
    def __init__(self, times):
        super().__init__()
        self.times = times
        for name in AREAS:
            self.add_module(name, AreaRT(name))
        self.decoder = decoder()

    def forward(self, images):
        before = [None] * len(AREAS)
        for t in range(self.times):
            outputs, size = [], images.shape[-1]
            for i, name in enumerate(AREAS):
                area = getattr(self, name)
                size = -(-size // area.stride)
                if t == 0 and i > 0:  # nothing has arrived yet
                    outputs.append(area.recur(images.new_zeros(len(images), area.channels, size, size)))
                else:
                    outputs.append(area(before[i - 1] if i > 0 else images, before[i]))
            before = outputs
        return self.decoder(before[-1])


def cornet_rt(times=5):
    return nn.DataParallel(RT(times))
