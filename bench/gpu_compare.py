"""Times dtrain's training step on a GPU against PyTorch's: same nets, initial weights and bytes in GPU memory, interleaved.

For every case (1) both train ten steps on one batch from dtrain's initial checkpoint, and the loss curves must agree; (2) rounds of
dtrain, PyTorch, dtrain, PyTorch ... give medians. On both sides the data lies in GPU memory as bytes, and a step converts and
normalises them, runs forward, backward and the update; a measurement is laps of many steps with one wait at the end of each.

PyTorch is taken at its best: channels_last, bf16 by autocast, fused SGD, cudnn.benchmark, and then
  eager    as it stands,
  graph    the whole step, update included, captured as one CUDA graph,
  compile  forward and backward compiled, the whole step captured; where that fails, compiled with PyTorch's own CUDA graphs.
The table is gone through without compile first, which takes minutes for deep nets, and then with compile, in rows of their own.
Beside them stands the floor: the largest of arithmetic at the rate of a large matrix product, memory traffic at the rate of a large
copy, and the step's instructions at what a node of a CUDA graph costs, all three rates measured in the same call.

Without PyTorch, or without a GPU in it, dtrain alone is timed. Only the standard library is needed for that. Without a GPU,
  --device cpu --rounds 0 --batch 4 --only 'resnet50 b64'
shows that the loss curves agree (dtrain computes in fp32 there).
"""
import argparse
import gc
import itertools
import json
import math
import os
import re
import select
import signal
import statistics
import subprocess
import sys
import tempfile
import time
import traceback

HERE = os.path.dirname(os.path.abspath(__file__))
CONFIGS = os.path.join(HERE, "configs")
MOMENTUM, AGREEMENT_STEPS, LAPS = 0.9, 10, 5
# Instructions of which one rank with one shard makes no node of a CUDA graph, and those of which all together may be one. Every
# other one is a node at least.
NO_NODE, ONE_NODE = ("combine", "reduce_begin", "reduce_end"), ("update", "bn_update")

# (net, batch, precision), the most telling first: time may end before the table does.
CASES = [
    ("resnet50", 64, "bf16"),
    ("lenet", 64, "fp32"),
    ("resnet20", 128, "bf16"),
    ("mlp", 64, "fp32"),
    ("resnet50", 16, "bf16"),
    ("vgg16", 16, "bf16"),
    ("resnet50", 256, "bf16"),
    ("resnet20", 128, "fp32"),
    ("logistic", 64, "fp32"),
    ("resnet18", 64, "bf16"),
    ("resnet50", 64, "tf32"),
]
VARIANTS = ["eager", "graph", "compile"]
LIMIT = {"gpu": 60, "cpu": 900}  # seconds for one answer of PyTorch, and half of those for one call of dtrain
# Largest difference of the losses of ten steps, as a part of what they fall by. Rounding grows where ReLUs flip and gradients are
# large: on the CPU at batch 4 in fp32 it is 1e-4 for ResNet-18 and 0.03 for ResNet-50, from whose losses in double precision
# PyTorch's own two layouts, contiguous and channels_last, are as far away as dtrain's.
AGREEMENT = {"fp32": 5e-2, "tf32": 1e-1, "bf16": 2e-1}


# --- the synthetic data set (src/data/synthetic.c) ---

MASK = 0xFFFFFFFF
PURPOSE_SYNTHETIC = 5


def philox(counter, key):
    """Philox-4x32-10. A word of the counter is an int, or an integer tensor: products wrap, but their 64 bits are right."""
    c, k = list(counter), list(key)
    for _ in range(10):
        a, b = c[0] * 0xD2511F53, c[2] * 0xCD9E8D57
        c = [((b >> 32) & MASK) ^ c[1] ^ k[0], b & MASK, ((a >> 32) & MASK) ^ c[3] ^ k[1], a & MASK]
        k = [(k[0] + 0x9E3779B9) & MASK, (k[1] + 0xBB67AE85) & MASK]
    return c


def rng_key(seed, purpose):
    """dt_rng_key: the finaliser of SplitMix64."""
    wrap = (1 << 64) - 1
    z = (seed + purpose * 0x9E3779B97F4A7C15) & wrap
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & wrap
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & wrap
    z ^= z >> 31
    return z & MASK, z >> 32


