"""What PyTorch makes of recipes: SGD and AdamW with schedulers and parameter groups, clipping, and CrossEntropyLoss.

    recipe_numbers.py > test/fixtures/recipes.json

A few parameters with gradients from plain arithmetic, twenty steps of each recipe: the learning rate of each group before
each step, and the parameters, one after the other, after some of the steps. Then loss and gradient of some logits.
"""

import json
import warnings

import torch
from torch.optim.lr_scheduler import (
    ChainedScheduler,
    CosineAnnealingLR,
    LambdaLR,
    LinearLR,
    PolynomialLR,
    SequentialLR,
    StepLR,
)

STEPS, STEPS_PER_EPOCH, TOLD = 20, 5, (1, 5, 6, 20)
SHAPES = {"V1.conv1.weight": [3, 4], "V2.norm1.bias": [5], "decoder.linear.weight": [2, 4], "decoder.linear.bias": [2]}
LEARNING_RATE, MOMENTUM, WEIGHT_DECAY = 0.1, 0.9, 0.01


def constant(optimizer):
    return LambdaLR(optimizer, lambda step: 1)


def warmup(optimizer):
    return LinearLR(optimizer, start_factor=1 / 5, total_iters=4)


def after_warmup(optimizer, scheduler):
    return SequentialLR(optimizer, [warmup(optimizer), scheduler], milestones=[5])


def in_steps(optimizer):
    scheduler = StepLR(optimizer, step_size=2 * STEPS_PER_EPOCH)
    scheduler.step()  # as in run.py, the rate falls with the step that completes an epoch
    return scheduler


def in_steps_after_warmup(optimizer):
    steps = in_steps(optimizer)
    return ChainedScheduler([warmup(optimizer), steps], optimizer)


SCALES = {"V1": 0.1, "decoder": 10, "decoder.linear.bias": 0.5}
WARMUP = {"warmupEpochs": 1}
RECIPES = {
    "plain": ({}, in_steps),
    "nesterov": ({"schedule": "constant", "nesterov": True}, constant),
    "nesterov without weight decay": ({"schedule": "constant", "nesterov": True, "weightDecay": 0}, constant),
    "step after a warm-up": (WARMUP, in_steps_after_warmup),
    "constant after a warm-up": ({"schedule": "constant", **WARMUP}, lambda o: after_warmup(o, constant(o))),
    "cosine": ({"schedule": "cosine"}, lambda o: CosineAnnealingLR(o, T_max=20)),
    "cosine after a warm-up, to a minimum": (
        {"schedule": "cosine", "minLr": 0.001, **WARMUP},
        lambda o: after_warmup(o, CosineAnnealingLR(o, T_max=15, eta_min=0.001)),
    ),
    "poly after a warm-up": (
        {"schedule": "poly", **WARMUP},
        lambda o: after_warmup(o, PolynomialLR(o, total_iters=15, power=1)),
    ),
    # PolynomialLR has no minimum; with power 1 it is a line, as LinearLR.
    "poly to a minimum": (
        {"schedule": "poly", "minLr": 0.001},
        lambda o: LinearLR(o, start_factor=1, end_factor=0.001 / LEARNING_RATE, total_iters=20),
    ),
    "factors of the learning rate": (
        {"schedule": "cosine", "lrScale": SCALES, **WARMUP},
        lambda o: after_warmup(o, CosineAnnealingLR(o, T_max=15)),
    ),
    "AdamW": ({"optimizer": "adamw", "schedule": "constant"}, constant),
    "AdamW with cosine, factors and other betas": (
        {"optimizer": "adamw", "betas": [0.8, 0.95], "schedule": "cosine", "lrScale": SCALES, "weightDecay": 0.05},
        lambda o: CosineAnnealingLR(o, T_max=20),
    ),
    "a clipped norm": ({"schedule": "constant", "clipNorm": 2}, constant),
    "AdamW with a clipped norm": ({"optimizer": "adamw", "schedule": "constant", "clipNorm": 0.5}, constant),
    "a norm that is not reached": ({"schedule": "constant", "clipNorm": 100}, constant),
    "factors and nesterov": ({"schedule": "constant", "lrScale": SCALES, "nesterov": True}, constant),
}


def scale_of(name, scales):
    prefixes = [prefix for prefix in scales if name.startswith(prefix)]
    return scales[max(prefixes, key=len)] if prefixes else 1


def rounded(tensor):
    """All digits that a float32 has."""
    return [float(f"{value:.9g}") for value in tensor.flatten().tolist()]


def numbers(count, factor, shift, modulus):
    return torch.tensor([((factor * i + shift) % modulus) / modulus * 2 - 1 for i in range(count)], dtype=torch.float32)


def split(flat):
    sizes = [torch.Size(shape).numel() for shape in SHAPES.values()]
    return [part.reshape(shape) for part, shape in zip(flat.split(sizes), SHAPES.values())]


def train(options, scheduler_of):
    count = sum(torch.Size(shape).numel() for shape in SHAPES.values())
    parameters = [torch.nn.Parameter(part.clone()) for part in split(numbers(count, 37, 11, 101))]
    scales = options.get("lrScale", {})
    groups = [
        {"params": [parameter], "lr": LEARNING_RATE * scale_of(name, scales)}
        for name, parameter in zip(SHAPES, parameters)
    ]
    common = {"lr": LEARNING_RATE, "weight_decay": options.get("weightDecay", WEIGHT_DECAY)}
    if options.get("optimizer") == "adamw":
        optimizer = torch.optim.AdamW(groups, betas=options.get("betas", (0.9, 0.999)), **common)
    else:
        optimizer = torch.optim.SGD(groups, momentum=MOMENTUM, nesterov=options.get("nesterov", False), **common)
    scheduler = scheduler_of(optimizer)
    rates, after = [], {}
    for step in range(STEPS):
        rates.append([group["lr"] for group in optimizer.param_groups])
        for parameter, gradient in zip(parameters, split(numbers(count, 29, 53 * step + 7, 97))):
            parameter.grad = gradient.clone()
        if "clipNorm" in options:
            torch.nn.utils.clip_grad_norm_(parameters, options["clipNorm"])
        optimizer.step()
        scheduler.step()
        if step + 1 in TOLD:
            after[step + 1] = rounded(torch.cat([parameter.detach().flatten() for parameter in parameters]))
    return {"rates": rates if scales else [each[0] for each in rates], "after": after}


def smoothed(smoothing):
    logits = (numbers(4 * 10, 41, 3, 83) * 4).reshape(4, 10).requires_grad_()
    loss = torch.nn.CrossEntropyLoss(label_smoothing=smoothing)(logits, torch.tensor([2, 0, 9, 2]))
    loss.backward()
    return {"smoothing": smoothing, "loss": float(f"{loss.item():.9g}"), "gradient": rounded(logits.grad)}


def main():
    warnings.simplefilter("ignore")  # of a scheduler that is a step ahead
    torch.set_num_threads(1)
    written = {
        "parameters": SHAPES,
        "stepsPerEpoch": STEPS_PER_EPOCH,
        "scheduleEpochs": STEPS // STEPS_PER_EPOCH,
        "learningRate": LEARNING_RATE,
        "stepSize": 2,
        "momentum": MOMENTUM,
        "weightDecay": WEIGHT_DECAY,
        "recipes": {name: {"options": options, **train(options, of)} for name, (options, of) in RECIPES.items()},
        "losses": [smoothed(smoothing) for smoothing in (0, 0.1, 0.5)],
    }
    print(json.dumps(written))


if __name__ == "__main__":
    main()
