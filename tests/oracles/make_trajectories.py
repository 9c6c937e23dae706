#!/usr/bin/env python3
"""Writes what PyTorch computes, in float64, in 200 steps of a regressor and of a small LeNet by several optimizers:
tests/oracles/data/trajectories.txt.

    python3 tests/oracles/make_trajectories.py        (PyTorch and numpy)

The file is as make_layers.py and make_losses.py say, and more:

    cycle COUNT                behind `optimizer`: so many batches, step0, step1, ..., are gone through again and again
"""
import torch
from torch import nn

from make_layers import DATA, initial, numbers, tensor_text
from make_losses import LossCase, cross_entropy, mlp, squared_error

STEPS, CYCLE = 200, 8

# The optimizer as in a config, and PyTorch's.
OPTIMIZERS = {
    "sgd": ("{sgd: {momentum: 0.9, nesterov: true, weight_decay: 0.001}}", 0.02,
            lambda params, lr: torch.optim.SGD(params, lr, momentum=0.9, nesterov=True, weight_decay=0.001)),
    "adam": ("{adam: {weight_decay: 0.001}}", 0.002, lambda params, lr: torch.optim.Adam(params, lr, weight_decay=0.001)),
    "rmsprop": ("{rmsprop: {momentum: 0.5}}", 0.001, lambda params, lr: torch.optim.RMSprop(params, lr, momentum=0.5)),
    "adagrad": ("{adagrad: {}}", 0.02, lambda params, lr: torch.optim.Adagrad(params, lr)),
}


def regressor(name, **case):
    return LossCase(f"regressor_{name}", (7,), "[{linear: 12}, tanh, {linear: 3}]", "mse", mlp(7, 12, 3), squared_error, "[]", {},
                    samples=6, shards=2, **case)


def lenet(name, **case):
    modules = {
        "conv1": nn.Conv2d(1, 4, 5), "pool1": nn.MaxPool2d(2, 2), "conv2": nn.Conv2d(4, 8, 5), "pool2": nn.MaxPool2d(2, 2),
        "flatten": nn.Flatten(), "linear1": nn.Linear(8 * 16, 24), "relu": nn.ReLU(), "linear2": nn.Linear(24, 10),
    }
    layers = ("[{conv: {filters: 4, kernel: 5}}, {maxpool: {window: 2, stride: 2}}, {conv: {filters: 8, kernel: 5}}, "
              "{maxpool: {window: 2, stride: 2}}, flatten, {linear: 24}, relu, {linear: 10}]")
    return LossCase(f"lenet_{name}", (1, 28, 28), layers, "cross_entropy", modules, cross_entropy(None), "[]", {}, samples=4,
                    classes=10, **case)


def write_case(case, make, out):
    params, _ = case.tensors()
    with torch.no_grad():
        for name, tensor in params:
            tensor.copy_(initial(name, tensor.shape))
    optimizer = make([p for _, p in params], case.lr)
    losses, norms = [], []
    for step in range(STEPS):
        optimizer.zero_grad()
        loss = case.compare(f"step{step % CYCLE}", case.criterion)
        loss.backward()
        norms.append(torch.nn.utils.clip_grad_norm_([p for _, p in params], float("inf")).item())
        losses.append(loss.item() * case.samples)
        optimizer.step()
    print(f"case {case.name}\ninput", *case.shape, file=out)
    print(f"layers {case.layers}\ngoal {case.goal}\noptimizer {case.optimizer}", file=out)
    print(f"cycle {CYCLE}\nbatch {case.samples} {case.classes} {STEPS} {case.shards}", file=out)
    print(f"lr {numbers([case.lr])}\nclip {numbers([case.clip])}", file=out)
    print(f"loss {numbers(losses)}\nnorm {numbers(norms)}", file=out)
    for name, p in params:
        print(f"param {name} {tensor_text(p)}", file=out)
    print("end", file=out)
    print(case.name, *(f"{losses[k] / case.samples:.4f}" for k in (0, 7, 8, 15, 50, 100, 199)))


def main():
    with open(DATA / "trajectories.txt", "w", encoding="ascii") as out:
        for name, (text, lr, make) in OPTIMIZERS.items():
            write_case(regressor(name, optimizer=text, lr=lr), make, out)
            write_case(lenet(name, optimizer=text, lr=lr), make, out)


if __name__ == "__main__":
    main()
