#!/usr/bin/env python3
"""Writes what PyTorch computes, in float64, for every loss and metric: tests/oracles/data/losses.txt.

    python3 tests/oracles/make_losses.py        (PyTorch, numpy and scikit-learn)

The file is as make_layers.py says, and more:

    goal YAML                  behind `layers`: the model's loss
    metrics YAML               behind it: those of `eval`
    measure NAME V...          behind `logits`, of the same batch: every loss and metric that dtrain reports, by its name there; of a
                               confusion matrix the counts, a label a row

Targets are the fill of "<batch>.target", moved to [0, 1). `loss` is the weighted sum of all losses.
"""
import math

import torch
from sklearn import metrics as scores
from torch import nn

from make_layers import DATA, Case, fill, initial, numbers, shards_of, tensor_text


class LossCase(Case):
    """A case whose loss is `criterion(outputs, labels, targets)`: outputs has the output of each named module, and the net's own under
    None; the result is a mean over samples. `measures` are functions of the same, by name."""

    def __init__(self, name, shape, layers, goal, modules, criterion, metrics, measures, **case):
        super().__init__(name, shape, layers, modules, **case)
        self.goal, self.criterion, self.metrics = goal, criterion, metrics
        self.measures = {"loss": criterion} | measures

    def forward(self, x):
        outputs = {}
        for name, module in self.modules.items():
            x = outputs[name] = module(x)
        outputs[None] = x
        return outputs

    def targets(self, tag, shape):
        count = math.prod(shape)
        return torch.from_numpy((fill(f"{tag}.target", self.samples * count) + 1) / 2).reshape(self.samples, *shape)


    def compare(self, tag, function):
        """What a criterion or a measure gives of the batch named tag."""
        x, labels = self.batch(tag)
        return function(self.forward(x), labels, lambda shape: self.targets(tag, shape))


def write_case(case, out):
    params, _ = case.tensors()
    with torch.no_grad():
        for name, tensor in params:
            tensor.copy_(initial(name, tensor.shape))
    sgd = torch.optim.SGD([p for _, p in params], lr=case.lr)
    losses, norms, grads = [], [], {}
    for step in range(case.steps):
        sgd.zero_grad()
        loss = case.compare(f"step{step}", case.criterion)
        loss.backward()
        grads = {name: p.grad.clone() * case.samples for name, p in params}
        norms.append(torch.nn.utils.clip_grad_norm_([p for _, p in params], float("inf")).item())
        losses.append(loss.item() * case.samples)
        sgd.step()
    logits = case.forward(case.batch("eval")[0])[None]
    print(f"case {case.name}\ninput", *case.shape, file=out)
    print(f"layers {case.layers}\ngoal {case.goal}\nmetrics {case.metrics}\noptimizer {case.optimizer}", file=out)
    print(f"batch {case.samples} {case.classes} {case.steps} {case.shards}", file=out)
    print(f"lr {numbers([case.lr])}\nclip {numbers([case.clip])}", file=out)
    print(f"loss {numbers(losses)}\nnorm {numbers(norms)}", file=out)
    for name, _ in params:
        print(f"grad {name} {tensor_text(grads[name])}", file=out)
    for name, p in params:
        print(f"param {name} {tensor_text(p)}", file=out)
    print(f"logits {tensor_text(logits)}", file=out)
    for name, measure in case.measures.items():
        print(f"measure {name} {numbers(case.compare('eval', measure).detach().reshape(-1))}", file=out)
    print("end", file=out)


def squared_error(y, _, t):
    return nn.functional.mse_loss(y[None], t(y[None].shape[1:]))


def absolute_error(y, _, t):
    return nn.functional.l1_loss(y[None], t(y[None].shape[1:]))


def huber(delta):
    return lambda y, _, t: nn.functional.huber_loss(y[None], t(y[None].shape[1:]), delta=delta)


def logistic(y, _, t):
    return nn.functional.binary_cross_entropy_with_logits(y[None], t(y[None].shape[1:]))


def right_sides(y, _, t):
    return ((y[None] > 0) == (t(y[None].shape[1:]) > 0.5)).double().mean()


def cross_entropy(of):
    return lambda y, k, _: nn.functional.cross_entropy(y[of], k)


def smoothed(smoothing):
    return lambda y, k, _: nn.functional.cross_entropy(y[None], k, label_smoothing=smoothing)


def soft(smoothing):
    return lambda y, _, t: nn.functional.cross_entropy(y[None], t(y[None].shape[1:]), label_smoothing=smoothing)


def most_likely(y, _, t):
    return (y[None].argmax(1) == t(y[None].shape[1:]).argmax(1)).double().mean()


