"""Compares dtrain with PyTorch: same nets, same initial weights, same data in memory, same threads, interleaved.

For every net: (1) both train some steps from dtrain's initial checkpoint on the same batches, and the loss curves must agree;
(2) rounds of A B A B; the median of the ratios pair by pair and their spread are printed, with each side's share of the sgemm
rate measured in the same run. PyTorch is taken at the best of the named variants, chosen by a first round.
"""
import argparse
import gzip
import json
import os
import re
import statistics
import struct
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
FASHION = os.environ.get("FASHION_MNIST", "/usr/share/datasets/fashion-mnist")
LR, MOMENTUM = 0.01, 0.9


def linear_net(widths):
    layers = ["flatten"]
    for width in widths[:-1]:
        layers += ["linear: %d" % width, "relu"]
    return layers + ["linear: %d" % widths[-1]]


def lenet():
    return ["conv: {filters: 20, kernel: 5}", "maxpool: 2", "conv: {filters: 50, kernel: 5}", "maxpool: 2", "flatten",
            "linear: 500", "relu", "linear: 10"]


def resnet20():
    """He et al. 2015, section 4.2, with projections (option B) where the shape changes."""
    conv = lambda filters, stride: "conv: {filters: %d, kernel: 3, pad: 1, stride: %d, bias: false}" % (filters, stride)
    layers = [conv(16, 1), "batchnorm", "relu"]
    for stage, filters in enumerate((16, 32, 64)):
        for block in range(3):
            stride = 2 if stage > 0 and block == 0 else 1
            body = ["{%s}" % conv(filters, stride), "batchnorm", "relu", "{%s}" % conv(filters, 1), "batchnorm"]
            layers += ["residual: [%s]" % ", ".join(body), "relu"]
    return layers + ["global_avgpool", "flatten", "linear: 10"]


# name: (layers, data set, GFLOP... are printed by dtrain)
NETS = {
    "logistic": (linear_net([10]), "fashion"),
    "mlp": (linear_net([512, 512, 10]), "fashion"),
    "lenet": (lenet(), "fashion"),
    "resnet20": (resnet20(), "cifar"),
}
# (net, batch, shards, ranks, threads of a rank, steps of a round)
CASES = [
    ("logistic", 64, 4, 1, 2, 1500),
    ("mlp", 32, 2, 1, 2, 400),
    ("mlp", 256, 4, 1, 2, 100),
    ("lenet", 64, 4, 1, 2, 100),
    ("lenet", 256, 4, 1, 2, 30),
    ("resnet20", 128, 1, 1, 2, 5),
    ("mlp", 256, 2, 2, 1, 100),
    ("lenet", 256, 2, 2, 1, 30),
    ("resnet20", 256, 2, 2, 1, 4),
]


# --- data ---

def read_idx(path):
    with gzip.open(path) as f:
        raw = f.read()
    ndim = raw[3]
    import numpy as np
    return np.frombuffer(raw, np.uint8, offset=4 + 4 * ndim).reshape(struct.unpack(">%dI" % ndim, raw[4:4 + 4 * ndim]))


def write_cifar(folder):
    """Speed and agreement need no real pictures: 10,000 records with a class-dependent pattern."""
    import numpy as np
    path = os.path.join(folder, "batch.bin")
    rng = np.random.default_rng(1)
    labels = rng.integers(0, 10, 10000, dtype=np.uint8)
    pixels = rng.integers(0, 128, (10000, 3072), dtype=np.uint8) + (labels[:, None] * 12)
    np.concatenate([labels[:, None], pixels.astype(np.uint8)], axis=1).tofile(path)
    return path


def load_data(kind, folder):
    import numpy as np
    if kind == "fashion":
        x = read_idx(FASHION + "/train-images-idx3-ubyte.gz")[:, None]
        y = read_idx(FASHION + "/train-labels-idx1-ubyte.gz")
    else:
        raw = np.fromfile(os.path.join(folder, "batch.bin"), np.uint8).reshape(-1, 3073)
        x, y = raw[:, 1:].reshape(-1, 3, 32, 32), raw[:, 0]
    return x, y


