#!/usr/bin/env python3
"""Writes what PyTorch computes, in float64, for penalties of parameters and for max_norm: tests/oracles/data/regularisers.txt.

    python3 tests/oracles/make_regularisers.py        (PyTorch and numpy)

The file is as make_layers.py says, and more:

    train YAML                 behind `optimizer`: further keys of `train`
    penalty V...               behind `norm`'s line: of each step, before its update

`grad` and `norm` are of the losses and the penalty together, `loss` is of the losses alone.
"""
import torch
from torch import nn

from make_layers import DATA, Case, initial, numbers, sharded_loss, tensor_text


class Regularised(Case):
    """`decays` says of a parameter's name and shape whether penalties take it; `make` is the optimizer."""

    def __init__(self, name, shape, layers, modules, train, make, l1=0.0, l2=0.0, max_norm=None,
                 decays=lambda name, p: True, **case):
        super().__init__(name, shape, layers, modules, **case)
        self.text, self.make, self.l1, self.l2, self.max_norm, self.decays = train, make, l1, l2, max_norm, decays

    def penalty(self, params):
        of = [p for name, p in params if self.decays(name, p)]
        return self.l1 * sum(p.abs().sum() for p in of) + self.l2 / 2 * sum(p.square().sum() for p in of)

    def shorten(self, params):
        """torch.renorm divides by norm + 1e-7; this does not."""
        for name, p in params:
            if self.max_norm and p.ndim > 1 and self.decays(name, p):
                norm = torch.linalg.vector_norm(p.data.flatten(1), dim=1)
                p.data *= (self.max_norm / norm).clamp(max=1).reshape(-1, *[1] * (p.ndim - 1))
                assert torch.allclose(p.data, torch.renorm(p.data, 2, 0, self.max_norm), rtol=1e-6)
                self.shortened += (norm > self.max_norm).sum().item()
                self.spared += (norm <= self.max_norm).sum().item()


def train(case, params, states):
    optimizer = case.make([p for _, p in params])
    losses, norms, penalties, grads = [], [], [], {}
    case.shortened = case.spared = 0
    for step in range(case.steps):
        x, labels = case.batch(f"step{step}")
        optimizer.zero_grad()
        loss, penalty = sharded_loss(case, case.net, [s for _, s in states], x, labels), case.penalty(params)
        (loss / case.samples + penalty).backward()
        grads = {name: p.grad.clone() * case.samples for name, p in params}
        norms.append(torch.nn.utils.clip_grad_norm_([p for _, p in params], case.clip if case.clip > 0 else float("inf")).item())
        losses.append(loss.item())
        penalties.append(penalty.item())
        optimizer.step()
        case.shorten(params)
    if case.max_norm:
        free = max(torch.linalg.vector_norm(p.data) for _, p in params if p.ndim == 1)
        assert case.shortened > 3 and case.spared > 3 and free > 1.2 * case.max_norm
    return losses, norms, penalties, grads


def write_case(case, out):
    params, states = case.tensors()
    with torch.no_grad():
        for name, tensor in params + states:
            tensor.copy_(initial(name, tensor.shape))
    case.net.train()
    losses, norms, penalties, grads = train(case, params, states)
    case.net.eval()
    print(f"case {case.name}\ninput", *case.shape, file=out)
    print(f"layers {case.layers}\noptimizer {case.optimizer}\ntrain {case.text}", file=out)
    print(f"batch {case.samples} {case.classes} {case.steps} {case.shards}", file=out)
    print(f"lr {numbers([case.lr])}\nclip {numbers([case.clip])}", file=out)
    print(f"loss {numbers(losses)}\nnorm {numbers(norms)}\npenalty {numbers(penalties)}", file=out)
    for name, p in params:
        print(f"grad {name} {tensor_text(grads[name])}\nparam {name} {tensor_text(p)}", file=out)
    print(f"logits {tensor_text(case.net(case.batch('eval')[0]))}\nend", file=out)


def plain():
    """Without a normalisation, which leaves nothing of a bias before it."""
    return {"conv1": nn.Conv2d(2, 4, 3), "tanh1": nn.Tanh(), "flatten": nn.Flatten(), "linear1": nn.Linear(48, 3)}


def small():
    return {"conv1": nn.Conv2d(2, 4, 3), "bn1": nn.BatchNorm2d(4), "relu1": nn.ReLU(), "flatten": nn.Flatten(),
            "linear1": nn.Linear(48, 3)}


LAYERS = "[{conv: {filters: 4, kernel: 3}}, batchnorm, relu, flatten, {linear: 3}]"


def cases():
    yield Regularised("penalty_l2", (2, 6, 5), LAYERS, small(), "l2: 0.25", lambda p: torch.optim.SGD(p, lr=0.25), l2=0.25, steps=3)
    yield Regularised("penalty_l1", (2, 6, 5), LAYERS, small(), "l1: 0.03125", lambda p: torch.optim.SGD(p, lr=0.25, momentum=0.875),
                      l1=0.03125, steps=3, shards=2, optimizer="{sgd: {momentum: 0.875}}")
    yield Regularised("penalties_of_weights", (2, 6, 5), "[{conv: {filters: 4, kernel: 3}}, tanh, flatten, {linear: 3}]", plain(),
                      "l1: 0.03125, l2: 0.125, decayed: weights", lambda p: torch.optim.Adam(p, lr=0.0625), l1=0.03125, l2=0.125,
                      decays=lambda name, p: p.ndim > 1, steps=3, shards=2, lr=0.0625, clip=1.5, optimizer="adam")
    yield Regularised("penalties_but_of_one_layer", (2, 6, 5), LAYERS, small(),
                      "l1: 0.0625, l2: 0.25, groups: [{match: \"linear1.*\", decay: false}]",
                      lambda p: torch.optim.SGD(p, lr=0.125, weight_decay=0.0), l1=0.0625, l2=0.25,
                      decays=lambda name, p: not name.startswith("linear1"), steps=2, lr=0.125)
    yield Regularised("max_norm", (2, 6, 5), "[{conv: {filters: 4, kernel: 3}}, tanh, flatten, {linear: 6}, tanh, {linear: 3}]",
                      plain() | {"linear1": nn.Linear(48, 6), "tanh2": nn.Tanh(), "linear2": nn.Linear(6, 3)}, "max_norm: 0.5",
                      lambda p: torch.optim.SGD(p, lr=0.5, momentum=0.875), max_norm=0.5, steps=4, shards=2, lr=0.5,
                      optimizer="{sgd: {momentum: 0.875}}")


def main():
    with open(DATA / "regularisers.txt", "w", encoding="ascii") as out:
        for case in cases():
            write_case(case, out)


if __name__ == "__main__":
    main()
