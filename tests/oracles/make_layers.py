#!/usr/bin/env python3
"""Writes what PyTorch computes, in float64, for every layer and for short trainings of whole networks.

    python3 tests/oracles/make_layers.py        (PyTorch and numpy; writes tests/oracles/data/*.txt)

Each case is a network given twice: as the text of a dtrain config and as PyTorch modules. Parameters, inputs and labels are
pure functions of a tensor's name and an element's index (fill below, tests/support/fill.h on the C side), so that a file holds
results only:

    case NAME
    input C H W | D            shape of a sample
    layers YAML                the model's layers, on one line
    optimizer YAML
    batch SAMPLES CLASSES STEPS SHARDS
    lr VALUE / clip VALUE
    loss V...                  sum over the batch, one for each step
    norm V...                  global norm of the mean gradient before clipping, one for each step
    grad NAME full V...        of the last step: sums over the batch
    param NAME full V...       after the last of several steps; likewise `state` for running statistics
    logits full V...           of the batch named "eval", in evaluation mode, after the last step
    end

Numbers are hexadecimal floats. A large tensor stands as `digest NORM DOT`: its 2-norm, and its product with fill("digest").
"""
import math
import pathlib

import numpy
import torch
from torch import nn

torch.set_default_dtype(torch.float64)
torch.set_num_threads(1)

DATA = pathlib.Path(__file__).resolve().parent / "data"
FULL_LIMIT = 160  # elements of a tensor that is written out in full


def fill(name, count):
    """Numbers in [-1, 1), multiples of 2^-23: SplitMix64 of the name's FNV-1a hash and the index."""
    key = 0xCBF29CE484222325
    for byte in name.encode():
        key = (key ^ byte) * 0x100000001B3 % 2**64
    with numpy.errstate(over="ignore"):
        z = numpy.uint64(key) + numpy.arange(1, count + 1, dtype=numpy.uint64) * numpy.uint64(0x9E3779B97F4A7C15)
        z = (z ^ (z >> numpy.uint64(30))) * numpy.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> numpy.uint64(27))) * numpy.uint64(0x94D049BB133111EB)
        z = z ^ (z >> numpy.uint64(31))
    return (z >> numpy.uint64(40)).astype(numpy.float64) / 2.0**23 - 1.0


def initial(name, shape):
    """A tensor's first value, by its role: weights shrink with the fan-in, scales and variances lie around one."""
    count = math.prod(shape)
    values = fill(name, count)
    role = name.rsplit(".", 1)[1]
    if role == "weight" and len(shape) > 1:
        fan_in, scale = count // shape[0], 2.0
        while scale * scale * fan_in > 4:
            scale /= 2
        values = values * scale
    elif role in ("weight", "running_var"):
        values = 1 + values * 0.5
    else:
        values = values * 0.5
    return torch.from_numpy(values).reshape(shape)


class Residual(nn.Module):
    """x + f(x), with a projection where the shapes differ."""

    def __init__(self, body, projection=None):
        super().__init__()
        self.body, self.projection = body, projection

    def forward(self, x):
        return self.body(x) + (x if self.projection is None else self.projection(x))


class Branches(nn.Module):
    def __init__(self, *paths):
        super().__init__()
        self.paths = nn.ModuleList(paths)

    def forward(self, x):
        return torch.cat([path(x) for path in self.paths], dim=1)


def philox(counter, key):
    """Philox-4x32-10 (Salmon et al. 2011) on lists of four and two 32-bit words."""
    counter, key = list(counter), list(key)
    for _ in range(10):
        left, right = 0xD2511F53 * counter[0], 0xCD9E8D57 * counter[2]
        counter = [right >> 32 ^ counter[1] ^ key[0], right % 2**32, left >> 32 ^ counter[3] ^ key[1], left % 2**32]
        key = [(key[0] + 0x9E3779B9) % 2**32, (key[1] + 0xBB67AE85) % 2**32]
    return counter


def splitmix(z):
    z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9 % 2**64
    z = (z ^ z >> 27) * 0x94D049BB133111EB % 2**64
    return z ^ z >> 31