def write_config(folder, net, batch, shards):
    layers, kind = NETS[net]
    data = ("  dir: %s\n  train: {idx: {images: train-images-idx3-ubyte.gz, labels: train-labels-idx1-ubyte.gz}}\n" % FASHION
            if kind == "fashion" else "  dir: %s\n  train: {cifar10: {files: batch.bin}}\n" % folder)
    channels = 1 if kind == "fashion" else 3
    path = os.path.join(folder, "%s-%d-%d.yaml" % (net, batch, shards))
    with open(path, "w") as f:
        f.write("name: %s\noutput: %s/runs\nthreads: auto\ndata:\n%s  mean: %s\n  std: %s\n  shuffle: false\n" %
                (net, folder, data, [0.5] * channels, [0.25] * channels))
        f.write("model:\n  input: %s\n  layers:\n" % ([1, 28, 28] if kind == "fashion" else [3, 32, 32]))
        for layer in layers:
            f.write("    - %s\n" % layer)
        f.write("  loss: cross_entropy\ntrain: {global_batch: %d, shards: %d, length: 1000 epochs}\n" % (batch, shards))
        f.write("optimizer: {sgd: {momentum: %g}}\nschedule: {lr: %g}\nlog: {every: 1 steps}\n" % (MOMENTUM, LR))
    return path


# --- PyTorch ---

def torch_net(net):
    import torch.nn as nn
    if net == "logistic":
        return nn.Sequential(nn.Flatten(), nn.Linear(784, 10))
    if net == "mlp":
        return nn.Sequential(nn.Flatten(), nn.Linear(784, 512), nn.ReLU(), nn.Linear(512, 512), nn.ReLU(), nn.Linear(512, 10))
    if net == "lenet":
        return nn.Sequential(nn.Conv2d(1, 20, 5), nn.MaxPool2d(2), nn.Conv2d(20, 50, 5), nn.MaxPool2d(2), nn.Flatten(),
                             nn.Linear(800, 500), nn.ReLU(), nn.Linear(500, 10))

    class Block(nn.Module):
        def __init__(self, width_in, width, stride):
            super().__init__()
            self.body = nn.Sequential(nn.Conv2d(width_in, width, 3, stride, 1, bias=False), nn.BatchNorm2d(width), nn.ReLU(),
                                      nn.Conv2d(width, width, 3, 1, 1, bias=False), nn.BatchNorm2d(width))
            self.short = nn.Identity() if width_in == width else nn.Sequential(
                nn.Conv2d(width_in, width, 1, stride, bias=False), nn.BatchNorm2d(width))

        def forward(self, x):
            return nn.functional.relu(self.body(x) + self.short(x))

    blocks, width_in = [nn.Conv2d(3, 16, 3, 1, 1, bias=False), nn.BatchNorm2d(16), nn.ReLU()], 16
    for stage, width in enumerate((16, 32, 64)):
        for b in range(3):
            blocks.append(Block(width_in, width, 2 if stage > 0 and b == 0 else 1))
            width_in = width
    return nn.Sequential(*blocks, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, 10))


def read_safetensors(torch, path):
    """{name: tensor}. No numpy: a GPU machine may have PyTorch without it."""
    raw = bytearray(open(path, "rb").read())
    size = struct.unpack("<Q", raw[:8])[0]
    header = json.loads(raw[8:8 + size])
    types = {"F32": torch.float32, "F64": torch.float64}
    read = lambda t: torch.frombuffer(raw[8 + size + t["data_offsets"][0]:8 + size + t["data_offsets"][1]], dtype=types[t["dtype"]])
    return {name: read(t).reshape(t["shape"]) for name, t in header.items() if name != "__metadata__"}


def copy_weights(model, path):
    """dtrain's parameters into the PyTorch module: layers in order of the config, matched by shape and role."""
    import torch
    tensors = read_safetensors(torch, path)
    # "residual2.conv1" comes after "conv1", before "linear1"; within a residual the body comes before the projection.
    place = {"conv": 0, "residual": 1, "linear": 2, "project": 3}
    order = lambda layer: [(place.get(re.match("[a-z]+", part).group(), 0), int(re.search(r"\d*$", part).group() or 0))
                           for part in layer.split(".")]
    layers = {name.rsplit(".", 1)[0] for name in tensors if name.endswith(".weight") and tensors[name].ndim > 1}
    names = sorted(layers, key=order)
    # Batch norms start at ones and zeros on both sides.
    weights = [m for m in model.modules() if isinstance(m, (torch.nn.Conv2d, torch.nn.Linear))]
    assert len(names) == len(weights), (names, len(weights))
    with torch.no_grad():
        for name, module in zip(names, weights):
            # copy_ would spread a smaller tensor over a larger one.
            assert module.weight.shape == tensors[name + ".weight"].shape, (name, module.weight.shape)
            assert (module.bias is not None) == (name + ".bias" in tensors), name
            module.weight.copy_(tensors[name + ".weight"])
            if module.bias is not None:
                module.bias.copy_(tensors[name + ".bias"])


