#!/usr/bin/env python3
"""Ten steps of PyTorch's optimizers, and of others from their papers, in double precision, for tests/core/test_optimizers.c.

    python3 tests/oracles/optimizers.py > tests/oracles/data/optimizers.txt

A case is a line "optimizer options", the options as in a config, then ten groups of three lines: the hyper-parameters of the step
in the order in which the optimizer declares them, the gradients, and the parameters after the step. A hyper-parameter may change
from step to step.
Optimizers whose gradients are taken elsewhere than at the weights have a fourth line, with the weights.
"""
import jax
import numpy
import optax
import schedulefree
import torch

jax.config.update("jax_enable_x64", True)

STEPS = 10


def sgd(parameter, hyper, options):
    lr, momentum, decay = hyper
    return torch.optim.SGD([parameter], lr=lr, momentum=momentum, nesterov=options.get("nesterov", False), weight_decay=decay)


class Nesterov:
    """Sutskever et al., "On the importance of initialization and momentum in deep learning", 2013, equations 3 and 4. The
    parameter is the point ahead, where the gradient is taken."""

    def __init__(self, parameter, hyper, options):
        self.parameter, self.weights = parameter, parameter.data.clone()
        self.velocity = torch.zeros_like(parameter)
        self.param_groups = [{}]

    def step(self):
        lr, momentum, decay = self.param_groups[0]["hyper"]
        self.velocity = momentum * self.velocity + lr * (self.parameter.grad + decay * self.parameter.data)
        self.weights = self.weights - self.velocity
        self.parameter.data = self.weights - momentum * self.velocity


def nesterov(parameter, hyper, options):
    return Nesterov(parameter, hyper, options)


class ScheduleFree:
    """The package schedulefree of the method's authors; weights are what its optimizers have in evaluations."""

    def __init__(self, parameter, optimizer):
        self.parameter, self.optimizer, self.param_groups = parameter, optimizer, optimizer.param_groups
        self.optimizer.train()

    def step(self):
        self.optimizer.step()
        self.optimizer.eval()
        self.weights = self.parameter.data.clone()
        self.optimizer.train()


def schedule_free_sgd(parameter, hyper, options):
    lr, momentum, decay = hyper
    return ScheduleFree(parameter, schedulefree.SGDScheduleFree([parameter], lr=lr, momentum=momentum, weight_decay=decay))


def schedule_free_adamw(parameter, hyper, options):
    lr, beta1, beta2, decay = hyper
    return ScheduleFree(parameter, schedulefree.AdamWScheduleFree([parameter], lr=lr, betas=(beta1, beta2), weight_decay=decay,
                                                                  eps=options.get("eps", 1e-8)))


def adam(parameter, hyper, options):
    lr, beta1, beta2, decay = hyper
    return torch.optim.Adam([parameter], lr=lr, betas=(beta1, beta2), eps=options.get("eps", 1e-8), weight_decay=decay)


def adamw(parameter, hyper, options):
    lr, beta1, beta2, decay = hyper
    return torch.optim.AdamW([parameter], lr=lr, betas=(beta1, beta2), eps=options.get("eps", 1e-8), weight_decay=decay)


def muon(parameter, hyper, options):
    """Of what is no matrix; make_steps.py has matrices."""
    lr, momentum, decay = hyper
    return torch.optim.AdamW([parameter], lr=lr, betas=(options.get("beta1", 0.9), options.get("beta2", 0.95)),
                             eps=options.get("eps", 1e-8), weight_decay=decay)


def amsgrad(parameter, hyper, options):
    lr, beta1, beta2, decay = hyper
    kind = torch.optim.AdamW if options.get("decoupled", False) else torch.optim.Adam
    return kind([parameter], lr=lr, betas=(beta1, beta2), eps=options.get("eps", 1e-8), weight_decay=decay, amsgrad=True)


def adagrad(parameter, hyper, options):
    lr, decay = hyper
    return torch.optim.Adagrad([parameter], lr=lr, weight_decay=decay, initial_accumulator_value=options.get("initial", 0),
                               eps=options.get("eps", 1e-10))


def adadelta(parameter, hyper, options):
    lr, rho, decay = hyper
    return torch.optim.Adadelta([parameter], lr=lr, rho=rho, eps=options.get("eps", 1e-6), weight_decay=decay)