def synthetic(torch, device, shape, classes, samples, seed=1):
    """The bytes [samples, C, H, W] and labels [samples] of {synthetic: ...}."""
    key, count = rng_key(seed, PURPOSE_SYNTHETIC), math.prod(shape)
    block = torch.arange((count + 15) // 16, device=device, dtype=torch.int64)[None, :]
    pixels = torch.empty(samples, count, device=device, dtype=torch.uint8)
    at_once = max(1, (1 << 21) // block.numel())
    for first in range(0, samples, at_once):
        index = torch.arange(first, min(first + at_once, samples), device=device, dtype=torch.int64)[:, None]
        block_of, index = torch.broadcast_tensors(block, index)
        words = torch.stack(philox([block_of, torch.zeros_like(index), index, torch.zeros_like(index)], key), 2)
        parts = torch.stack([(words >> (8 * i)) & 255 for i in range(4)], 3)
        pixels[first:first + at_once] = parts.reshape(len(index), -1)[:, :count].to(torch.uint8)
    labels = [philox([0, 1, s, 0], key)[0] * classes >> 32 for s in range(samples)]
    return pixels.reshape(samples, *shape), torch.tensor(labels, device=device)


# --- PyTorch ---

def resnet(nn, bottleneck, counts):
    """torchvision's ResNet, stride in the 3x3 convolutions; a block's body comes before its projection, as in dtrain's names."""
    conv = lambda i, o, k, s=1: nn.Conv2d(i, o, k, s, k // 2, bias=False)

    class Block(nn.Module):
        def __init__(self, i, f, s):
            super().__init__()
            o = 4 * f if bottleneck else f
            parts = ([conv(i, f, 1), nn.BatchNorm2d(f), nn.ReLU(), conv(f, f, 3, s), nn.BatchNorm2d(f), nn.ReLU(), conv(f, o, 1)]
                     if bottleneck else [conv(i, f, 3, s), nn.BatchNorm2d(f), nn.ReLU(), conv(f, o, 3)])
            self.body = nn.Sequential(*parts, nn.BatchNorm2d(o))
            self.short = nn.Identity() if i == o and s == 1 else nn.Sequential(conv(i, o, 1, s), nn.BatchNorm2d(o))

        def forward(self, x):
            return nn.functional.relu(self.body(x) + self.short(x), inplace=True)

    layers, width = [nn.Conv2d(3, 64, 7, 2, 3, bias=False), nn.BatchNorm2d(64), nn.ReLU(), nn.MaxPool2d(3, 2, 1)], 64
    for stage, (n, f) in enumerate(zip(counts, (64, 128, 256, 512))):
        for b in range(n):
            layers.append(Block(width, f, 2 if stage > 0 and b == 0 else 1))
            width = 4 * f if bottleneck else f
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(width, 1000))


def vgg16(nn, dropout):
    layers, width = [], 3
    for f in (64, 64, "M", 128, 128, "M", 256, 256, 256, "M", 512, 512, 512, "M", 512, 512, 512, "M"):
        if f == "M":
            layers.append(nn.MaxPool2d(2))
        else:
            layers += [nn.Conv2d(width, f, 3, padding=1), nn.ReLU()]
            width = f
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(25088, 4096), nn.ReLU(), nn.Dropout(dropout), nn.Linear(4096, 4096),
                         nn.ReLU(), nn.Dropout(dropout), nn.Linear(4096, 1000))


def make_net(torch, net, dropout):
    sys.path.insert(0, HERE)
    from compare import torch_net
    if net == "resnet50":
        return resnet(torch.nn, True, (3, 4, 6, 3))
    if net == "resnet18":
        return resnet(torch.nn, False, (2, 2, 2, 2))
    return vgg16(torch.nn, dropout) if net == "vgg16" else torch_net(net)


class Trainer:
    """A step is self.run(): forward, backward, update, on the next batch of the data in GPU memory. request["capture"]: the step is
    one CUDA graph; request["compile"]: the mode of torch.compile, or none."""

    def __init__(self, torch, request, data):
        self.torch, self.batch, self.precision = torch, request["batch"], request["precision"]
        self.device = torch.device(request["device"])
        tf32 = self.precision == "tf32"
        torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = tf32
        torch.backends.cudnn.benchmark = True
        self.x, self.y = data
        model = make_net(torch, request["net"], request["dropout"])
        if request.get("weights"):
            from compare import copy_weights
            copy_weights(model, request["weights"])
        self.model = model.to(self.device, memory_format=torch.channels_last)
        self.optimizer = torch.optim.SGD(self.model.parameters(), lr=request["lr"], momentum=MOMENTUM, fused=True)
        self.minus_two = torch.tensor(-2.0, device=self.device)
        self.mode = request.get("compile")
        self.loss_of = torch.compile(self.loss, mode=self.mode, dynamic=False) if self.mode else self.loss
        self.position = 0
        self.run = self.eager
        if request.get("capture"):
            self.capture()
            self.run = self.replayed

    def loss(self, x, y):
        """x: bytes [batch, C, H, W] in channels_last, as the data set lies. (x / 255 - 0.5) / 0.25 is one kernel so."""
        torch = self.torch
        x = torch.add(self.minus_two, x, alpha=1 / 63.75)
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.precision == "bf16"):
            return torch.nn.functional.cross_entropy(self.model(x), y)

    def step(self, x, y):
        if self.mode == "reduce-overhead":
            self.torch.compiler.cudagraph_mark_step_begin()
        self.optimizer.zero_grad(set_to_none=True)
        loss = self.loss_of(x, y)
        loss.backward()
        self.optimizer.step()
        return loss.detach()

    def next_batch(self):
        first = self.position
        self.position = first + self.batch if first + 2 * self.batch <= len(self.y) else 0
        return self.x[first:first + self.batch], self.y[first:first + self.batch]

    def eager(self):
        return self.step(*self.next_batch())

    def capture(self):
        """The warm-up that capturing needs changes weights; they are put back."""
        torch = self.torch
        self.input, self.label = self.x[:self.batch].clone(), self.y[:self.batch].clone()
        before = {name: t.clone() for name, t in self.model.state_dict().items()}
        side = torch.cuda.Stream()
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            for _ in range(3):
                self.step(self.input, self.label)
        torch.cuda.current_stream().wait_stream(side)
        # Gradients that are None when recording begins get their memory from the graph's pool: nothing is zeroed or added to.
        self.optimizer.zero_grad(set_to_none=True)
        self.graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(self.graph):
            self.loss_value = self.step(self.input, self.label)
        with torch.no_grad():
            for name, t in self.model.state_dict().items():
                t.copy_(before[name])
            for state in self.optimizer.state.values():
                state["momentum_buffer"].zero_()

    def replayed(self):
        x, y = self.next_batch()
        self.input.copy_(x)
        self.label.copy_(y)
        self.graph.replay()
        return self.loss_value


