"""Times dtrain's training step on a GPU against PyTorch's: same nets, initial weights and bytes in GPU memory, interleaved.

For every case (1) both train ten steps on one batch from dtrain's initial checkpoint, and the loss curves must agree; (2) rounds of
dtrain, PyTorch, dtrain, PyTorch ... give medians. PyTorch runs eager (channels_last, AMP for bf16, fused optimizer), eager captured
as a CUDA graph, and torch.compile. Beside them stands the floor: the largest of arithmetic at the rate of a large matrix product,
memory traffic at the rate of a large copy, both measured in the same call, and the step's instructions at NODE_SECONDS each.

Without PyTorch, or without a GPU in it, dtrain alone is timed. Only the standard library is needed for that.
"""
import argparse
import json
import math
import os
import re
import select
import statistics
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
CONFIGS = os.path.join(HERE, "configs")
MOMENTUM, AGREEMENT_STEPS = 0.9, 10
NODE_SECONDS = 1e-6  # assumed for the floor: what a node of a CUDA graph costs that does nothing

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
# Largest difference of the losses of ten steps, as a part of what they fall by. Rounding grows where ReLUs flip.
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
    block = torch.arange((count + 15) // 16, device=device, dtype=torch.int64)
    pixels = torch.empty(samples, count, device=device, dtype=torch.uint8)
    for s in range(samples):
        words = torch.stack(philox([block, torch.zeros_like(block), torch.full_like(block, s), torch.zeros_like(block)], key), 1)
        parts = torch.stack([(words >> (8 * i)) & 255 for i in range(4)], 2)
        pixels[s] = parts.reshape(-1)[:count].to(torch.uint8)
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
    """A step is self.run(): forward, backward, update, on the next batch of the data in GPU memory."""

    def __init__(self, torch, request):
        self.torch, self.variant, self.batch = torch, request["variant"], request["batch"]
        self.device = torch.device(request["device"])
        self.precision = request["precision"]
        tf32 = self.precision == "tf32"
        torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = tf32
        torch.backends.cudnn.benchmark = True
        self.x, self.y = synthetic(torch, self.device, request["shape"], request["classes"], request["samples"])
        model = make_net(torch, request["net"], request["dropout"])
        from compare import copy_weights
        if request.get("weights"):
            copy_weights(model, request["weights"])
        self.model = model.to(self.device, memory_format=torch.channels_last)
        cuda = self.device.type == "cuda"
        self.optimizer = torch.optim.SGD(model.parameters(), lr=request["lr"], momentum=MOMENTUM, fused=True)
        self.forward = torch.compile(self.model, mode=request["compile_mode"]) if self.variant == "compile" else self.model
        self.input, self.label = self.x[:self.batch].clone(), self.y[:self.batch].clone()
        self.position = 0
        self.run = self.replayed if self.variant == "graph" and cuda else self.eager
        if self.run == self.replayed:
            self.capture()

    def sync(self):
        if self.device.type == "cuda":
            self.torch.cuda.synchronize()

    def step(self, x, y):
        torch = self.torch
        x = ((x.float() / 255 - 0.5) / 0.25).contiguous(memory_format=torch.channels_last)
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.precision == "bf16"):
            loss = torch.nn.functional.cross_entropy(self.forward(x), y)
        self.optimizer.zero_grad(set_to_none=self.variant != "graph")
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
        before = {name: t.clone() for name, t in self.model.state_dict().items()}
        side = torch.cuda.Stream()
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            for _ in range(3):
                self.step(self.input, self.label)
        torch.cuda.current_stream().wait_stream(side)
        self.graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(self.graph):
            self.loss = self.step(self.input, self.label)
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
        return self.loss.clone()


def measure_rates(torch, request):
    """FLOP/s of a large matrix product in the case's precision, and bytes/s of a large copy, read and written."""
    if request["device"] != "cuda":
        return {}
    torch.backends.cuda.matmul.allow_tf32 = request["precision"] == "tf32"
    dtype = torch.bfloat16 if request["precision"] == "bf16" else torch.float32
    n = 8192 if dtype is torch.bfloat16 else 4096
    a, b, c = (torch.randn(n, n, device="cuda", dtype=dtype) for _ in range(3))
    x, y = (torch.empty(1 << 30, device="cuda", dtype=torch.uint8) for _ in range(2))

    def seconds(work):
        work()
        torch.cuda.synchronize()
        start = time.perf_counter()
        for _ in range(8):
            work()
        torch.cuda.synchronize()
        return (time.perf_counter() - start) / 8

    return {"flops": 2 * n**3 / seconds(lambda: torch.mm(a, b, out=c)), "bytes": 2 * x.numel() / seconds(lambda: y.copy_(x))}


