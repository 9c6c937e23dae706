#!/usr/bin/env python3
"""What torch.optim.swa_utils makes of weights over a training, in double precision, for tests/core/test_averages.c.

    python3 tests/oracles/averages.py > tests/oracles/data/averages.txt

A case is a line "average options", the options as in a config, and a line "steps batch epoch": how many steps there are, the samples
of a batch and of an epoch, whose last batch is short. Then each step has two lines: the weights that it leaves, and their average,
which before the first one is taken is the weights themselves.
"""
import torch
from torch.optim.swa_utils import AveragedModel, get_ema_avg_fn

SIZE = 5


def ema(decay):
    return lambda model: AveragedModel(model, avg_fn=get_ema_avg_fn(decay))


def warm_ema(decay):
    def average(old, new, count):
        count = int(count)  # else PyTorch divides in single precision
        return old + (1 - min(decay, (1 + count) / (10 + count))) * (new - old)

    return lambda model: AveragedModel(model, avg_fn=average)


def from_step(first):
    return lambda step, before, after: step >= first


def at_points(start, every):
    return lambda step, before, after: after > start and (after - start) // every > max(0, before - start) // every


# options, how to average, which steps are taken in, steps, batch, epoch
CASES = [
    ("ema {decay: 0.9}", ema(0.9), from_step(1), 8, 4, 40),
    ("ema {decay: 0.75, start: 3 steps}", ema(0.75), from_step(4), 8, 4, 40),
    ("ema {decay: 0.5, start: 1 epochs}", ema(0.5), from_step(4), 8, 4, 10),
    ("ema {decay: 0.3, warmup: true}", warm_ema(0.3), from_step(1), 8, 4, 40),
    ("ema {decay: 0.999, warmup: true}", warm_ema(0.999), from_step(1), 6, 4, 40),
    ("swa {start: 1 epochs}", AveragedModel, at_points(10, 10), 14, 4, 10),
    ("swa {start: 0 steps, every: 2 steps}", AveragedModel, at_points(0, 8), 9, 4, 400),
    ("swa {start: 5 samples, every: 7 samples}", AveragedModel, at_points(5, 7), 12, 4, 400),
]


def numbers(values):
    return " ".join(repr(float(v)) for v in values)


torch.manual_seed(2)
print(f"# torch {torch.__version__}")
for options, make, takes, steps, batch, epoch in CASES:
    model = torch.nn.Linear(SIZE, 1, bias=False, dtype=torch.float64)
    average = make(model)
    print(options)
    print(steps, batch, epoch)
    seen = 0
    for step in range(1, steps + 1):
        before, seen = seen, seen + min(batch, epoch - seen % epoch)
        model.weight.data = torch.randn(1, SIZE, dtype=torch.float64)
        if takes(step, before, seen):
            average.update_parameters(model)
        taken = average.module if average.n_averaged > 0 else model
        print(numbers(model.weight.flatten().tolist()))
        print(numbers(taken.weight.flatten().tolist()))
