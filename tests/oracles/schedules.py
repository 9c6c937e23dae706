#!/usr/bin/env python3
"""PyTorch's learning rates, for tests/core/test_schedule.c.

    python3 tests/oracles/schedules.py > tests/core/data/schedules.txt

A line is: the schedule as a dtrain config, the number of steps, then the rate of every step. A step is one sample, ten samples
are an epoch, so that PyTorch's steps and epochs are dtrain's samples.
"""
import torch
from torch.optim import lr_scheduler as s


def rates(peak, steps, make):
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=peak, momentum=0.9)
    scheduler = make(optimizer)
    values = []
    for _ in range(steps):
        values.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    return values


def warmed(optimizer, warmup, start, after):
    rise = s.LinearLR(optimizer, start_factor=start, end_factor=1.0, total_iters=warmup)
    return s.SequentialLR(optimizer, [rise, after(optimizer)], milestones=[warmup])


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
    # PyTorch's phases end at pct_start * steps - 1 and at steps - 1: 31 of 101 steps rise from step 0 to step 30.
    ("{peak: 0.3, decay: {one_cycle: {start: 0.04, rise: 0.3}}, final: 0.0000012}", 0.3,
     lambda o: s.OneCycleLR(o, 0.3, total_steps=N + 1, pct_start=31 / 101, div_factor=25, final_div_factor=1e4,
                            cycle_momentum=False)),
]

print(f"# torch {torch.__version__}")
for config, peak, make in cases:
    print("\t".join([config, str(N)] + [repr(float(v)) for v in rates(peak, N, make)]))