class Trainer:
    def __init__(self, net, batch, variant, folder, threads, rank=0, size=1):
        import torch
        torch.set_num_threads(threads)
        self.torch, self.batch, self.rank, self.size, self.position = torch, batch, rank, size, 0
        x, y = load_data(NETS[net][1], folder)
        self.x, self.y = torch.tensor(x), torch.tensor(y.astype("int64"))
        self.variant = variant
        self.model = torch_net(net)
        if "channels_last" in variant:
            self.model = self.model.to(memory_format=torch.channels_last)

    def start(self, weights=None):
        torch = self.torch
        if weights:
            copy_weights(self.model, weights)
        self.forward = self.model
        if self.size > 1:
            self.forward = torch.nn.parallel.DistributedDataParallel(self.model)
        if "compile" in self.variant:
            self.forward = torch.compile(self.forward)
        self.optimizer = torch.optim.SGD(self.model.parameters(), lr=LR, momentum=MOMENTUM, fused=True)

    def step(self):
        torch = self.torch
        if self.position + self.batch > len(self.y):
            self.position = 0
        share = self.batch // self.size
        first = self.position + self.rank * share
        x = (self.x[first:first + share].float() / 255 - 0.5) / 0.25
        if "channels_last" in self.variant:
            x = x.contiguous(memory_format=torch.channels_last)
        loss = torch.nn.functional.cross_entropy(self.forward(x), self.y[first:first + share])
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        self.optimizer.step()
        self.position += self.batch
        return loss

    def sgemm(self):
        torch = self.torch
        a, b = torch.randn(1024, 1024), torch.randn(1024, 1024)
        best = 1e9
        for _ in range(5):
            start = time.perf_counter()
            a @ b
            best = min(best, time.perf_counter() - start)
        return 2 * 1024**3 / best * 1e-9


def worker(arguments):
    """Answers requests, one JSON a line: {"steps": N} is timed; {"losses": N} gives the losses of N steps."""
    net, batch, variant, folder, threads, weights = arguments[:6]
    rank, size = int(os.environ.get("RANK", 0)), int(os.environ.get("WORLD_SIZE", 1))
    import torch
    if size > 1:
        torch.distributed.init_process_group("gloo")
    trainer = Trainer(net, int(batch), variant, folder, int(threads), rank, size)
    trainer.start(weights or None)
    while True:
        request = [None]
        if rank == 0:
            line = sys.stdin.readline()
            request = [json.loads(line) if line else {}]
        if size > 1:
            torch.distributed.broadcast_object_list(request, 0)
        request = request[0]
        if not request:
            break
        answer = {}
        if "losses" in request:
            losses = torch.stack([trainer.step().detach() for _ in range(request["losses"])])
            if size > 1:
                torch.distributed.all_reduce(losses)
            answer["losses"] = (losses / size).tolist()
        else:
            start = time.perf_counter()
            for _ in range(request["steps"]):
                trainer.step()
            answer["samples_per_second"] = request["steps"] * int(batch) / (time.perf_counter() - start)
            answer["sgemm"] = trainer.sgemm() if size == 1 else 0
        if rank == 0:
            print(json.dumps(answer), flush=True)