def worker():
    """Answers requests, one JSON a line: {"make": case} builds what {"losses": N} and {"steps": N} of the same variant run;
    {"forget": true} drops all of them."""
    import torch
    torch.manual_seed(1)
    trainers = {}
    for line in sys.stdin:
        request, answer = json.loads(line), {}
        try:
            trainer = trainers.get(request.get("variant"))
            if "make" in request:
                trainers[request["variant"]] = Trainer(torch, dict(request["make"], variant=request["variant"]))
            elif "forget" in request:
                trainers.clear()
                if torch.cuda.is_available():
                    torch.cuda.empty_cache()
            elif "losses" in request:
                answer["losses"] = [trainer.run().item() for _ in range(request["losses"])]
            elif "steps" in request:
                trainer.sync()
                start = time.perf_counter()
                for _ in range(request["steps"]):
                    trainer.run()
                trainer.sync()
                answer["seconds"] = (time.perf_counter() - start) / request["steps"]
            elif "rates" in request:
                answer = measure_rates(torch, request["rates"])
            else:
                answer = {"torch": torch.__version__, "cuda": torch.cuda.is_available(),
                          "gpu": torch.cuda.get_device_name(0) if torch.cuda.is_available() else None}
        except Exception as error:  # the other side reports it and goes on
            answer = {"error": "%s: %s" % (type(error).__name__, str(error).split("\n")[0])}
        print(json.dumps(answer), flush=True)


class Torch:
    """The worker; one that does not answer in time is ended, and a new one is started at the next request."""

    def __init__(self, cores):
        self.process, self.environment = None, dict(os.environ)
        if cores:
            self.environment["OMP_NUM_THREADS"] = str(cores)

    def ask(self, seconds, **request):
        if self.process is None:
            self.process = subprocess.Popen([sys.executable, os.path.abspath(__file__), "--worker"], stdin=subprocess.PIPE,
                                            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=self.environment)
            self.buffer = b""
        try:
            self.process.stdin.write((json.dumps(request) + "\n").encode())
            self.process.stdin.flush()
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
            self.process.kill()
            self.process.wait()
        self.process = None


# --- dtrain ---

class Failure(Exception):
    pass


class Dtrain:
    def __init__(self, options, folder):
        self.options, self.folder = options, folder
        self.environment = dict(os.environ)
        if options.library_path:
            self.environment["LD_LIBRARY_PATH"] = options.library_path

    def run(self, words, seconds):
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
        return [line["loss"] for line in lines if line["kind"] == "train"], os.path.join(run, "ckpt", "step-000000000000", "model.safetensors")

    def step_seconds(self, config, steps, seconds):
        text = self.run(["bench", "step", config, "--steps", str(steps)], seconds)
        found = re.search(r"step ([0-9.]+) us", text)
        if not found:
            raise Failure("dtrain bench step: found no time in: %s" % text.strip())
        return float(found.group(1)) * 1e-6

    def plan(self, config, seconds):
        """FLOP of a sample, bytes of its activations, parameters, instructions of a step."""
        units = {"k": 1e3, "M": 1e6, "G": 1e9, "T": 1e12, "": 1.0, "KiB": 1024.0, "MiB": 1024.0**2, "GiB": 1024.0**3, "B": 1.0}
        total = next(line for line in self.run(["describe", config], seconds).split("\n") if line.startswith("total")).split()
        number = lambda i: float(total[i]) * units[total[i + 1]]
        program = self.run(["describe", config, "--program"], seconds)
        return {"flops": number(2) + number(4), "activations": number(6), "parameters": int(total[1].replace(",", "")),
                "instructions": len(re.findall(r"^ *[0-9]+ ", program, re.M))}


