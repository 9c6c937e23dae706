#!/usr/bin/env python3
"""Writes the ends of Hessians' spectra, by PyTorch in float64: tests/oracles/data/hessian.txt.

    python3 tests/oracles/make_hessian.py        (PyTorch and numpy)

The whole Hessian of a loss over a batch is made by differentiating twice, and LAPACK finds its eigenvalues. Parameters and the batch
are as make_layers.py says; targets of numbers are the fill of "<batch>.target", moved to [0, 1). A case:

    case NAME | INPUT | LAYERS | LOSS | SAMPLES | LEAST | LARGEST
"""
import math

import torch
from torch import nn
from torch.nn import functional as F

from make_layers import DATA, Case, fill, initial, numbers

OUTPUTS = 3


def loss_of(case, kind, values):
    x, labels = case.batch("check")
    out = torch.func.functional_call(case.net, {key: value for key, value in zip(case.keys, values)}, (x,))
    if kind == "cross_entropy":
        return F.cross_entropy(out, labels)
    count = case.samples * OUTPUTS
    return F.mse_loss(out, torch.from_numpy((fill("check.target", count) + 1) / 2).reshape(case.samples, OUTPUTS))


def ends(case, kind):
    named = case.tensors()[0]
    by_id = {id(p): key for key, p in case.net.named_parameters()}
    case.keys = [by_id[id(p)] for _, p in named]
    values = tuple(initial(name, p.shape) for name, p in named)
    blocks = torch.autograd.functional.hessian(lambda *v: loss_of(case, kind, v), values)
    rows = [torch.cat([b.reshape(values[i].numel(), -1) for b in row], dim=1) for i, row in enumerate(blocks)]
    whole = torch.cat(rows)
    found = torch.linalg.eigvalsh((whole + whole.T) / 2)
    return found[0].item(), found[-1].item()


CASES = [
    ("linear", (6,), "[{linear: 3}]", "mse", 20, {"linear1": nn.Linear(6, 3)}),
    ("softmax", (6,), "[{linear: 3}]", "cross_entropy", 20, {"linear1": nn.Linear(6, 3)}),
    ("tanh", (6,), "[{linear: 7}, tanh, {linear: 3}]", "cross_entropy", 12,
     {"linear1": nn.Linear(6, 7), "tanh1": nn.Tanh(), "linear2": nn.Linear(7, 3)}),
    ("relu", (6,), "[{linear: 9}, relu, {linear: 3}]", "mse", 12,
     {"linear1": nn.Linear(6, 9), "relu1": nn.ReLU(), "linear2": nn.Linear(9, 3)}),
    ("conv", (2, 8, 8), "[{conv: {filters: 4, kernel: 3}}, batchnorm, relu, {maxpool: 2}, flatten, {linear: 3}]", "cross_entropy", 6,
     {"conv1": nn.Conv2d(2, 4, 3), "bn1": nn.BatchNorm2d(4), "relu1": nn.ReLU(), "maxpool1": nn.MaxPool2d(2),
      "flatten1": nn.Flatten(), "linear1": nn.Linear(36, 3)}),
]


def main():
    with open(DATA / "hessian.txt", "w", encoding="ascii") as out:
        for name, shape, layers, kind, samples, modules in CASES:
            case = Case(name, shape, layers, modules, samples=samples, classes=OUTPUTS)
            least, largest = ends(case, kind)
            print("case", " | ".join([name, ", ".join(map(str, shape)), layers, kind, str(samples), numbers([least]), numbers([largest])]),
                  file=out)
            print(name, math.prod(shape), least, largest)


if __name__ == "__main__":
    main()
