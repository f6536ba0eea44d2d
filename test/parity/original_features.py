"""Every output of the four CORnets, call by call, in plain PyTorch: what features are compared with.

    original_features.py golden MODEL GOLDEN WEIGHTS    are these models the original's? compares with its golden numbers
    original_features.py train MODEL GOLDEN WEIGHTS     likewise of four steps of training: losses, gradients, weights
    original_features.py compare MODEL TIMES WEIGHTS FEATURES PIXELS
        compares FEATURES/CORnet-MODEL_*_feats.npy, row by row, with what PyTorch makes of the images in PIXELS/<name>.resize224.npy,
        or of clips whose frames they are

Prints one line of JSON: the relative L2 difference of each output (golden) or of each row, its worst output (compare).
"""

import glob
import json
import sys
import zlib

import numpy as np
import torch
import torch.nn.functional as F

AREAS = ("V1", "V2", "V4", "IT")
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


class Run:
    """One forward pass over a state dict; `calls[name]` are the values of a module, one for each time it is called."""

    def __init__(self, state, training=False):
        self.state, self.calls, self.training = state, {}, training

    def tap(self, name, value):
        self.calls.setdefault(name, []).append(value.clone())
        return value

    def conv(self, name, x, stride=1):
        weight = self.state[f"{name}.weight"]
        bias = self.state.get(f"{name}.bias")
        return self.tap(name, F.conv2d(x, weight, bias, stride, padding=weight.shape[-1] // 2))

    def group_norm(self, name, x):
        return self.tap(name, F.group_norm(x, 32, self.state[f"{name}.weight"], self.state[f"{name}.bias"]))

    def batch_norm(self, name, x):
        s = self.state
        mean, var = s[f"{name}.running_mean"], s[f"{name}.running_var"]
        return self.tap(name, F.batch_norm(x, mean, var, s[f"{name}.weight"], s[f"{name}.bias"], self.training))

    def relu(self, name, x):
        return self.tap(name, F.relu(x))

    def pool(self, name, x):
        return self.tap(name, F.max_pool2d(x, 3, 2, 1))

    def decoder(self, x):
        x = self.tap("decoder.avgpool", F.adaptive_avg_pool2d(x, 1))
        x = self.tap("decoder.flatten", x.flatten(1))
        x = F.linear(x, self.state["decoder.linear.weight"], self.state["decoder.linear.bias"])
        return self.tap("decoder.output", self.tap("decoder.linear", x))


def cornet_z(run, x, _):
    for area in AREAS:
        x = run.conv(f"{area}.conv", x, 2 if area == "V1" else 1)
        x = run.pool(f"{area}.pool", run.relu(f"{area}.nonlin", x))
        run.tap(f"{area}.output", x)
    run.decoder(x)


def unrolled(same_step):
    """R or RT: `images` is [n, 3, s, s], or [times, n, 3, s, s] with a frame for each time step."""

    def forward(run, images, times):
        strides, channels = (4, 2, 2, 2), (64, 128, 256, 512)
        before = [None] * 4
        for t in range(times):
            frame = images[t] if images.dim() == 5 else images
            outputs, size = [], frame.shape[-1]
            for i, area in enumerate(AREAS):
                size = -(-size // strides[i])
                source = frame if i == 0 else None if t == 0 else (outputs if same_step else before)[i - 1]
                if source is None:
                    x = frame.new_zeros(len(frame), channels[i], size, size)
                else:
                    x = run.conv(f"{area}.conv_input", source, strides[i])
                    x = run.relu(f"{area}.nonlin_input", run.group_norm(f"{area}.norm_input", x))
                x = x if before[i] is None else x + before[i]
                x = run.group_norm(f"{area}.norm1", run.conv(f"{area}.conv1", x))
                outputs.append(run.tap(f"{area}.output", run.relu(f"{area}.nonlin1", x)))
            before = outputs
        run.decoder(before[-1])

    return forward


def cornet_s(run, x, _):
    x = run.relu("V1.nonlin1", run.batch_norm("V1.norm1", run.conv("V1.conv1", x, 2)))
    x = run.conv("V1.conv2", run.pool("V1.pool", x))
    x = run.tap("V1.output", run.relu("V1.nonlin2", run.batch_norm("V1.norm2", x)))
    for area, times in (("V2", 2), ("V4", 4), ("IT", 2)):
        x = run.conv(f"{area}.conv_input", x)
        for t in range(times):
            skip = x
            if t == 0:
                skip = run.batch_norm(f"{area}.norm_skip", run.conv(f"{area}.skip", x, 2))
            for layer, stride in ((1, 1), (2, 2 if t == 0 else 1), (3, 1)):
                x = run.batch_norm(f"{area}.norm{layer}_{t}", run.conv(f"{area}.conv{layer}", x, stride))
                x = run.relu(f"{area}.nonlin{layer}", x + skip if layer == 3 else x)
            run.tap(f"{area}.output", x)
    run.decoder(x)


MODELS = {"Z": cornet_z, "R": unrolled(True), "RT": unrolled(False), "S": cornet_s}


def calls_of(name, state, images, times):
    run = Run(state)
    with torch.no_grad():
        MODELS[name](run, images, times)
    return run.calls


def difference(ours, theirs):
    """Relative L2; two values that are both zero everywhere do not differ."""
    size = np.linalg.norm(theirs)
    return float(np.linalg.norm(ours - theirs) / size) if size > 0 else float(np.linalg.norm(ours))


def formula(name, count, salt=0):
    """The closed formula of the golden fixtures."""
    k = np.arange(count, dtype=np.uint32)
    x = (k * np.uint32(0x9E3779B1)) ^ np.uint32(zlib.crc32(name.encode()) ^ salt)
    x = (x ^ (x >> np.uint32(16))) * np.uint32(0x7FEB352D)
    x = (x ^ (x >> np.uint32(15))) * np.uint32(0x846CA68B)
    return (x ^ (x >> np.uint32(16))).astype(np.float64) / 2**31 - 1


def formula_images(expected):
    n, size = expected["batch"], expected["image_size"]
    images = formula("images", n * 3 * size * size).astype(np.float32) * 2
    return torch.from_numpy(images).reshape(n, 3, size, size)


def train(model, path, state):
    """The worst difference of each kind: relative, single elements against the typical size of their tensor."""
    expected = json.load(open(path))
    images, labels = formula_images(expected), torch.tensor([37 * i + 11 for i in range(expected["batch"])])
    parameters = {name: state[name].requires_grad_() for name in expected["train_gradient_l2"]}
    optimizer = torch.optim.SGD(parameters.values(), **expected["optimizer"])
    worst = dict.fromkeys(["first loss", "later loss", "norm", "element", "later norm", "later element"], 0.0)

    def compare(kind, values, l2, first4):
        values = values.detach().flatten().double().numpy()
        typical = l2 / len(values) ** 0.5 + 1e-6  # what is left of a gradient of zero
        size = np.linalg.norm(values)
        worst[f"{kind}norm"] = max(worst[f"{kind}norm"], abs(size - l2) / max(l2, 1e-6))
        elements = np.abs(values[:4] - first4) / np.maximum(np.abs(first4), typical)
        worst[f"{kind}element"] = max(worst[f"{kind}element"], float(elements.max()))

    for step, theirs in enumerate(expected["train_losses"]):
        run = Run(state, training=True)
        MODELS[model](run, images, expected["times"] or 1)
        loss = F.cross_entropy(run.calls["decoder.output"][0], labels)
        kind = "later loss" if step else "first loss"
        worst[kind] = max(worst[kind], abs(loss.item() - theirs) / theirs)
        optimizer.zero_grad()
        loss.backward()
        if step == 0:
            for name, l2 in expected["train_gradient_l2"].items():
                gradient = parameters[name].grad
                assert (gradient is None) == (l2 is None), name
                if l2 is not None:
                    compare("", gradient, l2, expected["train_gradient_first4"][name])
        optimizer.step()
    for name, theirs in expected["after_training"].items():
        compare("later ", state[name], theirs["l2"], theirs["first4"])
    return worst


def golden(model, path, weights):
    expected = json.load(open(path))
    calls = calls_of(model, weights, formula_images(expected), expected["times"] or 1)
    calls["logits"] = calls["decoder.output"]
    summaries = {**expected["eval"]["taps"], "logits": [expected["eval"]["logits"]]}
    worst = {}
    for name, steps in summaries.items():
        assert len(steps) == len(calls[name]), name
        for t, summary in enumerate(steps):
            values = calls[name][t].flatten().double().numpy()
            assert list(calls[name][t].shape) == summary["shape"], name
            stride = max(1, len(values) // 8)
            sampled = np.concatenate([values[:8], values[::stride][:8], [np.linalg.norm(values)]])
            theirs = np.concatenate([summary["first"], summary["strided"], [summary["l2"]]])
            # against the whole tensor's size: of few values all may be near zero
            scale = summary["l2"] * np.sqrt(16 / len(values))
            worst[f"{name}-{t}"] = max(
                float(np.linalg.norm(sampled[:16] - theirs[:16]) / scale), difference(sampled[16:], theirs[16:])
            )
    return worst


def normalized(pixels):
    """uint8 [n, s, s, 3] as the input of a network."""
    images = (pixels.astype(np.float32) / 255 - np.float32(MEAN)) / np.float32(STD)
    return torch.from_numpy(images.transpose(0, 3, 1, 2).copy())


def compare(model, times, weights, features, pixels):
    description = json.load(open(sorted(glob.glob(f"{features}/CORnet-{model}_*.json"))[0]))
    names = description["files"]
    load = lambda files: normalized(np.stack([np.load(f"{pixels}/{file}.resize224.npy") for file in files]))
    if "frames" in description:
        images = torch.stack([load(files) for files in zip(*description["frames"])])
        assert len(images) == times
    else:
        images = load(names)
    calls = calls_of(model, weights, images, times)
    worst = {name: {"difference": -1} for name in names}
    compared = 0
    for path in sorted(glob.glob(f"{features}/*.json")):
        (array,) = json.load(open(path))["arrays"]
        values = np.load(path.replace(".json", ".npy"))
        theirs = calls[f"{array['layer']}.{array['sublayer']}"]
        theirs = theirs[array["call"]].numpy().reshape(len(names), -1)
        assert values.shape == theirs.shape, path
        compared += 1
        for row, name in enumerate(names):
            d = difference(values[row].astype(np.float64), theirs[row].astype(np.float64))
            if d > worst[name]["difference"]:
                worst[name] = {"difference": d, "output": array["tap"]}
    assert compared == sum(map(len, calls.values())), "every call of every module has a file"
    return {"outputs": compared, "images": worst}


if __name__ == "__main__":
    command, model, *rest = sys.argv[1:]
    from safetensors.torch import load_file

    if command == "golden":
        path, weights = rest
        print(json.dumps(golden(model, path, load_file(weights))))
    elif command == "train":
        path, weights = rest
        print(json.dumps(train(model, path, load_file(weights))))
    else:
        times, weights, features, pixels = rest
        print(json.dumps(compare(model, int(times), load_file(weights), features, pixels)))