def floor_seconds(plan, rates, batch, precision):
    """The largest of three, and its name. Activations are written once and read once more; an fp32 parameter, its momentum and its
    gradient are each read and written."""
    if not rates:
        return None, ""
    narrow = 0.5 if precision == "bf16" else 1
    parts = {"arithmetic": batch * plan["flops"] / rates["flops"],
             "memory": (2 * narrow * batch * plan["activations"] + 24 * plan["parameters"]) / rates["bytes"],
             "nodes": plan["instructions"] * NODE_SECONDS}
    which = max(parts, key=parts.get)
    return parts[which], which


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
    """One batch again and again: the loss falls only if the gradients are right."""
    net, batch, precision = case
    config, facts = write_config(dtrain.folder, net, batch, precision, batch, 0)
    ours, weights = dtrain.losses(config, facts["name"], left())
    make = dict(facts, weights=weights, device=options.torch_device, compile_mode="")
    answer = torch.ask(min(60, left()), make=make, variant="eager")
    answer = answer if "error" in answer else torch.ask(min(60, left()), losses=AGREEMENT_STEPS, variant="eager")
    if "error" in answer:
        row["note"] = "PyTorch: " + answer["error"]
        return
    row["losses"], row["losses_torch"] = ours, answer["losses"]
    fall = answer["losses"][0] - answer["losses"][-1]
    if not fall > 0:
        raise Failure("PyTorch's loss does not fall on one batch (from %g by %g), so nothing can be compared" % (answer["losses"][0], fall))
    row["losses_differ"] = max(abs(a - b) for a, b in zip(ours, answer["losses"])) / fall
    if not row["losses_differ"] <= AGREEMENT[precision]:
        raise Failure("the loss curves part: by %.2g of their fall in %d steps, expected at most %g" %
                      (row["losses_differ"], AGREEMENT_STEPS, AGREEMENT[precision]))


def steps_for(seconds):
    """So many that a measurement takes about a quarter of a second."""
    return max(3, min(2000, int(0.25 / max(seconds, 1e-6))))


def make_variants(row, torch, facts, options, left):
    """Builds and warms up PyTorch's variants: {variant: steps of a measurement} of those that run. What does not is noted."""
    steps = {}
    torch.ask(30, forget=True)
    for variant in VARIANTS:
        limit = options.compile_seconds if variant == "compile" else 60
        if left() < limit / 2:
            row["torch"][variant] = "no time was left"
            continue
        make = dict(facts, device=options.torch_device, compile_mode=options.compile_mode)
        answer = torch.ask(min(limit, left()), make=make, variant=variant)
        # The first steps compile and choose algorithms; they are not those that tell how many fit a measurement.
        answer = answer if "error" in answer else torch.ask(min(limit, left()), steps=5, variant=variant)
        answer = answer if "error" in answer else torch.ask(30, steps=3, variant=variant)
        if "error" in answer:
            row["torch"][variant] = answer["error"]
            if torch.process is None:  # it took the others with it, and they are quickly made again
                for other in steps:
                    torch.ask(60, make=make, variant=other)
                    torch.ask(60, steps=5, variant=other)
            continue
        steps[variant] = steps_for(answer["seconds"])
    return steps


