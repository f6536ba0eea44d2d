"""The networks of the CORnet family (Kubilius et al. 2018 and 2019), with the names of the published state dicts.

Whatever a hook sees is what was computed there: nothing works in place. An area's `output` is called once at each of
its time steps.
"""

from collections import OrderedDict

from torch import nn

# Input and output channels.
AREAS = {"V1": (3, 64), "V2": (64, 128), "V4": (128, 256), "IT": (256, 512)}


def build_network(model, times, outputs):
    """model: Z, R, RT or S; times: steps to unroll R and RT for; outputs: of the decoder."""
    if model == "Z":
        areas = [(name, area_z(name)) for name in AREAS]
    elif model == "S":
        steps = {"V2": 2, "V4": 4, "IT": 2}
        areas = [("V1", first_area_s()), *((name, AreaS(*AREAS[name], steps[name])) for name in steps)]
    else:
        return Unrolled(times, outputs, same_step=model == "R")
    return nn.Sequential(OrderedDict([*areas, ("decoder", decoder(outputs))]))


def decoder(outputs):
    return sequence(
        avgpool=nn.AdaptiveAvgPool2d(1),
        flatten=nn.Flatten(),
        linear=nn.Linear(AREAS["IT"][1], outputs),
        output=nn.Identity(),
    )


def sequence(**modules):
    return nn.Sequential(OrderedDict(modules))


def conv(inputs, channels, kernel, stride=1, bias=False):
    return nn.Conv2d(inputs, channels, kernel, stride, padding=kernel // 2, bias=bias)


def area_z(name):
    kernel, stride = (7, 2) if name == "V1" else (3, 1)
    return sequence(
        conv=conv(*AREAS[name], kernel, stride, bias=True),
        nonlin=nn.ReLU(),
        pool=nn.MaxPool2d(3, stride=2, padding=1),
        output=nn.Identity(),
    )


class AreaR(nn.Module):
    """An area of R and RT: one recurrent convolution."""

    def __init__(self, name):
        super().__init__()
        inputs, channels = AREAS[name]
        kernel, stride = (7, 4) if name == "V1" else (3, 2)
        self.stride = stride
        self.conv_input = conv(inputs, channels, kernel, stride, bias=True)
        self.norm_input = nn.GroupNorm(32, channels)
        self.nonlin_input = nn.ReLU()
        self.conv1 = conv(channels, channels, 3)
        self.norm1 = nn.GroupNorm(32, channels)
        self.nonlin1 = nn.ReLU()
        self.output = nn.Identity()

    def forward(self, below, state, empty):
        """below: None where nothing has arrived yet, which counts as `empty`; state: the output of the step before."""
        x = empty if below is None else self.nonlin_input(self.norm_input(self.conv_input(below)))
        if state is not None:
            x = x + state
        return self.output(self.nonlin1(self.norm1(self.conv1(x))))


class Unrolled(nn.Module):
    """R and RT. An area reads what the one below made in the same time step (R) or in the one before (RT).

    In the first step of both, the image arrives in V1 alone.
    """

    def __init__(self, times, outputs, same_step):
        super().__init__()
        self.times = times
        self.same_step = same_step
        for name in AREAS:
            self.add_module(name, AreaR(name))
        self.decoder = decoder(outputs)

    def forward(self, images):
        states = dict.fromkeys(AREAS)
        for t in range(self.times):
            made, below = {}, images
            height, width = images.shape[-2:]
            for name, (_, channels) in AREAS.items():
                area = getattr(self, name)
                height, width = -(-height // area.stride), -(-width // area.stride)
                empty = images.new_zeros(len(images), channels, height, width)
                made[name] = area(below, states[name], empty)
                below = made[name] if self.same_step and t > 0 else states[name]
            states = made
        return self.decoder(states["IT"])


def first_area_s():
    inputs, channels = AREAS["V1"]
    return sequence(
        conv1=conv(inputs, channels, 7, stride=2),
        norm1=nn.BatchNorm2d(channels),
        nonlin1=nn.ReLU(),
        pool=nn.MaxPool2d(3, stride=2, padding=1),
        conv2=conv(channels, channels, 3),
        norm2=nn.BatchNorm2d(channels),
        nonlin2=nn.ReLU(),
        output=nn.Identity(),
    )


class AreaS(nn.Module):
    """An area of S: a bottleneck whose convolutions are the same at each time step, and whose norms are not."""

    def __init__(self, inputs, channels, times):
        super().__init__()
        self.times = times
        wide = 4 * channels
        self.conv_input = conv(inputs, channels, 1)
        self.skip = conv(channels, channels, 1, stride=2)
        self.norm_skip = nn.BatchNorm2d(channels)
        self.conv1 = conv(channels, wide, 1)
        self.nonlin1 = nn.ReLU()
        self.conv2 = conv(wide, wide, 3, stride=2)
        self.nonlin2 = nn.ReLU()
        self.conv3 = conv(wide, channels, 1)
        self.nonlin3 = nn.ReLU()
        self.output = nn.Identity()
        for t in range(times):
            self.add_module(f"norm1_{t}", nn.BatchNorm2d(wide))
            self.add_module(f"norm2_{t}", nn.BatchNorm2d(wide))
            self.add_module(f"norm3_{t}", nn.BatchNorm2d(channels))

    def forward(self, images):
        x = self.conv_input(images)
        for t in range(self.times):
            first = t == 0
            skip = self.norm_skip(self.skip(x)) if first else x
            self.conv2.stride = (2, 2) if first else (1, 1)  # the image is halved once
            x = self.nonlin1(getattr(self, f"norm1_{t}")(self.conv1(x)))
            x = self.nonlin2(getattr(self, f"norm2_{t}")(self.conv2(x)))
            x = self.output(self.nonlin3(getattr(self, f"norm3_{t}")(self.conv3(x)) + skip))
        return x