def rmsprop(parameter, hyper, options):
    lr, alpha, momentum, decay = hyper
    # PyTorch makes its buffer of momentum when the first step has one; here it is there from the start, and the same.
    return torch.optim.RMSprop([parameter], lr=lr, alpha=alpha, eps=options.get("eps", 1e-8), weight_decay=decay,
                               momentum=momentum, centered=options.get("centered", False))


class Optax:
    """An optimizer of optax, in double precision, whose hyper-parameters change from step to step."""

    names = ("learning_rate", "b1", "b2", "weight_decay")

    def __init__(self, parameter, make, hyper, options):
        self.parameter, self.value = parameter, jax.numpy.asarray(parameter.detach().numpy())
        self.optimizer = optax.inject_hyperparams(make)(**dict(zip(self.names, hyper)), **options)
        self.state = self.optimizer.init(self.value)
        self.param_groups = [{}]

    def step(self):
        for name, value in zip(self.names, self.param_groups[0]["hyper"]):
            self.state.hyperparams[name] = jax.numpy.asarray(value)
        gradient = jax.numpy.asarray(self.parameter.grad.numpy())
        updates, self.state = self.optimizer.update(gradient, self.state, self.value)
        self.value = optax.apply_updates(self.value, updates)
        self.parameter.data = torch.tensor(numpy.asarray(self.value))


def lion(parameter, hyper, options):
    return Optax(parameter, optax.lion, hyper, options)


def lamb(parameter, hyper, options):
    return Optax(parameter, optax.lamb, hyper, options)


class Lars:
    """You, Gitman and Ginsburg, "Large batch training of convolutional networks", 2017, algorithm 1; PyTorch has none."""

    def __init__(self, parameter, hyper, options):
        self.parameter, self.trust = parameter, options.get("trust", 0.001)
        self.velocity = torch.zeros_like(parameter)
        self.param_groups = [{}]

    def step(self):
        lr, momentum, decay = self.param_groups[0]["hyper"]
        w, g = self.parameter.data, self.parameter.grad
        rate = lr * self.trust * w.norm() / (g.norm() + decay * w.norm())
        self.velocity = momentum * self.velocity + rate * (g + decay * w)
        self.parameter.data = w - self.velocity


def lars(parameter, hyper, options):
    return Lars(parameter, hyper, options)


def set_own(group, hyper):
    group["hyper"] = hyper


def set_sgd(group, hyper):
    group["lr"], group["momentum"], group["weight_decay"] = hyper


def set_adam(group, hyper):
    group["lr"], beta1, beta2, group["weight_decay"] = hyper
    group["betas"] = (beta1, beta2)


def set_muon(group, hyper):
    group["lr"], _, group["weight_decay"] = hyper


def set_adagrad(group, hyper):
    group["lr"], group["weight_decay"] = hyper


def set_adadelta(group, hyper):
    group["lr"], group["rho"], group["weight_decay"] = hyper


def set_rmsprop(group, hyper):
    group["lr"], group["alpha"], group["momentum"], group["weight_decay"] = hyper


def falling(first, last):
    return [first + (last - first) * k / (STEPS - 1) for k in range(STEPS)]