def time_case(row, dtrain, torch, config, facts, options, left):
    """Rounds of dtrain and each of PyTorch's variants; medians into the row."""
    steps = steps_for(dtrain.step_seconds(config, 3, left()))
    variants = make_variants(row, torch, facts, options, left) if torch is not None else {}
    times = {name: [] for name in ["dtrain", *variants]}
    for _ in range(options.rounds):
        if left() < 3:
            break
        times["dtrain"].append(dtrain.step_seconds(config, max(1, steps // 5), left()))
        for variant in variants:
            answer = torch.ask(60, steps=variants[variant], variant=variant)
            if "seconds" in answer:
                times[variant].append(answer["seconds"])
    if not times["dtrain"]:
        raise Failure("no time was left")
    row["seconds"] = statistics.median(times["dtrain"])
    row["range"] = [min(times["dtrain"]), max(times["dtrain"])]
    row["samples_per_second"] = row["batch"] / row["seconds"]
    for variant in variants:
        row["torch"][variant] = statistics.median(times[variant]) if times[variant] else "it stopped answering"


def run_case(case, dtrain, torch, options, left):
    net, batch, precision = case
    row = {"net": net, "batch": batch, "precision": precision, "torch": {}}
    # Enough samples for several different batches; they lie in GPU memory on either side.
    samples = 4 * batch if net in ("resnet50", "resnet18", "vgg16") else 8192
    config, facts = write_config(dtrain.folder, net, batch, precision, samples, 0.5 if net == "vgg16" else 0)
    try:
        plan = dtrain.plan(config, left())
        if torch is not None:
            compare_losses(row, dtrain, torch, case, options, left)
        time_case(row, dtrain, torch, config, facts, options, left)
        if torch is not None:
            row["rates"] = torch.ask(30, rates={"device": options.torch_device, "precision": precision})
            rates = row["rates"] if "flops" in row["rates"] else None
            row["floor_seconds"], row["floor"] = floor_seconds(plan, rates, batch, precision)
    except (Failure, OSError) as failure:
        row["error"] = str(failure)
    return row


# --- the table ---

HEADER = ("| net, batch, precision | dtrain | samples/s | eager | graph | compile | dtrain is faster by | floor | of the floor | losses differ |\n"
          "|---|---|---|---|---|---|---|---|---|---|")


def microseconds(value):
    return "%.1f us" % (value * 1e6) if isinstance(value, float) else "-"


def print_row(row):
    title = "%s b%d %s" % (row["net"], row["batch"], row["precision"])
    if "error" in row:
        print("| %s | %s |" % (title, row["error"]), flush=True)
        return
    ratios = ["%.2f" % (row["torch"][v] / row["seconds"]) for v in VARIANTS if isinstance(row["torch"].get(v), float)]
    floor = row.get("floor_seconds")
    print("| %s | %s | %.0f | %s | %s | %s | %s | %s | %s | %s |" %
          (title, microseconds(row["seconds"]), row["samples_per_second"], *(microseconds(row["torch"].get(v)) for v in VARIANTS),
           ", ".join(ratios) or "-", "%s (%s)" % (microseconds(floor), row["floor"]) if floor else "-",
           "%.2f" % (floor / row["seconds"]) if floor else "-", "%.1g" % row["losses_differ"] if "losses_differ" in row else "-"), flush=True)


def open_torch(options):
    """The worker, or None and why: PyTorch must be there, and see a GPU unless the cpu is compared."""
    torch = Torch(options.threads if options.device == "cpu" else 0)
    facts = torch.ask(60)
    if "torch" in facts and (facts["cuda"] or options.device == "cpu"):
        return torch, facts
    torch.close()
    return None, {"torch": None, "why": "PyTorch sees no GPU" if "torch" in facts else "python3 has no PyTorch"}


def main():
    if sys.argv[1:] == ["--worker"]:
        return worker()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dtrain", default="dtrain", help="the program (default: dtrain on the PATH)")
    parser.add_argument("--device", default="gpu", choices=["gpu", "cpu"], help="cpu tries this script where there is no GPU")
    parser.add_argument("--library-path", help="LD_LIBRARY_PATH for dtrain, which PyTorch must not see")
    parser.add_argument("--seconds", type=float, default=600, help="time for the whole table (default 600)")
    parser.add_argument("--rounds", type=int, default=3, help="pairs of measurements a variant (default 3)")
    parser.add_argument("--compile-mode", default="max-autotune", help="torch.compile's mode (default max-autotune)")
    parser.add_argument("--compile-seconds", type=float, default=60, help="time for compiling a net (default 60)")
    parser.add_argument("--threads", type=int, default=2, help="with --device cpu (default 2)")
    parser.add_argument("--only", help="a regular expression on 'NET bBATCH PRECISION'")
    parser.add_argument("--json", help="file for every figure")
    options = parser.parse_args()
    options.torch_device = "cuda" if options.device == "gpu" else "cpu"
    end = time.monotonic() + options.seconds
    left = lambda: end - time.monotonic()
    torch, facts = open_torch(options)
    print("PyTorch %s" % facts["torch"] if facts["torch"] else "dtrain alone: %s" % facts["why"])
    print(HEADER, flush=True)
    rows, skipped = [], []
    with tempfile.TemporaryDirectory() as folder:
        dtrain = Dtrain(options, folder)
        for case in CASES:
            title = "%s b%d %s" % case
            if options.only and not re.search(options.only, title):
                continue
            if left() < 15:
                skipped.append(title)
                continue
            rows.append(run_case(case, dtrain, torch, options, left))
            print_row(rows[-1])
            if options.json:
                with open(options.json, "w") as f:
                    json.dump({"pytorch": facts, "rows": rows, "skipped": skipped, "node_seconds": NODE_SECONDS}, f)
    if torch is not None:
        torch.close()
    if skipped:
        print("not timed, as no time was left: %s" % ", ".join(skipped))
    failed = ["%s b%d %s" % (r["net"], r["batch"], r["precision"]) for r in rows if "error" in r and r["error"] != "no time was left"]
    if failed:
        print("failed: %s" % ", ".join(failed))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
