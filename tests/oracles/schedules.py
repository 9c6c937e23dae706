#!/usr/bin/env python3
"""PyTorch's learning rates, for tests/core/test_schedule.c.

    python3 tests/oracles/schedules.py > tests/core/data/schedules.txt

A line is: the schedule as a dtrain config, the length of the training, then the rate of every step.
- "100 samples": a step is one sample, ten samples are an epoch, so that PyTorch's steps and epochs are dtrain's samples.
- "37 steps": PyTorch's rates, which know nothing of samples; dtrain's are the same whatever an epoch and a batch are.
- "4 epochs": an epoch is 20 samples in steps of 8, 8 and 4; schedulers that PyTorch steps once an epoch are stepped so here.
"""
import torch
from torch.optim import lr_scheduler as s


def rates(peak, steps, make, steps_each=1):
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=peak, momentum=0.9)
    scheduler = make(optimizer)
    values = []
    for step in range(steps):
        values.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        if (step + 1) % steps_each == 0:
            scheduler.step()
    return values


def warmed(optimizer, warmup, start, after):
    rise = s.LinearLR(optimizer, start_factor=start, end_factor=1.0, total_iters=warmup)
    return s.SequentialLR(optimizer, [rise, after(optimizer)], milestones=[warmup])


def one_cycle(optimizer, steps, rise=0.3):
    """To 0.3, from and to 0.04 and 4e-6 of it."""
    return s.OneCycleLR(optimizer, 0.3, total_steps=steps, pct_start=rise, div_factor=25, final_div_factor=1e4,
                        cycle_momentum=False)


N = 100
cases = [
    ("{peak: 0.3}", 0.3, lambda o: s.ConstantLR(o, factor=1.0)),
    ("{peak: 0.3, decay: {step: {every: 3 epochs, factor: 0.5}}}", 0.3, lambda o: s.StepLR(o, 30, 0.5)),
    ("{peak: 0.3, decay: {multistep: {at: [2, 5.5], factor: 0.1}}}", 0.3, lambda o: s.MultiStepLR(o, [20, 55], 0.1)),
    ("{peak: 0.3, decay: {exponential: {every: 1 samples, factor: 0.97}}}", 0.3, lambda o: s.ExponentialLR(o, 0.97)),
    ("{peak: 0.3, decay: {inverse: {every: 1 samples, rate: 0.05, power: 0.75}}}", 0.3,
     lambda o: s.LambdaLR(o, lambda t: (1 + 0.05 * t) ** -0.75)),
    ("{peak: 0.3, decay: {polynomial: {power: 2}}}", 0.3, lambda o: s.PolynomialLR(o, N, 2.0)),
    ("{peak: 0.3, decay: linear, final: 0.03}", 0.3, lambda o: s.LinearLR(o, 1.0, 0.1, N)),
    ("{peak: 0.3, decay: cosine, final: 0.01}", 0.3, lambda o: s.CosineAnnealingLR(o, N, 0.01)),
    ("{peak: 0.3, warmup: 2 epochs, warmup_from: 0.25, decay: cosine, final: 0.01}", 0.3,
     lambda o: warmed(o, 20, 0.25, lambda q: s.CosineAnnealingLR(q, N - 20, 0.01))),
    ("{peak: 0.3, warmup: 1 epochs, warmup_from: 0.1, decay: {step: {every: 20 samples, factor: 0.3}}}", 0.3,
     lambda o: warmed(o, 10, 0.1, lambda q: s.StepLR(q, 20, 0.3))),
    ("{peak: 0.3, decay: {warmup_stable_decay: 0.4}, final: 0.03}", 0.3,
     lambda o: s.SequentialLR(o, [s.ConstantLR(o, 1.0), s.LinearLR(o, 1.0, 0.1, 40)], milestones=[60])),
    ("{peak: 0.3, decay: {one_cycle: {start: 0.04, rise: 0.3}}, final: 0.0000012}", 0.3, lambda o: one_cycle(o, N)),
]