def synchronize(torch):
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def lap_seconds(torch, work, repeats):
    """Seconds of one work(), from laps as `dtrain bench step` has them: one to warm up, then LAPS with a wait at the end of each."""
    laps = []
    for _ in range(1 + LAPS):
        synchronize(torch)
        start = time.perf_counter()
        for _ in range(repeats):
            work()
        synchronize(torch)
        laps.append((time.perf_counter() - start) / repeats)
    return laps[1:]


def node_seconds(torch):
    """What a node of a CUDA graph costs that does next to nothing and waits for the one before it."""
    nodes, x, graph, side = 1000, torch.zeros(1, device="cuda"), torch.cuda.CUDAGraph(), torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        x.add_(1)
    torch.cuda.current_stream().wait_stream(side)
    with torch.cuda.graph(graph):
        for _ in range(nodes):
            x.add_(1)
    return min(lap_seconds(torch, graph.replay, 10)) / nodes


def measure_rates(torch, request):
    """FLOP/s of a large matrix product in the case's precision, bytes/s of a large copy, read and written, and seconds of a node."""
    if request["device"] != "cuda":
        return {}
    torch.backends.cuda.matmul.allow_tf32 = request["precision"] == "tf32"
    dtype = torch.bfloat16 if request["precision"] == "bf16" else torch.float32
    n = 8192
    a, b, c = (torch.randn(n, n, device="cuda", dtype=dtype) for _ in range(3))
    x, y = (torch.empty(1 << 30, device="cuda", dtype=torch.uint8) for _ in range(2))
    return {"flops": 2 * n**3 / min(lap_seconds(torch, lambda: torch.mm(a, b, out=c), 8)),
            "bytes": 2 * x.numel() / min(lap_seconds(torch, lambda: y.copy_(x), 8)), "node": node_seconds(torch)}


