#!/usr/bin/env python3
"""Writes what ten steps of training by PyTorch in float64 come to, where a step looks at more than one element at a time:
tests/oracles/data/steps.txt.

    python3 tests/oracles/make_steps.py        (PyTorch and numpy)

Parameters and the batch, the same in each step, are as make_layers.py says. A line a case: the solver's YAML, the optimizer's, and the
parameters of linear1.weight, linear1.bias, linear2.weight, linear2.bias at the end, as hexadecimal floats.
"""
import torch
from torch import nn
from torch.nn import functional as F

from make_layers import DATA, Case, initial, numbers

STEPS, RATE = 10, 0.1

# torch.optim.Muon makes matrices orthogonal in half precision; here in that of its parameters.
torch.bfloat16 = torch.float64


class Both:
    """Muon for matrices and AdamW for the others, as its authors say."""

    def __init__(self, params, adjust, **options):
        matrices, others = [p for p in params if p.ndim > 1], [p for p in params if p.ndim < 2]
        self.of = [
            torch.optim.Muon(matrices, RATE, adjust_lr_fn=adjust, **options),
            torch.optim.AdamW(others, RATE, betas=(0.9, 0.95), weight_decay=options["weight_decay"]),
        ]

    def step(self):
        for optimizer in self.of:
            optimizer.step()

    def zero_grad(self):
        for optimizer in self.of:
            optimizer.zero_grad()


def plain(params, optimizer, loss):
    loss().backward()
    optimizer.step()
    optimizer.zero_grad()


def sam(rho):
    """Foret et al., 2021, algorithm 1."""

    def step(params, optimizer, loss):
        loss().backward()
        with torch.no_grad():
            kept = [p.clone() for p in params]
            norm = torch.sqrt(sum((p.grad**2).sum() for p in params))
            for p in params:
                p += rho * p.grad / (norm + 1e-12)
        optimizer.zero_grad()
        loss().backward()
        with torch.no_grad():
            for p, old in zip(params, kept):
                p.copy_(old)
        optimizer.step()
        optimizer.zero_grad()

    return step


CASES = [
    ("{sam: 0.2}", "{sgd: {momentum: 0.9, weight_decay: 0.01}}", sam(0.2),
     lambda p: torch.optim.SGD(p, RATE, momentum=0.9, weight_decay=0.01)),
    ("{sam: 0.05}", "adam", sam(0.05), lambda p: torch.optim.Adam(p, RATE)),
    ("minibatch", "muon", plain, lambda p: Both(p, "match_rms_adamw", weight_decay=0.1)),
    ("minibatch", "{muon: {momentum: 0.8, nesterov: false, scale: original, weight_decay: 0.01}}", plain,
     lambda p: Both(p, "original", momentum=0.8, nesterov=False, weight_decay=0.01)),
]


def main():
    with open(DATA / "steps.txt", "w", encoding="ascii") as out:
        for solver, text, step, make in CASES:
            modules = {"linear1": nn.Linear(6, 37), "tanh1": nn.Tanh(), "linear2": nn.Linear(37, 3)}
            case = Case("steps", (6,), "", modules, samples=12, classes=3)
            x, labels = case.batch("steps")
            named = case.tensors()[0]
            with torch.no_grad():
                for name, p in named:
                    p.copy_(initial(name, p.shape))
            params = [p for _, p in named]
            optimizer = make(params)
            for _ in range(STEPS):
                step(params, optimizer, lambda: F.cross_entropy(case.net(x), labels))
            print(solver, text, numbers(torch.cat([p.detach().reshape(-1) for p in params])), sep=" | ", file=out)


if __name__ == "__main__":
    main()