S = 37
in_steps = [
    ("{peak: 0.3, warmup: 5 steps, warmup_from: 0.1}", lambda o: s.LinearLR(o, 0.1, 1.0, 5)),
    ("{peak: 0.3, decay: {step: {every: 4 steps, factor: 0.5}}}", lambda o: s.StepLR(o, 4, 0.5)),
    ("{peak: 0.3, warmup: 5 steps, warmup_from: 0.1, decay: {step: {every: 4 steps, factor: 0.5}}}",
     lambda o: warmed(o, 5, 0.1, lambda q: s.StepLR(q, 4, 0.5))),
    ("{peak: 0.3, decay: {exponential: {every: 1 steps, factor: 0.97}}}", lambda o: s.ExponentialLR(o, 0.97)),
    ("{peak: 0.3, decay: {inverse: {every: 3 steps, rate: 0.05, power: 0.75}}}",
     lambda o: s.LambdaLR(o, lambda t: (1 + 0.05 * t / 3) ** -0.75)),
    ("{peak: 0.3, decay: {polynomial: {power: 2}}}", lambda o: s.PolynomialLR(o, S, 2.0)),
    ("{peak: 0.3, decay: linear, final: 0.03}", lambda o: s.LinearLR(o, 1.0, 0.1, S)),
    ("{peak: 0.3, decay: cosine, final: 0.01}", lambda o: s.CosineAnnealingLR(o, S, 0.01)),
    ("{peak: 0.3, warmup: 7 steps, warmup_from: 0.25, decay: cosine, final: 0.01}",
     lambda o: warmed(o, 7, 0.25, lambda q: s.CosineAnnealingLR(q, S - 7, 0.01))),
    ("{peak: 0.3, decay: {warmup_stable_decay: 0.2702702702702703}, final: 0.03}",
     lambda o: s.SequentialLR(o, [s.ConstantLR(o, 1.0), s.LinearLR(o, 1.0, 0.1, 10)], milestones=[27])),
    ("{peak: 0.3, decay: {one_cycle: {start: 0.04, rise: 0.3}}, final: 0.0000012}", lambda o: one_cycle(o, S)),
    ("{peak: 0.3, decay: {one_cycle: {start: 0.04, rise: 0.01}}, final: 0.0000012}", lambda o: one_cycle(o, S, 0.01)),
]
# Four epochs of three steps, the last of each short.
in_epochs = [
    ("{peak: 0.3, decay: {step: {every: 1 epoch, factor: 0.5}}}", 3, lambda o: s.StepLR(o, 1, 0.5)),
    ("{peak: 0.3, decay: {step: {every: 2 steps, factor: 0.5}}}", 1, lambda o: s.StepLR(o, 2, 0.5)),
    ("{peak: 0.3, decay: {multistep: {at: [1, 3], factor: 0.1}}}", 3, lambda o: s.MultiStepLR(o, [1, 3], 0.1)),
    ("{peak: 0.3, decay: {exponential: {every: 1 steps, factor: 0.9}}}", 1, lambda o: s.ExponentialLR(o, 0.9)),
    ("{peak: 0.3, warmup: 4 steps, warmup_from: 0.1}", 1, lambda o: s.LinearLR(o, 0.1, 1.0, 4)),
    ("{peak: 0.3, decay: {one_cycle: {start: 0.04, rise: 0.3}}, final: 0.0000012}", 1, lambda o: one_cycle(o, 12)),
]
# OneCycleLR overwrites the rate that a scheduler before it starts from, so that in a SequentialLR the warm-up would rise to `start`
# only: the two are run one after the other.
cycle = "decay: {one_cycle: {start: 0.04, rise: 0.3}}, final: 0.0000012}"
warm_cycles = [
    ("{peak: 0.3, warmup: 5 steps, warmup_from: 0.1, " + cycle, f"{S} steps", lambda o: s.LinearLR(o, 0.1, 1.0, 5), 5, S - 5),
    ("{peak: 0.3, warmup: 1 epoch, warmup_from: 1, " + cycle, "4 epochs", lambda o: s.ConstantLR(o, 1.0), 3, 9),
]


def print_line(config, length, values):
    print("\t".join([config, length] + [repr(float(v)) for v in values]))


print(f"# torch {torch.__version__}")
for config, peak, make in cases:
    print_line(config, f"{N} samples", rates(peak, N, make))
for config, make in in_steps:
    print_line(config, f"{S} steps", rates(0.3, S, make))
for config, steps_each, make in in_epochs:
    print_line(config, "4 epochs", rates(0.3, 12, make, steps_each))
for config, length, make, warmup, steps in warm_cycles:
    print_line(config, length, rates(0.3, warmup, make) + rates(0.3, steps, lambda o: one_cycle(o, steps)))