class Torch:
    def __init__(self, case, variant, folder, weights):
        net, batch, _, ranks, threads, _ = case
        command = [sys.executable, os.path.abspath(__file__), "--worker", net, str(batch), variant, folder, str(threads), weights]
        if ranks > 1:
            command = [os.path.join(os.path.dirname(sys.executable), "torchrun"), "--nproc-per-node", str(ranks), "--log-dir", folder,
                       "--standalone"] + command[1:]
        environment = dict(os.environ, OMP_NUM_THREADS=str(threads))
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
                                        env=environment)

    def ask(self, **request):
        self.process.stdin.write(json.dumps(request) + "\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        return json.loads(line) if line else None

    def close(self):
        self.process.stdin.close()
        self.process.wait()


# --- dtrain ---

def dtrain(case, config, *words):
    _, _, _, ranks, threads, _ = case
    command = ["dtrain", *words, config, "--threads", str(threads)]
    if ranks > 1:
        command = ["mpirun", "-np", str(ranks)] + command
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit("%s: exit %d\n%s" % (" ".join(command), done.returncode, done.stderr))
    return done.stdout


def dtrain_losses(case, config, folder, steps):
    subprocess.run(["rm", "-rf", folder + "/runs"], check=True)
    dtrain(case, config, "train", "--stop-after", str(steps))
    run = os.path.join(folder, "runs", case[0])
    losses = [json.loads(line) for line in open(run + "/metrics.jsonl")]
    first = sorted(os.listdir(run + "/ckpt"))[0]
    return [line["loss"] for line in losses if "lr" in line][:steps], os.path.join(run, "ckpt", first, "model.safetensors")


def dtrain_round(case, config):
    text = dtrain(case, config, "bench", "step", "--steps", str(max(1, case[5] // 5)))
    rate = float(re.search(r"([0-9.]+) samples/s", text).group(1))
    share = re.search(r": ([0-9.]+) of it", text)
    return rate, float(share.group(1)) if share else 0.0, float(re.search(r"([0-9.]+) GFLOP/s", text).group(1))


# --- one case ---

def compare(case, folder, rounds, agreement_steps):
    net, batch, shards, ranks, threads, steps = case
    title = "%s b%d, %d x %d thread%s" % (net, batch, ranks, threads, "" if threads == 1 else "s")
    config = write_config(folder, net, batch, shards)
    ours, weights = dtrain_losses(case, config, folder, agreement_steps)
    variants = ["eager"] if net in ("logistic", "mlp") else ["eager", "channels_last"]
    if ranks == 1:
        variants += ["compile" if net in ("logistic", "mlp") else "compile channels_last"]
    workers, first = {}, {}
    for variant in variants:
        torch_worker = Torch(case, variant, folder, weights)
        answer = torch_worker.ask(losses=agreement_steps)
        if answer is None:
            print("%s: PyTorch %s does not run here" % (title, variant), flush=True)
            continue
        worst = max(abs(a - b) / abs(b) for a, b in zip(ours, answer["losses"]))
        first[variant] = max(torch_worker.ask(steps=steps)["samples_per_second"] for _ in range(2))
        workers[variant] = torch_worker
        agreement = worst
        if worst > (2e-2 if net == "resnet20" else 2e-3):  # rounding grows where ReLUs flip
            sys.exit("%s: the loss curves part: worst relative difference %.2g over %d steps\nours  %s\ntheirs %s" %
                     (title, worst, agreement_steps, ours, answer["losses"]))
    best = max(first, key=first.get)
    for variant in list(workers):
        if variant != best:
            workers.pop(variant).close()
    a, b, ratio, share, torch_share = [], [], [], [], []
    for _ in range(rounds):
        mine, floor_share, gflops = dtrain_round(case, config)
        answer = workers[best].ask(steps=steps)
        theirs = answer["samples_per_second"]
        a.append(mine)
        b.append(theirs)
        ratio.append(mine / theirs)
        share.append(floor_share)
        torch_share.append(floor_share * theirs / mine)
    workers[best].close()
    print("| %s | %.0f | %.0f (%s) | %.2f (%.2f to %.2f) | %.2f | %.2f | %.1g |" %
          (title, statistics.median(a), statistics.median(b), best, statistics.median(ratio), min(ratio), max(ratio),
           statistics.median(share), statistics.median(torch_share), agreement), flush=True)


def main():
    if len(sys.argv) > 1 and sys.argv[1] == "--worker":
        return worker(sys.argv[2:])
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5, help="pairs of measurements (default 5)")
    parser.add_argument("--agreement-steps", type=int, default=10)
    parser.add_argument("--only", help="a regular expression on 'net bBATCH rRANKS'")
    options = parser.parse_args()
    print("| case | dtrain samples/s | PyTorch samples/s (best variant) | ratio, median (range) | dtrain / sgemm | PyTorch / sgemm |"
          " loss curves differ by |\n|---|---|---|---|---|---|---|", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        write_cifar(folder)
        for case in CASES:
            if options.only is None or re.search(options.only, "%s b%d r%d" % (case[0], case[1], case[3])):
                compare(case, folder, options.rounds, options.agreement_steps)
    return 0


if __name__ == "__main__":
    sys.exit(main())