def accuracy(of):
    return lambda y, k, _: (y[of].argmax(1) == k).double().mean()


def confusion(y, k, _):
    classes = y[None].shape[1]
    return torch.bincount(k * classes + y[None].argmax(1), minlength=classes * classes)


def of_classes(score, **options):
    """A score of scikit-learn over labels and the classes of the largest outputs."""
    return lambda y, k, _: torch.tensor(float(score(k, y[None].argmax(1), **options)), dtype=torch.float64)


def top_k(count):
    return lambda y, k, _: (y[None].topk(count, 1).indices == k[:, None]).any(1).double().mean()


def of_labels(score):
    """Of all yes-or-no outputs together."""
    return lambda y, _, t: torch.tensor(float(score(t(y[None].shape[1:]).flatten() > 0.5, y[None].flatten() > 0)), dtype=torch.float64)


def auc_of_class(c):
    return lambda y, k, _: torch.tensor(scores.roc_auc_score(k == c, y[None].softmax(1)[:, c].detach()), dtype=torch.float64)


def auc_of_label(y, _, t):
    return torch.tensor(scores.roc_auc_score(t((1,)).flatten() > 0.5, y[None].flatten().detach()), dtype=torch.float64)


def r2(y, _, t):
    return torch.tensor(scores.r2_score(t((1,)).flatten(), y[None].flatten().detach()), dtype=torch.float64)


def of_layer(of, penalty):
    """A penalty of what the named module gives, a mean over the elements."""
    return lambda y, *_: penalty(y[of]).mean()


def divergence(of, rho, shards):
    """KL(rho || m), m each unit's mean activity over a shard's samples; a mean over units and, over shards, over samples."""
    def penalty(y, *_):
        m = torch.cat([y[of][piece].mean(0, keepdim=True).expand(piece.stop - piece.start, *y[of].shape[1:])
                       for piece in shards_of(len(y[of]), shards)])
        return torch.distributions.kl_divergence(torch.distributions.Bernoulli(torch.full_like(m, rho)),
                                                 torch.distributions.Bernoulli(m)).mean()
    return penalty


def perplexity(y, k, _):
    return nn.functional.cross_entropy(y[None], k).exp()


def mlp(inputs, hidden, outputs):
    return {"linear1": nn.Linear(inputs, hidden), "tanh1": nn.Tanh(), "linear2": nn.Linear(hidden, outputs)}