class Worker:
    """Holds the trainers of a case, by variant, and the data set that they share."""

    def __init__(self, torch):
        self.torch, self.trainers, self.compiled, self.data, self.data_of = torch, {}, False, None, None

    def forget(self):
        self.trainers.clear()
        if self.compiled:
            self.torch.compiler.reset()  # else the nets of all cases count towards one limit of recompilations
        gc.collect()  # a trainer refers to itself
        if self.torch.cuda.is_available():
            self.torch.cuda.empty_cache()

    def make(self, request, variant):
        data_of = [request[name] for name in ("device", "shape", "classes", "samples")]
        if self.data_of != data_of:
            self.data = self.data_of = None
            x, y = synthetic(self.torch, *data_of)
            # A step finds the bytes in the layout that its convolutions want.
            self.data, self.data_of = (x.contiguous(memory_format=self.torch.channels_last), y), data_of
        self.trainers.pop(variant, None)
        self.compiled = self.compiled or bool(request.get("compile"))
        self.trainers[variant] = Trainer(self.torch, request, self.data)

    def answer(self, request):
        torch, trainer = self.torch, self.trainers.get(request.get("variant"))
        if "make" in request:
            self.make(request["make"], request["variant"])
        elif "forget" in request:
            self.forget()
        elif "losses" in request:
            return {"losses": [trainer.run().item() for _ in range(request["losses"])]}
        elif "steps" in request:
            return {"seconds": statistics.median(lap_seconds(torch, trainer.run, max(1, request["steps"] // LAPS)))}
        elif "rates" in request:
            return measure_rates(torch, request["rates"])
        else:
            gpu = torch.cuda.is_available()
            return {"torch": torch.__version__, "cuda": gpu, "gpu": torch.cuda.get_device_name(0) if gpu else None}
        return {}


def one_line(error):
    """A chain of errors begins with the least telling: what it was, and the first lines of why."""
    lines = [line.strip() for line in str(error).split("\n") if line.strip()]
    return ("%s: %s" % (type(error).__name__, " ".join(lines[:3])))[:300]


def worker():
    """Answers requests, one JSON a line: {"make": case} builds what {"losses": N} and {"steps": N} of the same variant run;
    {"forget": true} drops all of them."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what libraries print is no answer
    import torch
    torch.manual_seed(1)
    held = Worker(torch)
    for line in sys.stdin:
        try:
            answer = held.answer(json.loads(line))
        except Exception as error:  # the other side reports it and goes on
            traceback.print_exc()
            answer = {"error": one_line(error)}
        print(json.dumps(answer), file=answers, flush=True)


class Torch:
    """The worker; one that does not answer in time is ended, and a new one is started at the next request."""

    def __init__(self, cores, log):
        self.process, self.log, self.environment = None, log, dict(os.environ)
        if cores:
            self.environment["OMP_NUM_THREADS"] = str(cores)

    def ask(self, seconds, **request):
        if self.process is None:
            self.process = subprocess.Popen([sys.executable, os.path.abspath(__file__), "--worker"], bufsize=0, stdin=subprocess.PIPE,
                                            stdout=subprocess.PIPE, stderr=self.log, env=self.environment, start_new_session=True)
            self.buffer = b""
        try:
            self.process.stdin.write((json.dumps(request) + "\n").encode())
        except BrokenPipeError:
            self.close()
            return {"error": "the PyTorch process ended"}
        deadline = time.monotonic() + seconds
        while b"\n" not in self.buffer:
            ready, _, _ = select.select([self.process.stdout], [], [], max(0, deadline - time.monotonic()))
            part = os.read(self.process.stdout.fileno(), 65536) if ready else None
            if not part:
                self.close()
                return {"error": "no answer in %.0f s" % seconds if part is None else "the PyTorch process ended"}
            self.buffer += part
        line, self.buffer = self.buffer.split(b"\n", 1)
        return json.loads(line)

    def close(self):
        if self.process is not None:
            os.killpg(self.process.pid, signal.SIGKILL)  # with what it started to compile
            self.process.wait()
            self.process.stdin.close()
            self.process.stdout.close()
        self.process = None


# --- dtrain ---

class Failure(Exception):
    pass


class Dtrain:
    def __init__(self, options, folder):
        self.options, self.folder, self.plans = options, folder, []
        self.environment = dict(os.environ)
        if options.library_path:
            self.environment["LD_LIBRARY_PATH"] = options.library_path

    def run(self, words, seconds):
        seconds = min(seconds, 2 * LIMIT[self.options.device])
        command = [self.options.dtrain, *words, "--device", self.options.device, "--set", "output=%s/runs" % self.folder]
        if self.options.device == "cpu" and words[0] == "bench":
            command += ["--threads", str(self.options.threads)]
        try:
            done = subprocess.run(command, capture_output=True, text=True, env=self.environment, timeout=max(1, seconds))
        except subprocess.TimeoutExpired:
            raise Failure("dtrain %s: did not end in %.0f s" % (" ".join(words[:2]), seconds))
        if done.returncode != 0:
            raise Failure("dtrain %s: exit %d: %s" % (" ".join(words[:2]), done.returncode, (done.stderr.strip().split("\n") or [""])[-1]))
        return done.stdout

    def losses(self, config, name, seconds):
        """Losses of the first steps, and the checkpoint from before them."""
        self.run(["train", config, "--stop-after", str(AGREEMENT_STEPS), "--set", "log={every: 1 steps}"], seconds)
        run = max((os.path.join(self.folder, "runs", n) for n in os.listdir(self.folder + "/runs") if n == name), key=os.path.getmtime)
        lines = [json.loads(line) for line in open(run + "/metrics.jsonl")]
        return [line["loss"] for line in lines if line["kind"] == "train"], os.path.join(run, "ckpt", "step-0000000000-samples-000000000000", "model.safetensors")

    def time_engines(self, config, seconds):
        """Adds the case's convolutions and products to the plan table."""
        self.run(["bench", "plans", config, "--out", os.path.abspath(self.options.plans)], seconds)
        self.plans = ["--set", "plans=" + os.path.abspath(self.options.plans)]

    def step_seconds(self, config, steps, seconds):
        text = self.run(["bench", "step", config, "--steps", str(steps), *self.plans], seconds)
        found = re.search(r"step ([0-9.]+) us", text)
        if not found:
            raise Failure("dtrain bench step: found no time in: %s" % text.strip())
        return float(found.group(1)) * 1e-6

    def plan(self, config, seconds):
        """FLOP of a sample, bytes of its activations, parameters, instructions of a step, and what is said of slow convolutions."""
        units = {"k": 1e3, "M": 1e6, "G": 1e9, "T": 1e12, "": 1.0, "KiB": 1024.0, "MiB": 1024.0**2, "GiB": 1024.0**3, "B": 1.0}
        text = self.run(["describe", config], seconds)
        total = next(line for line in text.split("\n") if line.startswith("total")).split()
        number = lambda i: float(total[i]) * units[total[i + 1]]
        program = self.run(["describe", config, "--program"], seconds)
        ops = re.findall(r"^ *[0-9]+ +(\w+)", program, re.M)
        nodes = sum(op not in NO_NODE + ONE_NODE for op in ops) + sum(op in ops for op in ONE_NODE)
        return {"flops": number(2) + number(4), "activations": number(6), "parameters": int(total[1].replace(",", "")),
                "nodes": nodes, "plain": re.findall("^.* convolutions have no plan in cuDNN", text, re.M)}


def floor_parts(plan, rates, batch):
    """Seconds, of which the largest is the floor. Activations, in the precision that they have on the device, are written once and
    read once more; an fp32 parameter, its momentum and its gradient are each read and written. What fits into the GPU's cache may
    go faster than memory, and a convolution by Winograd's or Fourier's method faster than its arithmetic."""
    return {"arithmetic": batch * plan["flops"] / rates["flops"],
            "memory": (2 * batch * plan["activations"] + 24 * plan["parameters"]) / rates["bytes"],
            "nodes": plan["nodes"] * rates["node"]}


# --- one case ---

def write_config(folder, net, batch, precision, samples, dropout):
    """The benchmark's config with the case's numbers in it, and what PyTorch has to know of it."""
    text = open(os.path.join(CONFIGS, net + ".yaml")).read()
    text = re.sub(r"global_batch: \d+", "global_batch: %d" % batch, text)
    text = re.sub(r"samples: \d+", "samples: %d" % samples, text)
    text = re.sub(r"dropout: [0-9.]+", "dropout: %g" % dropout, text) + "precision: %s\n" % precision
    path = os.path.join(folder, "%s-%d-%s-%d.yaml" % (net, batch, precision, samples))
    open(path, "w").write(text)
    data = re.search(r"shape: \[(.*?)\], classes: (\d+)", text)
    return path, {"net": net, "batch": batch, "precision": precision, "samples": samples, "dropout": dropout,
                  "shape": [int(n) for n in data.group(1).split(",")], "classes": int(data.group(2)),
                  "lr": float(re.search(r"lr: ([0-9.]+)", text).group(1)), "name": re.search(r"^name: (.*)$", text, re.M).group(1)}


def compare_losses(row, dtrain, torch, case, options, left):
    """One batch again and again: the loss falls only if the gradients are right. Curves that part are a failure, told in
    row["parted"]; the case is timed all the same, for whoever looks for the reason."""
    net, batch, precision = case
    config, facts = write_config(dtrain.folder, net, batch, precision, batch, 0)
    row["losses"], weights = dtrain.losses(config, facts["name"], left())
    make, limit = dict(facts, weights=weights, device=options.torch_device), LIMIT[options.device]
    for variant in options.variants:
        answer = torch.ask(min(limit, left()), make=dict(make, capture=variant == "graph"), variant=variant)
        answer = answer if "error" in answer else torch.ask(min(limit, left()), losses=AGREEMENT_STEPS, variant=variant)
        if "error" in answer:
            row["notes"].append("losses of %s: %s" % (variant, answer["error"]))
            continue
        theirs = row["losses_torch"][variant] = answer["losses"]
        fall = theirs[0] - theirs[-1]
        if not fall > 0:
            row["parted"] = "PyTorch's loss (%s) does not fall on one batch (from %g by %g), so nothing can be compared" % (
                variant, theirs[0], fall)
            continue
        differ = max(abs(a - b) for a, b in zip(row["losses"], theirs)) / fall
        row["losses_differ"] = max(differ, row.get("losses_differ", 0))
        if not differ <= AGREEMENT[precision]:
            row["parted"] = ("the loss curves part: by %.2g of their fall in %d steps of PyTorch (%s), expected at most %g" %
                             (differ, AGREEMENT_STEPS, variant, AGREEMENT[precision]))


def steps_for(seconds):
    """So many, in LAPS laps, that a measurement takes about half a second."""
    return max(LAPS, min(10000, int(0.5 / max(seconds, 1e-6))))


def ways(variant, options):
    """What to ask the worker for, the best first: a way that fails is followed by the next."""
    captured = {"capture": options.device == "gpu"}
    return {"eager": [{}], "graph": [captured],
            "compile": [dict(captured, compile=options.compile_mode), {"compile": "reduce-overhead"}]}[variant]


def make_variant(torch, make, variant, limit, left):
    """Builds one and warms it up: the answer to a short measurement, which tells how many steps fit a long one."""
    end = time.monotonic() + min(limit, left())
    remaining = lambda: max(1, end - time.monotonic())
    for request in [{"make": make}, {"steps": LAPS}, {"steps": LAPS}]:  # the first steps choose algorithms
        answer = torch.ask(remaining(), variant=variant, **request)
        if "error" in answer:
            break
    return answer


def make_variants(row, torch, facts, options, left):
    """Builds and warms up PyTorch's variants: {variant: steps of a measurement} of those that run. What does not is noted."""
    made, steps = {}, {}
    torch.ask(LIMIT[options.device], forget=True)
    for variant in options.variants:
        limit = options.compile_seconds if variant == "compile" else LIMIT[options.device]
        for way in ways(variant, options):
            if left() < min(30, limit / 2):
                row["notes"].append("%s: no time was left" % variant)
                break
            make = dict(facts, device=options.torch_device, **way)
            answer = make_variant(torch, make, variant, limit, left)
            if "error" not in answer:
                made[variant], steps[variant] = make, steps_for(answer["seconds"])
                break
            row["notes"].append("%s%s: %s" % (variant, " " + json.dumps(way) if len(way) > 1 else "", answer["error"]))
            if torch.process is None:  # it took the others with it, and they are quickly made again
                for other in made:
                    make_variant(torch, made[other], other, LIMIT[options.device], left)
                break
    return steps


def time_case(row, dtrain, torch, config, facts, options, left):
    """Rounds of dtrain and each of PyTorch's variants; medians into the row."""
    if options.plans and options.device == "gpu":
        dtrain.plans = ["--set", "plans=off"]
        row["seconds_by_heuristics"] = dtrain.step_seconds(config, 20, left())
        if options.timed:
            dtrain.plans = ["--set", "plans=" + os.path.abspath(options.plans)]
        else:
            try:
                dtrain.time_engines(config, left())
            except Failure as failure:
                row["notes"].append(str(failure))
    steps = steps_for(dtrain.step_seconds(config, 3, left()))
    variants = make_variants(row, torch, facts, options, left) if torch is not None else {}
    times = {name: [] for name in ["dtrain", *variants]}
    for _ in range(options.rounds):
        if left() < 3 and times["dtrain"]:
            break
        times["dtrain"].append(dtrain.step_seconds(config, max(1, steps // LAPS), left()))
        for variant in variants:
            answer = torch.ask(LIMIT[options.device], steps=variants[variant], variant=variant)
            if "seconds" in answer:
                times[variant].append(answer["seconds"])
            else:
                row["notes"].append("%s: %s" % (variant, answer["error"]))
    row["seconds"] = statistics.median(times["dtrain"])
    row["range"] = [min(times["dtrain"]), max(times["dtrain"])]
    row["samples_per_second"] = row["batch"] / row["seconds"]
    row["torch"] = {variant: statistics.median(times[variant]) for variant in variants if times[variant]}


def add_floor(row, plan, torch, options):
    answer = torch.ask(LIMIT[options.device], rates={"device": options.torch_device, "precision": row["precision"]})
    if "error" in answer:
        row["notes"].append("rates: " + answer["error"])
    if "flops" in answer:
        row["rates"], row["floor_parts"] = answer, floor_parts(plan, answer, row["batch"])
        row["floor"] = max(row["floor_parts"], key=row["floor_parts"].get)


def run_case(case, dtrain, torch, options, left):
    net, batch, precision = case
    row = {"net": net, "batch": batch, "precision": precision, "notes": [], "losses_torch": {}, "torch": {}}
    # Enough samples for several different batches; they lie in GPU memory on either side.
    samples = 4 * batch if net in ("resnet50", "resnet18", "vgg16") else 8192
    config, facts = write_config(dtrain.folder, net, batch, precision, samples, 0.5 if net == "vgg16" else 0)
    try:
        row["plan"] = dtrain.plan(config, left())
        row["notes"] += row["plan"]["plain"]
        if torch is not None and options.variants != ["compile"]:
            torch.ask(LIMIT[options.device], forget=True)
            compare_losses(row, dtrain, torch, case, options, left)
        if options.rounds > 0:
            time_case(row, dtrain, torch, config, facts, options, left)
            if torch is not None:
                add_floor(row, row["plan"], torch, options)
    except (Failure, OSError) as failure:
        row["error"] = str(failure)
    return row


# --- the table ---

HEADER = ("| net, batch, precision | dtrain | samples/s | eager | graph | compile | dtrain is faster by | floor | of the floor | losses differ | by heuristics |\n"
          "|---|---|---|---|---|---|---|---|---|---|---|")


def title_of(net, batch, precision):
    return "%s b%d %s" % (net, batch, precision)


def microseconds(value):
    return "-" if value is None else "%.1f us" % (value * 1e6)


def print_row(row):
    title = title_of(row["net"], row["batch"], row["precision"])
    if "error" in row:
        print("| %s | %s |" % (title, row["error"]), flush=True)
        return
    ours, theirs, floor = row.get("seconds"), [row["torch"].get(v) for v in VARIANTS], row.get("floor_parts", {}).get(row.get("floor"))
    print("| %s | %s | %s | %s | %s | %s | %s | %s | %s |" %
          (title, microseconds(ours), "%.0f" % row["samples_per_second"] if ours else "-", " | ".join(microseconds(t) for t in theirs),
           ", ".join("%.2f" % (t / ours) for t in theirs if t) or "-", "%s (%s)" % (microseconds(floor), row["floor"]) if floor else "-",
           "%.2f" % (floor / ours) if floor else "-", "%.1g" % row["losses_differ"] if "losses_differ" in row else "-",
           microseconds(row.get("seconds_by_heuristics"))), flush=True)


def open_torch(options):
    """The worker, or None and why: PyTorch must be there, and see a GPU unless the cpu is compared."""
    log = open(os.path.splitext(options.json)[0] + ".torch.log", "w") if options.json else subprocess.DEVNULL
    torch = Torch(options.threads if options.device == "cpu" else 0, log)
    facts = torch.ask(120)
    if "torch" in facts and (facts["cuda"] or options.device == "cpu"):
        return torch, facts
    torch.close()
    why = "PyTorch sees no GPU" if "torch" in facts else "python3 has no PyTorch that starts (%s)" % facts["error"]
    return None, {"torch": None, "why": why}


def passes(torch, options):
    """Through the table once with what is quickly made, then again, a row of its own each, with what has to be compiled."""
    if torch is None:
        return [options]
    compiled = [v for v in options.variants if v == "compile" and options.rounds > 0]
    quick = [v for v in options.variants if v != "compile"]
    return [argparse.Namespace(**dict(vars(options), variants=v)) for v in (quick, compiled) if v]


def run_table(dtrain, torch, facts, every_option, left):
    """Every case for which time is left: rows, and the titles of those left out. The figures so far are in the file at any time."""
    rows, skipped = [], []
    for options, (net, batch, precision) in itertools.product(passes(torch, every_option), CASES):
        if options.only and not re.search(options.only, title_of(net, batch, precision)):
            continue
        case = net, options.batch or batch, precision
        if left() < 15:
            skipped.append("%s (%s)" % (title_of(*case), ", ".join(options.variants)))
            continue
        rows.append(run_case(case, dtrain, torch, options, left))
        print_row(rows[-1])
        if options.json:
            with open(options.json, "w") as f:
                json.dump({"pytorch": facts, "rows": rows, "skipped": skipped}, f)
    return rows, skipped


def parse_options():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dtrain", default="dtrain", help="the program (default: dtrain on the PATH)")
    parser.add_argument("--device", default="gpu", choices=["gpu", "cpu"], help="cpu tries this script where there is no GPU")
    parser.add_argument("--library-path", help="LD_LIBRARY_PATH for dtrain, which PyTorch must not see")
    parser.add_argument("--seconds", type=float, default=600, help="time for the whole table (default 600)")
    parser.add_argument("--rounds", type=int, default=3, help="measurements of each side (default 3); 0: the loss curves alone")
    parser.add_argument("--variants", default=",".join(VARIANTS), help="of PyTorch (default %(default)s)")
    parser.add_argument("--compile-mode", default="default", help="torch.compile's, one without CUDA graphs of its own (default "
                        "%(default)s); max-autotune-no-cudagraphs tries more kernels, for minutes with a deep net")
    parser.add_argument("--compile-seconds", type=float, default=90, help="time for compiling a net (default 90)")
    parser.add_argument("--threads", type=int, default=2, help="with --device cpu (default 2)")
    parser.add_argument("--plans", help="plan table for dtrain, to which the engines of every case are timed and added first, as "
                        "cudnn.benchmark does for PyTorch; without it, dtrain takes the heuristics' choices")
    parser.add_argument("--timed", action="store_true", help="the table of --plans is taken as it is, and nothing added")
    parser.add_argument("--only", help="a regular expression on 'NET bBATCH PRECISION'")
    parser.add_argument("--batch", type=int, help="in place of every case's own")
    parser.add_argument("--json", help="file for every figure; what PyTorch says goes beside it, to *.torch.log")
    options = parser.parse_args()
    options.torch_device = "cuda" if options.device == "gpu" else "cpu"
    options.variants = options.variants.split(",")
    unknown = [v for v in options.variants if v not in VARIANTS]
    if unknown:
        parser.error("--variants: found %s, expected some of %s" % (unknown[0], ", ".join(VARIANTS)))
    if options.device == "cpu":
        options.variants = [v for v in options.variants if v != "graph"]
    return options


def main():
    if sys.argv[1:] == ["--worker"]:
        return worker()
    options = parse_options()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that the worker ends too
    end = time.monotonic() + options.seconds
    left = lambda: end - time.monotonic()
    torch, facts = open_torch(options)
    print("PyTorch %s" % facts["torch"] if facts["torch"] else "dtrain alone: %s" % facts["why"])
    print(HEADER, flush=True)
    try:
        with tempfile.TemporaryDirectory() as folder:
            rows, skipped = run_table(Dtrain(options, folder), torch, facts, options, left)
    finally:
        if torch is not None:
            torch.close()
    titles = [title_of(row["net"], row["batch"], row["precision"]) for row in rows]
    for title, row in zip(titles, rows):
        for note in row["notes"] + [row[name] for name in ("parted",) if name in row]:
            print("%s: %s" % (title, note))
    if skipped:
        print("not timed, as no time was left: %s" % ", ".join(skipped))
    failed = [title for title, row in zip(titles, rows) if "error" in row or "parted" in row]
    if failed:
        print("failed: %s" % ", ".join(failed))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
