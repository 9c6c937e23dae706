#!/usr/bin/env python3
"""Writes ten steps of sharpness-aware minimization (Foret et al., 2021, algorithm 1) by PyTorch in float64: tests/oracles/data/sam.txt.

    python3 tests/oracles/make_sam.py        (PyTorch and numpy)

Parameters and the batch, the same in each step, are as make_layers.py says. A line a case: the optimizer's YAML, rho, and the parameters
of linear1.weight, linear1.bias, linear2.weight, linear2.bias at the end, as hexadecimal floats.
"""
import torch
from torch import nn
from torch.nn import functional as F

from make_layers import DATA, Case, initial, numbers

STEPS, RATE = 10, 0.1
CASES = [
    ("{sgd: {momentum: 0.9, weight_decay: 0.01}}", 0.2, lambda p: torch.optim.SGD(p, RATE, momentum=0.9, weight_decay=0.01)),
    ("adam", 0.05, lambda p: torch.optim.Adam(p, RATE)),
]


def step(params, optimizer, rho, loss):
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


def main():
    with open(DATA / "sam.txt", "w", encoding="ascii") as out:
        for text, rho, make in CASES:
            modules = {"linear1": nn.Linear(6, 7), "tanh1": nn.Tanh(), "linear2": nn.Linear(7, 3)}
            case = Case("sam", (6,), "", modules, samples=12, classes=3)
            x, labels = case.batch("sam")
            named = case.tensors()[0]
            with torch.no_grad():
                for name, p in named:
                    p.copy_(initial(name, p.shape))
            params = [p for _, p in named]
            optimizer = make(params)
            for _ in range(STEPS):
                step(params, optimizer, rho, lambda: F.cross_entropy(case.net(x), labels))
            print(text, rho, numbers(torch.cat([p.detach().reshape(-1) for p in params])), sep=" | ", file=out)


if __name__ == "__main__":
    main()