def loss_cases():
    yield LossCase("mse", (7,), "[{linear: 6}, tanh, {linear: 4}]", "mse", mlp(7, 6, 4), squared_error, "[mse, mae]",
                   {"mse": squared_error, "mae": absolute_error}, steps=3, shards=2)
    image = {"conv1": nn.Conv2d(2, 3, 3, padding=1), "tanh1": nn.Tanh(), "conv2": nn.Conv2d(3, 2, 3)}
    yield LossCase("mse_image", (2, 6, 5), "[{conv: {filters: 3, kernel: 3, pad: 1}}, tanh, {conv: {filters: 2, kernel: 3}}]", "mse",
                   image, squared_error, "[mae]", {"mae": absolute_error}, classes=24, steps=2)
    yield LossCase("huber", (7,), "[{linear: 6}, tanh, {linear: 4}]", "{huber: {delta: 0.25}}", mlp(7, 6, 4), huber(0.25), "[mse, mae]",
                   {"mse": squared_error, "mae": absolute_error}, steps=3, shards=2)
    yield LossCase("huber_default", (7,), "[{linear: 4}]", "huber", {"linear1": nn.Linear(7, 4)}, huber(1), "[mae]",
                   {"mae": absolute_error}, samples=9)
    yield LossCase("binary_cross_entropy", (7,), "[{linear: 6}, tanh, {linear: 5}]", "binary_cross_entropy", mlp(7, 6, 5), logistic,
                   "[accuracy, mse]", {"accuracy": right_sides, "mse": squared_error}, steps=3, shards=2)
    early = mlp(7, 6, 3) | {"tanh2": nn.Tanh(), "linear3": nn.Linear(3, 3)}
    first, second = cross_entropy(None), cross_entropy("linear2")
    yield LossCase("auxiliary_classifier", (7,), "[{linear: 6}, tanh, {linear: 3}, tanh, {linear: 3}]",
                   "[cross_entropy, {cross_entropy: {of: linear2, weight: 0.3}}]", early,
                   lambda *given: first(*given) + 0.3 * second(*given),
                   "[accuracy, {accuracy: {of: tanh2, name: squashed}}, confusion]",
                   {"loss1": first, "loss2": second, "accuracy": accuracy(None), "squashed": accuracy("tanh2"),
                    "confusion": confusion}, steps=3, shards=2)
    yield LossCase("label_smoothing", (7,), "[{linear: 6}, tanh, {linear: 3}]", "{cross_entropy: {smoothing: 0.1}}", mlp(7, 6, 3),
                   smoothed(0.1), "[accuracy]", {"accuracy": accuracy(None)}, steps=3, shards=2)
    yield LossCase("soft_targets", (7,), "[{linear: 6}, tanh, {linear: 5}]", "{cross_entropy: {soft: true}}", mlp(7, 6, 5), soft(0),
                   "[accuracy]", {"accuracy": most_likely}, steps=3, shards=2)
    yield LossCase("soft_targets_smoothed", (7,), "[{linear: 6}, tanh, {linear: 5}]",
                   "{cross_entropy: {soft: true, smoothing: 0.25, weight: 0.5}}", mlp(7, 6, 5), lambda *given: 0.5 * soft(0.25)(*given),
                   "[accuracy]", {"accuracy": most_likely}, samples=9, steps=2)
    yield LossCase("measures_of_classes", (7,), "[{linear: 6}, tanh, {linear: 3}]", "cross_entropy", mlp(7, 6, 3), first,
                   "[{top_k: 2}, precision, recall, f1, {f1: {average: weighted, name: weighted}}, {recall: {class: 1, name: recall_1}}, "
                   "{auc: {class: 2}}, perplexity, confusion]",
                   {"top_k": top_k(2), "precision": of_classes(scores.precision_score, average="macro", zero_division=0),
                    "recall": of_classes(scores.recall_score, average="macro", zero_division=0),
                    "f1": of_classes(scores.f1_score, average="macro"), "weighted": of_classes(scores.f1_score, average="weighted"),
                    "recall_1": of_classes(scores.recall_score, labels=[1], average="macro"), "auc": auc_of_class(2),
                    "perplexity": perplexity, "confusion": confusion}, samples=40, steps=2, shards=2)
    yield LossCase("measures_of_two_classes", (7,), "[{linear: 6}, tanh, {linear: 2}]", "cross_entropy", mlp(7, 6, 2), first,
                   "[auc, {precision: {class: 0}}]",
                   {"auc": auc_of_class(1), "precision": of_classes(scores.precision_score, pos_label=0, zero_division=0)}, samples=20,
                   classes=2, shards=2)
    yield LossCase("measures_of_labels", (7,), "[{linear: 6}, tanh, {linear: 5}]", "binary_cross_entropy", mlp(7, 6, 5), logistic,
                   "[precision, recall, f1]",
                   {"precision": of_labels(scores.precision_score), "recall": of_labels(scores.recall_score),
                    "f1": of_labels(scores.f1_score)}, samples=12, shards=2)
    yield LossCase("measures_of_one_label", (7,), "[{linear: 6}, tanh, {linear: 1}]", "binary_cross_entropy", mlp(7, 6, 1), logistic,
                   "[auc]", {"auc": auc_of_label}, samples=30, shards=2)
    yield LossCase("measures_of_a_number", (7,), "[{linear: 6}, tanh, {linear: 1}]", "mse", mlp(7, 6, 1), squared_error, "[r2, mae]",
                   {"r2": r2, "mae": absolute_error}, samples=30, steps=2, shards=2)
    size, square = of_layer("tanh1", torch.abs), of_layer("linear2", torch.square)
    yield LossCase("activities", (7,), "[{linear: 6}, tanh, {linear: 3}]",
                   "[cross_entropy, {activity_l1: {of: tanh1, weight: 0.5}}, {activity_l2: {weight: 0.25}}]", mlp(7, 6, 3),
                   lambda *given: first(*given) + 0.5 * size(*given) + 0.25 * square(*given), "[accuracy]",
                   {"loss1": first, "loss2": size, "loss3": square, "accuracy": accuracy(None)}, steps=3, shards=2)
    sparse = {"linear1": nn.Linear(7, 18), "sigmoid1": nn.Sigmoid(), "linear2": nn.Linear(18, 4)}
    apart = divergence("sigmoid1", 0.125, 3)
    yield LossCase("sparse_units", (7,), "[{linear: 18}, sigmoid, {linear: 4}]",
                   "[mse, {activity_kl: {of: sigmoid1, rho: 0.125, weight: 0.75, name: sparsity}}]", sparse,
                   lambda *given: squared_error(*given) + 0.75 * apart(*given), "[mae]",
                   {"loss1": squared_error, "sparsity": apart, "mae": absolute_error}, samples=20, steps=3, shards=3)


def main():
    with open(DATA / "losses.txt", "w", encoding="ascii") as out:
        for case in loss_cases():
            write_case(case, out)


if __name__ == "__main__":
    main()