class Random(nn.Module):
    """A layer whose numbers come from dtrain's generator (src/core/rng.h): PyTorch's own cannot be had elsewhere."""

    def __init__(self, purpose, layer, seed=1):
        super().__init__()
        self.layer, self.samples_seen = layer, 0
        key = splitmix((seed + purpose * 0x9E3779B97F4A7C15) % 2**64)
        self.key = [key % 2**32, key >> 32]

    def uniform(self, sample, element):
        word = philox([element // 4, sample, self.samples_seen, self.layer << 16], self.key)[element % 4]
        return (word >> 8) / 2.0**24


class Noise(Random):
    """Normal numbers by Box and Muller's transform of two uniform ones."""

    def __init__(self, std, layer):
        super().__init__(10, layer)
        self.std = std

    def normal(self, sample, element):
        u, v = self.uniform(sample, element // 2 * 2) + 2.0**-24, self.uniform(sample, element // 2 * 2 + 1)
        return math.sqrt(-2 * math.log(u)) * (math.sin if element % 2 else math.cos)(2 * math.pi * v)

    def forward(self, x):
        if not self.training:
            return x
        z = [[self.normal(n, e) for e in range(x[0].numel())] for n in range(len(x))]
        return x + self.std * torch.tensor(z).reshape(x.shape)


class Dropout(Random):
    def __init__(self, p, layer):
        super().__init__(4, layer)
        self.p = p

    def forward(self, x):
        if not self.training:
            return x
        flat = x.flatten(1)
        keep = [[self.uniform(n, e) >= self.p for e in range(flat.shape[1])] for n in range(flat.shape[0])]
        return (flat * torch.tensor(keep) / (1 - self.p)).reshape(x.shape)


class Case:
    """A network as config text, and as named modules: in order, unless `net` says how they are joined."""

    def __init__(self, name, shape, layers, modules, net=None, samples=5, classes=3, steps=1, shards=1, lr=0.25, clip=0.0,
                 optimizer="{sgd: {}}", sgd=None):
        self.name, self.shape, self.layers, self.modules = name, shape, layers, modules
        self.net = net or nn.Sequential(*modules.values())
        self.samples, self.classes, self.steps, self.shards, self.lr, self.clip = samples, classes, steps, shards, lr, clip
        self.optimizer, self.sgd = optimizer, sgd or {}

    def tensors(self):
        """(name, parameter) and (name, state) of the named modules."""
        params, states = [], []
        for prefix, module in self.modules.items():
            params += [(f"{prefix}.{role}", p) for role, p in module.named_parameters(recurse=False)]
            states += [(f"{prefix}.{role}", s) for role, s in module.named_buffers(recurse=False) if s.dtype.is_floating_point]
        return params, states

    def batch(self, tag):
        x = torch.from_numpy(fill(f"{tag}.x", self.samples * math.prod(self.shape))).reshape(self.samples, *self.shape)
        labels = torch.from_numpy(((fill(f"{tag}.label", self.samples) + 1) / 2 * self.classes).astype(numpy.int64))
        return x, labels


def tensor_text(tensor):
    flat = tensor.detach().reshape(-1).numpy()
    if flat.size <= FULL_LIMIT:
        return "full " + numbers(flat)
    return "digest " + numbers([numpy.linalg.norm(flat), flat @ fill("digest", flat.size)])


def numbers(values):
    return " ".join(float(v).hex() for v in values)


def shards_of(count, shards):
    """Slices of a batch: dealt evenly, the first ones take what is left over."""
    sizes = [count // shards + (s < count % shards) for s in range(shards)]
    return [slice(sum(sizes[:s]), sum(sizes[: s + 1])) for s in range(shards)]


def sharded_loss(case, net, states, x, labels):
    """The sum of losses, batch statistics per shard; running statistics move by the samples' mean of what each shard says.
    They are written through `data`, since no gradient depends on them."""
    before, after = [s.clone() for s in states], [torch.zeros_like(s) for s in states]
    total = 0
    for piece in shards_of(case.samples, case.shards):
        for state, value in zip(states, before):
            state.data.copy_(value)
        total = total + nn.functional.cross_entropy(net(x[piece]).flatten(1), labels[piece], reduction="sum")
        for state, value in zip(states, after):
            value += state * (piece.stop - piece.start) / case.samples
    for state, value in zip(states, after):
        state.data.copy_(value)
    return total


def train(case, net, params, states):
    """Runs the steps; the loss sums and gradient norms of each, and the last sums of gradients."""
    params = [(name, p) for name, p in params if p.requires_grad]
    sgd = torch.optim.SGD([p for _, p in params], lr=case.lr, **case.sgd)
    losses, norms, grads = [], [], {}
    net.train()
    for step in range(case.steps):
        for module in net.modules():
            if isinstance(module, Random):
                module.samples_seen = step * case.samples
        x, labels = case.batch(f"step{step}")
        sgd.zero_grad()
        loss = sharded_loss(case, net, [s for _, s in states], x, labels)
        loss.backward()
        grads = {name: p.grad.clone() for name, p in params}
        for _, p in params:
            p.grad /= case.samples
        norm = torch.nn.utils.clip_grad_norm_([p for _, p in params], case.clip if case.clip > 0 else float("inf"))
        sgd.step()
        losses.append(loss.item())
        norms.append(norm.item())
    return losses, norms, grads


def write_case(case, out):
    net = case.net
    params, states = case.tensors()
    assert len(params) == len(list(net.parameters())), f"{case.name}: a parameter has no name"
    with torch.no_grad():
        for name, tensor in params + states:
            tensor.copy_(initial(name, tensor.shape))
    losses, norms, grads = train(case, net, params, states)
    net.eval()
    logits = net(case.batch("eval")[0])
    print(f"case {case.name}", file=out)
    print("input", *case.shape, file=out)
    print(f"layers {case.layers}", file=out)
    print(f"optimizer {case.optimizer}", file=out)
    print(f"batch {case.samples} {case.classes} {case.steps} {case.shards}", file=out)
    print(f"lr {numbers([case.lr])}\nclip {numbers([case.clip])}", file=out)
    print(f"loss {numbers(losses)}\nnorm {numbers(norms)}", file=out)
    for name in grads:
        print(f"grad {name} {tensor_text(grads[name])}", file=out)
    if case.steps > 1:
        for name, p in params:
            print(f"param {name} {tensor_text(p)}", file=out)
    for name, s in states:
        print(f"state {name} {tensor_text(s)}", file=out)
    print(f"logits {tensor_text(logits)}\nend", file=out)


def conv_case(name, shape, filters, text, **options):
    """input -> conv 1x1 (so that the input's gradient shows) -> the convolution -> linear."""
    channels = shape[0]
    modules = {
        "conv1": nn.Conv2d(channels, channels, 1),
        "conv2": nn.Conv2d(channels, filters, **options),
        "flatten": nn.Flatten(),
    }
    return closed(Case, name, shape, f"{{conv: {{filters: {channels}, kernel: 1}}}}, {{conv: {{filters: {filters}, {text}}}}}",
                  modules)


def middle_case(name, shape, text, module, module_name="middle", **case):
    """input -> conv 1x1 -> the layer in question -> linear."""
    channels = shape[0]
    modules = {"conv1": nn.Conv2d(channels, channels, 1), module_name: module, "flatten": nn.Flatten()}
    return closed(Case, name, shape, f"{{conv: {{filters: {channels}, kernel: 1}}}}, {text}", modules, **case)


def closed(make, name, shape, text, modules, classes=3, **case):
    """Adds the last linear layer, whose input size the modules before it tell."""
    with torch.no_grad():
        features = nn.Sequential(*modules.values()).eval()(torch.zeros(1, *shape)).shape[1]
    modules["linear1"] = nn.Linear(features, classes)
    return make(name, shape, f"[{text}, flatten, {{linear: {classes}}}]", modules, classes=classes, **case)


def layer_cases():
    yield Case("linear", (7,), "[{linear: 6}, {linear: 3}]", {"linear1": nn.Linear(7, 6), "linear2": nn.Linear(6, 3)})
    yield Case("linear_no_bias", (7,), "[{linear: {units: 6, bias: false}}, {linear: {units: 3, bias: false}}]",
               {"linear1": nn.Linear(7, 6, bias=False), "linear2": nn.Linear(6, 3, bias=False)})
    yield conv_case("conv", (3, 6, 5), 4, "kernel: 3", kernel_size=3)
    yield conv_case("conv_no_bias", (2, 5, 5), 3, "kernel: 3, bias: false", kernel_size=3, bias=False)
    yield conv_case("conv_pad", (2, 5, 4), 3, "kernel: 5, pad: 2", kernel_size=5, padding=2)
    yield conv_case("conv_pad_beyond", (2, 4, 3), 3, "kernel: [2, 1], pad: [5, 2], stride: [2, 1]", kernel_size=(2, 1), padding=(5, 2),
                    stride=(2, 1))
    yield conv_case("conv_stride", (3, 7, 9), 4, "kernel: 3, stride: 2, pad: 1", kernel_size=3, stride=2, padding=1)
    yield conv_case("conv_stride_rest", (2, 8, 6), 3, "kernel: 3, stride: 2", kernel_size=3, stride=2)
    yield conv_case("conv_dilation", (2, 9, 8), 3, "kernel: 3, dilation: 2, pad: 1", kernel_size=3, dilation=2, padding=1)
    yield conv_case("conv_groups", (4, 5, 5), 6, "kernel: 3, groups: 2", kernel_size=3, groups=2)
    yield conv_case("conv_depthwise", (4, 5, 5), 4, "kernel: 3, pad: 1, groups: 4", kernel_size=3, padding=1, groups=4)
    yield conv_case("conv_rectangle", (2, 6, 7), 3, "kernel: [2, 5], stride: [1, 2], pad: [1, 2]", kernel_size=(2, 5),
                    stride=(1, 2), padding=(1, 2))
    yield conv_case("conv_everything", (4, 9, 10), 6, "kernel: [3, 2], stride: [2, 3], pad: [2, 1], dilation: [2, 3], groups: 2",
                    kernel_size=(3, 2), stride=(2, 3), padding=(2, 1), dilation=(2, 3), groups=2)
    yield middle_case("maxpool", (3, 6, 6), "{maxpool: {window: 2, stride: 2}}", nn.MaxPool2d(2, 2))
    yield middle_case("maxpool_overlap", (2, 7, 8), "{maxpool: {window: 3, stride: 2}}", nn.MaxPool2d(3, 2))
    yield middle_case("maxpool_pad", (2, 7, 6), "{maxpool: {window: 3, stride: 2, pad: 1}}", nn.MaxPool2d(3, 2, 1))
    yield middle_case("avgpool", (3, 6, 6), "{avgpool: {window: 2, stride: 2}}", nn.AvgPool2d(2, 2))
    yield middle_case("avgpool_pad", (2, 7, 6), "{avgpool: {window: 3, stride: 2, pad: 1}}", nn.AvgPool2d(3, 2, 1))
    yield middle_case("global_avgpool", (4, 5, 6), "global_avgpool", nn.AdaptiveAvgPool2d(1))
    yield middle_case("relu", (3, 4, 4), "relu", nn.ReLU())
    yield middle_case("sigmoid", (3, 4, 4), "sigmoid", nn.Sigmoid())
    yield middle_case("tanh", (3, 4, 4), "tanh", nn.Tanh())
    yield middle_case("leaky_relu", (3, 4, 4), "{leaky_relu: 0.125}", nn.LeakyReLU(0.125))
    yield middle_case("gelu", (3, 4, 4), "gelu", nn.GELU())
    yield middle_case("gelu_tanh", (3, 4, 4), "gelu_tanh", nn.GELU(approximate="tanh"))
    yield middle_case("softplus", (3, 4, 4), "softplus", nn.Softplus())
    yield middle_case("layernorm", (3, 4, 5), "layernorm", nn.LayerNorm((3, 4, 5)), "layernorm1")
    yield middle_case("layernorm_options", (3, 4, 5), "{layernorm: {eps: 1e-3}}", nn.LayerNorm((3, 4, 5), eps=1e-3), "layernorm1",
                      steps=2)
    yield Case("layernorm_vector", (6,), "[{linear: 5}, layernorm, gelu, {linear: 3}]",
               {"linear1": nn.Linear(6, 5), "layernorm1": nn.LayerNorm(5), "gelu": nn.GELU(), "linear2": nn.Linear(5, 3)})
    yield middle_case("batchnorm", (3, 4, 5), "batchnorm", nn.BatchNorm2d(3), "bn1")
    yield middle_case("batchnorm_options", (3, 4, 5), "{batchnorm: {eps: 1e-3, momentum: 0.3}}",
                      nn.BatchNorm2d(3, eps=1e-3, momentum=0.3), "bn1", steps=2)
    yield Case("batchnorm_vector", (6,), "[{linear: 5}, batchnorm, relu, {linear: 3}]",
               {"linear1": nn.Linear(6, 5), "bn1": nn.BatchNorm1d(5), "relu": nn.ReLU(), "linear2": nn.Linear(5, 3)})


def dropout_case():
    modules = {"linear1": nn.Linear(9, 10), "dropout": Dropout(0.3, 0), "relu": nn.ReLU(), "linear2": nn.Linear(10, 6),
               "dropout2": Dropout(0.5, 1), "linear3": nn.Linear(6, 3)}
    return Case("dropout", (9,), "[{linear: 10}, {dropout: 0.3}, relu, {linear: 6}, {dropout: 0.5}, {linear: 3}]", modules, steps=2)


def noise_case():
    modules = {"noise": Noise(0.5, 0), "linear1": nn.Linear(9, 7), "tanh": nn.Tanh(), "noise2": Noise(0.25, 1),
               "linear2": nn.Linear(7, 3)}
    return Case("noise", (9,), "[{noise: 0.5}, {linear: 7}, tanh, {noise: {std: 0.25}}, {linear: 3}]", modules, steps=3)


def residual_case():
    conv, norm = nn.Conv2d(3, 3, 3, padding=1, bias=False), nn.BatchNorm2d(3)
    first, linear = nn.Conv2d(2, 3, 1), nn.Linear(48, 3)
    block = Residual(nn.Sequential(conv, norm))
    return Case("residual", (2, 4, 4), "[{conv: {filters: 3, kernel: 1}}, {residual: [{conv: {filters: 3, kernel: 3, pad: 1, "
                "bias: false}}, batchnorm]}, relu, flatten, {linear: 3}]",
                {"conv1": first, "residual1.conv1": conv, "residual1.bn1": norm, "linear1": linear},
                nn.Sequential(first, block, nn.ReLU(), nn.Flatten(), linear))


def projection_case():
    first, conv, project, linear = nn.Conv2d(2, 2, 1), nn.Conv2d(2, 4, 3, 2, 1), nn.Conv2d(2, 4, 1, 2, bias=False), nn.Linear(36, 3)
    block = Residual(nn.Sequential(conv, nn.Tanh()), project)
    return Case("residual_projection", (2, 5, 6), "[{conv: {filters: 2, kernel: 1}}, {residual: [{conv: {filters: 4, kernel: 3, "
                "stride: 2, pad: 1}}, tanh]}, flatten, {linear: 3}]",
                {"conv1": first, "residual1.conv1": conv, "residual1.project": project, "linear1": linear},
                nn.Sequential(first, block, nn.Flatten(), linear))


def branches_case():
    first, one, two, linear = nn.Conv2d(2, 3, 1), nn.Conv2d(3, 2, 1), nn.Conv2d(3, 4, 3, padding=1), nn.Linear(9 * 20, 3)
    paths = Branches(one, nn.Sequential(two, nn.ReLU()), nn.MaxPool2d(3, 1, 1))
    return Case("branches", (2, 4, 5), "[{conv: {filters: 3, kernel: 1}}, {branches: [[{conv: {filters: 2, kernel: 1}}], "
                "[{conv: {filters: 4, kernel: 3, pad: 1}}, relu], [{maxpool: {window: 3, stride: 1, pad: 1}}]]}, flatten, {linear: 3}]",
                {"conv1": first, "branches1.b1.conv1": one, "branches1.b2.conv1": two, "linear1": linear},
                nn.Sequential(first, paths, nn.Flatten(), linear))


def joined_cases():
    yield dropout_case()
    yield noise_case()
    yield residual_case()
    yield projection_case()
    yield branches_case()


class Graph(nn.Module):
    """A network that is a function of its modules, each a parameter's owner once."""

    def __init__(self, modules, function):
        super().__init__()
        self.parts, self.function = nn.ModuleList(modules.values()), function

    def forward(self, x):
        return self.function(x)


def graph_case(name, shape, layers, modules, function, **case):
    return Case(name, shape, layers, modules, Graph(modules, function), **case)


def siamese_case():
    conv, code, linear = nn.Conv2d(2, 3, 3, padding=1), nn.Linear(60, 5), nn.Linear(10, 3)
    tower = nn.Sequential(conv, nn.Tanh(), nn.Flatten(), code, nn.Sigmoid())
    return graph_case("siamese", (2, 4, 5), "[{conv: {filters: 3, kernel: 3, pad: 1}, name: left}, tanh, flatten, {linear: 5, name: "
                      "code}, {sigmoid: {}, name: a}, {tanh: {}, name: other, from: input}, {conv: {filters: 3, kernel: 3, pad: "
                      "1}, share: left}, tanh, flatten, {linear: 5, share: code}, {sigmoid: {}, name: b}, {concat: {}, from: [a, "
                      "b]}, {linear: 3}]", {"left": conv, "code": code, "linear3": linear},
                      lambda x: linear(torch.cat([tower(x), tower(torch.tanh(x))], 1)), steps=2, shards=2,
                      optimizer="{sgd: {momentum: 0.875}}", sgd={"momentum": 0.875})


class Bias(nn.Module):
    def __init__(self, count):
        super().__init__()
        self.bias = nn.Parameter(torch.zeros(count))


def tied_case():
    code, bias, linear = nn.Linear(9, 4), Bias(9), nn.Linear(9, 3)
    return graph_case("tied", (9,), "[{linear: 4, name: code}, sigmoid, {linear: {units: 9, transpose: true}, share: code.weight}, "
                      "relu, {linear: 3}]", {"code": code, "linear2": bias, "linear3": linear},
                      lambda x: linear(torch.relu(torch.sigmoid(code(x)) @ code.weight + bias.bias)), steps=2, shards=2)


def product_case():
    x, y, z, linear = nn.Linear(6, 5), nn.Linear(6, 5), nn.Linear(6, 5), nn.Linear(5, 3)
    return graph_case("product", (6,), "[{linear: 5, name: x}, {linear: 5, name: y, from: input}, {linear: 5, name: z, from: input}, "
                      "{multiply: {}, from: [x, y]}, {add: {}, from: [multiply1, z]}, {linear: 3}]",
                      {"x": x, "y": y, "z": z, "linear4": linear}, lambda v: linear(x(v) * y(v) + z(v)))


def frozen_case():
    modules = {"conv1": nn.Conv2d(2, 3, 3, padding=1), "bn1": nn.BatchNorm2d(3), "conv2": nn.Conv2d(3, 3, 1), "flatten": nn.Flatten(),
               "linear1": nn.Linear(60, 3)}
    for name in ("bn1", "conv2"):
        modules[name].requires_grad_(False)
    modules["bn1"].eval()
    modules["bn1"].train = lambda mode=True: modules["bn1"]  # a frozen one normalises as in evaluation
    return Case("frozen", (2, 4, 5), "[{conv: {filters: 3, kernel: 3, pad: 1}}, {batchnorm: {}, freeze: true}, {conv: {filters: 3, "
                "kernel: 1}, freeze: true}, flatten, {linear: 3}]", modules, steps=2)


def graph_cases():
    yield siamese_case()
    yield tied_case()
    yield product_case()
    yield frozen_case()


def lenet_cases():
    """Three steps of the whole LeNet with everything that SGD has."""
    modules = {"conv1": nn.Conv2d(1, 20, 5), "pool1": nn.MaxPool2d(2), "conv2": nn.Conv2d(20, 50, 5), "pool2": nn.MaxPool2d(2),
               "flatten": nn.Flatten(), "linear1": nn.Linear(800, 500), "relu": nn.ReLU(), "linear2": nn.Linear(500, 10)}
    layers = ("[{conv: {filters: 20, kernel: 5}}, {maxpool: {window: 2, stride: 2}}, {conv: {filters: 50, kernel: 5}}, "
              "{maxpool: {window: 2, stride: 2}}, flatten, {linear: 500}, relu, {linear: 10}]")
    yield Case("lenet", (1, 28, 28), layers, modules, samples=8, classes=10, steps=3, lr=0.03125, clip=2.0,
               optimizer="{sgd: {momentum: 0.875, nesterov: true, weight_decay: 0.015625}}",
               sgd={"momentum": 0.875, "nesterov": True, "weight_decay": 0.015625})


def resnet_block(inputs, outputs, stride):
    """Two 3x3 convolutions with batchnorm, as in ResNet-20; with a projection where the shape changes."""
    named = {"conv1": nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False), "bn1": nn.BatchNorm2d(outputs),
             "conv2": nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False), "bn2": nn.BatchNorm2d(outputs)}
    body = nn.Sequential(named["conv1"], named["bn1"], nn.ReLU(), named["conv2"], named["bn2"])
    if stride == 1:
        return Residual(body), named
    named |= {"project": nn.Conv2d(inputs, outputs, 1, stride, bias=False), "project_bn": nn.BatchNorm2d(outputs)}
    return Residual(body, nn.Sequential(named["project"], named["project_bn"])), named


def resnet_case(name, shards):
    conv, norm, linear = nn.Conv2d(3, 6, 3, padding=1, bias=False), nn.BatchNorm2d(6), nn.Linear(10, 4)
    one, one_named = resnet_block(6, 6, 1)
    two, two_named = resnet_block(6, 10, 2)
    net = nn.Sequential(conv, norm, nn.ReLU(), one, nn.ReLU(), two, nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), linear)
    modules = {"conv1": conv, "bn1": norm}
    modules |= {f"residual1.{key}": module for key, module in one_named.items()}
    modules |= {f"residual2.{key}": module for key, module in two_named.items()}
    modules["linear1"] = linear
    text = ("{residual: [{conv: {filters: %d, kernel: 3, stride: %d, pad: 1, bias: false}}, batchnorm, relu, "
            "{conv: {filters: %d, kernel: 3, pad: 1, bias: false}}, batchnorm]}, relu")
    layers = (f"[{{conv: {{filters: 6, kernel: 3, pad: 1, bias: false}}}}, batchnorm, relu, {text % (6, 1, 6)}, "
              f"{text % (10, 2, 10)}, global_avgpool, {{linear: 4}}]")
    return Case(name, (3, 9, 8), layers, modules, net, samples=11, classes=4, steps=3, shards=shards, lr=0.125,
                optimizer="{sgd: {momentum: 0.875, weight_decay: 0.0078125}}", sgd={"momentum": 0.875, "weight_decay": 0.0078125})


def resnet_cases():
    yield resnet_case("resnet", 1)
    yield resnet_case("resnet_shards", 3)


FILES = {"layers.txt": layer_cases, "joins.txt": joined_cases, "graphs.txt": graph_cases, "lenet.txt": lenet_cases, "resnet.txt": resnet_cases}


def main():
    DATA.mkdir(exist_ok=True)
    for file, cases in FILES.items():
        with open(DATA / file, "w", encoding="ascii") as out:
            for case in cases():
                write_case(case, out)


if __name__ == "__main__":
    main()