CASES = [
    (sgd, set_sgd, {}, [0.1, 0, 0]),
    (sgd, set_sgd, {}, [0.1, 0.9, 0]),
    (sgd, set_sgd, {"nesterov": True}, [0.05, 0.9, 5e-4]),
    (sgd, set_sgd, {}, [0.3, 0.5, 0.1]),
    (sgd, set_sgd, {}, [falling(1, 0.1), falling(0.5, 0.95), falling(0.02, 0)]),
    (adam, set_adam, {}, [0.001, 0.9, 0.999, 0]),
    (adam, set_adam, {"eps": 1e-3}, [0.1, 0.8, 0.99, 0.01]),
    (adam, set_adam, {}, [0.05, 0, 0, 0]),
    (adam, set_adam, {}, [falling(0.1, 0.01), falling(0.95, 0.85), falling(0.9, 0.999), falling(0, 0.1)]),
    (adamw, set_adam, {}, [0.01, 0.9, 0.999, 0.01]),
    (adamw, set_adam, {"eps": 1e-6}, [falling(0.1, 0.01), 0.9, falling(0.95, 0.999), falling(0.3, 0)]),
    (lars, set_own, {}, [10, 0.9, 0]),
    (lars, set_own, {"trust": 0.02}, [falling(1, 0.1), falling(0.5, 0.9), 0.01]),
    (amsgrad, set_adam, {}, [0.1, 0.9, 0.5, 0]),
    (amsgrad, set_adam, {"eps": 1e-4}, [falling(0.1, 0.01), falling(0.95, 0.85), falling(0.9, 0.5), 0.05]),
    (amsgrad, set_adam, {"decoupled": True}, [0.1, 0.8, falling(0.5, 0.9), falling(0.3, 0)]),
    (adagrad, set_adagrad, {}, [0.1, 0]),
    (adagrad, set_adagrad, {"initial": 0.5, "eps": 1e-3}, [falling(1, 0.1), falling(0.1, 0)]),
    (adadelta, set_adadelta, {}, [1, 0.9, 0]),
    (adadelta, set_adadelta, {"eps": 1e-3}, [falling(3, 1), falling(0.5, 0.95), 0.05]),
    (rmsprop, set_rmsprop, {}, [0.01, 0.99, 0, 0]),
    (rmsprop, set_rmsprop, {}, [0.01, 0.9, 0.9, 0.01]),
    (rmsprop, set_rmsprop, {"centered": True}, [0.01, 0.9, 0, 0.1]),
    (rmsprop, set_rmsprop, {"centered": True, "eps": 1e-3}, [falling(0.1, 0.01), falling(0.5, 0.95), falling(0.5, 0.9), 0.01]),
    (lion, set_own, {}, [0.01, 0.9, 0.99, 0]),
    (lion, set_own, {}, [falling(0.1, 0.01), falling(0.5, 0.9), falling(0.9, 0.99), falling(0.3, 0)]),
    (nesterov, set_own, {}, [0.1, 0.9, 0]),
    (nesterov, set_own, {}, [falling(0.3, 0.03), falling(0.5, 0.95), 0.1]),
    (schedule_free_sgd, set_sgd, {}, [0.1, 0.9, 0]),
    (schedule_free_sgd, set_sgd, {}, [falling(0.1, 0.5), 0.8, falling(0.1, 0)]),
    (schedule_free_adamw, set_adam, {}, [0.01, 0.9, 0.999, 0]),
    (schedule_free_adamw, set_adam, {"eps": 1e-3}, [falling(0.01, 0.1), 0.95, 0.9, 0.1]),
    (lamb, set_own, {}, [0.01, 0.9, 0.999, 0]),
    (muon, set_muon, {}, [0.02, 0.95, 0.1]),
    (muon, set_muon, {"beta1": 0.8, "beta2": 0.99, "eps": 1e-4}, [falling(0.1, 0.01), 0.9, falling(0.3, 0)]),
    (lamb, set_own, {"eps": 1e-3}, [falling(0.1, 0.01), falling(0.95, 0.85), falling(0.9, 0.999), falling(0, 0.1)]),
]


def numbers(values):
    return " ".join(repr(float(v)) for v in values)


def text(options):
    words = {True: "true", False: "false"}
    return "{" + ", ".join(f"{name}: {words.get(value, value) if isinstance(value, bool) else value}" for name, value in options.items()) + "}"


torch.manual_seed(1)
print(f"# torch {torch.__version__}")
for make, set_group, options, hyper in CASES:
    at = [[float(h[k] if isinstance(h, list) else h) for h in hyper] for k in range(STEPS)]
    parameter = torch.nn.Parameter(torch.linspace(-2, 2, 9, dtype=torch.float64))
    optimizer = make(parameter, at[0], options)
    print(make.__name__, text(options))
    for k in range(STEPS):
        set_group(optimizer.param_groups[0], at[k])
        parameter.grad = torch.randn(9, dtype=torch.float64)
        print(numbers(at[k]))
        print(numbers(parameter.grad.tolist()))
        optimizer.step()
        print(numbers(parameter.tolist()))
        if hasattr(optimizer, "weights"):
            print(numbers(optimizer.weights.tolist()))
