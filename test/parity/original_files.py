"""Files of the original, made and read by PyTorch alone: knows run.py's format and nothing of cornet-ts.

    original_files.py read ORIGINAL SAFETENSORS   compares an exported checkpoint with the one it was made of
    original_files.py write SAFETENSORS FOLDER    saves a state in every form that torch.save has had
"""

import sys
from argparse import Namespace
from collections import Counter, OrderedDict
from pathlib import Path

import numpy
import torch
from safetensors.torch import load_file
from torch import nn

MOMENTUM = "optimizer.momentum_buffer."
BUFFERS = ("running_mean", "running_var", "num_batches_tracked")


def module_of(state):
    """A module with the parameters and buffers of a state dict, registered in its order."""
    root = nn.Module()
    for name, value in state.items():
        *path, leaf = name.split(".")
        place = root
        for part in path:
            if part not in place._modules:
                place.add_module(part, nn.Module())
            place = place._modules[part]
        if leaf in BUFFERS:
            place.register_buffer(leaf, torch.zeros_like(value))
        else:
            place.register_parameter(leaf, nn.Parameter(torch.zeros_like(value)))
    return root


def split(path):
    entries = load_file(path)
    momentum = {name[len(MOMENTUM):]: value for name, value in entries.items() if name.startswith(MOMENTUM)}
    return {name: value for name, value in entries.items() if not name.startswith(MOMENTUM)}, momentum


def read(original, safetensors):
    data = torch.load(original)  # weights_only where that is the default
    weights, momentum = split(safetensors)
    model = nn.DataParallel(module_of({name[len("module."):]: v for name, v in data["state_dict"].items()}))
    optimizer = torch.optim.SGD(model.parameters(), data["flags"]["lr"], momentum=0.5)
    model.load_state_dict(data["state_dict"], strict=True)
    optimizer.load_state_dict(data["optimizer"])
    assert optimizer.param_groups[0]["momentum"] == data["flags"]["momentum"]
    assert data["epoch"] == 1 and len(weights) == len(data["state_dict"])
    for name, value in model.module.state_dict().items():
        assert torch.equal(value, weights[name]), name
    for name, parameter in model.module.named_parameters():
        assert torch.equal(optimizer.state[parameter]["momentum_buffer"], momentum[name]), name
        parameter.grad = torch.ones_like(parameter)
    optimizer.step()
    module_of(weights).load_state_dict(weights, strict=True)  # the safetensors file by itself


def write(safetensors, folder):
    weights, momentum = split(safetensors)
    model = nn.DataParallel(module_of(OrderedDict((name, weights[name]) for name in ORDER)))
    model.module.load_state_dict(weights, strict=True)
    optimizer = torch.optim.SGD(model.parameters(), 0.1, momentum=0.9, weight_decay=1e-4)
    for name, parameter in model.module.named_parameters():
        optimizer.state[parameter]["momentum_buffer"] = momentum[name]
    data = {"flags": {"model": "S"}, "epoch": 3, "state_dict": model.state_dict(), "optimizer": optimizer.state_dict()}
    torch.save(data, f"{folder}/zip.pth.tar")
    torch.save(data, f"{folder}/legacy.pth.tar", _use_new_zipfile_serialization=False)
    torch.save(data, f"{folder}/protocol5.pth.tar", pickle_protocol=5)

    # Before PyTorch 1.6 the optimizer's state was keyed by the parameters' addresses.
    old = data["optimizer"]
    group = old["param_groups"][0]
    address = {number: 140735000000000 + 64 * ((number * 7919) % 104729) for number in group["params"]}
    data["optimizer"] = {
        "state": {address[number]: value for number, value in reversed(old["state"].items())},
        "param_groups": [{**group, "params": [address[number] for number in group["params"]]}],
    }
    torch.save(data, f"{folder}/addresses.pth.tar", _use_new_zipfile_serialization=False)

    def changed(change):
        return {name: change(v) if v.is_floating_point() else v for name, v in weights.items()}

    torch.save(changed(lambda v: v.double()), f"{folder}/float64.pth")
    torch.save(changed(lambda v: v.half()), f"{folder}/float16.pth")
    torch.save(changed(lambda v: v.bfloat16()), f"{folder}/bfloat16.pth")
    torch.save(changed(lambda v: v.contiguous(memory_format=torch.channels_last) if v.dim() == 4 else v), f"{folder}/channels_last.pth")
    torch.save(module_of(weights), f"{folder}/module.pth")

    compiled = {name.replace(".", "._orig_mod.", 1): value for name, value in weights.items()}
    company = [torch.Size([1]), torch.float32, torch.device("cpu"), {1}, b"a", 1j, Counter("ab"), Namespace(a=1), Path("x"), numpy.float64(1), numpy.arange(3)]
    company += [torch.zeros(2, dtype=kind) for kind in (torch.complex64, torch.complex128)]
    company += [torch.quantize_per_tensor(torch.ones(3), 0.1, 0, torch.qint8), torch.eye(2).to_sparse()]
    for form in (True, False):
        torch.save([{"extra": company, "net": compiled}], f"{folder}/company_{form}.pth", _use_new_zipfile_serialization=form)
    for name, value in weights.items():
        weights[name] = value.clone()
        weights[name].tag = "x"
    torch.save(weights, f"{folder}/tagged.pth")
    flat = torch.cat([v.flatten() for v in weights.values() if v.is_floating_point()])
    pieces, begin = {}, 0
    for name, value in weights.items():
        if value.is_floating_point():
            pieces[name] = flat[begin:begin + value.numel()].view(value.shape)
            begin += value.numel()
    torch.save({**weights, **pieces}, f"{folder}/shared.pth")


if __name__ == "__main__":
    command, *arguments = sys.argv[1:]
    if command == "read":
        read(*arguments)
    else:
        *arguments, order = arguments
        ORDER = order.split(",")
        write(*arguments)
