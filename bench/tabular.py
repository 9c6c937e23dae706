#!/usr/bin/env python3
"""The tabular configs against PyTorch and scikit-learn, over ten splits and seeds: bench/results/tabular.txt.

    DTRAIN_DATA=... python3 bench/tabular.py [dtrain [SET...]]        (pandas, PyYAML, scikit-learn, PyTorch)

All get the same rows to train on and the same to be judged by, inputs normalised on the former, as many layers, epochs and samples a
batch. PyTorch gets dtrain's way of drawing first weights, its optimizer and its schedule; scikit-learn keeps its own: Glorot's weights, Adam at
the first rate. Differences are of the same split and seed; each is followed by its standard error.
"""
import math
import os
import subprocess
import sys
import tempfile
import warnings

import numpy
import pandas
import sklearn
import torch
import yaml
from sklearn.metrics import accuracy_score, r2_score
from sklearn.model_selection import train_test_split
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.preprocessing import StandardScaler
from torch import nn

torch.set_num_threads(1)
yaml.SafeDumper.ignore_aliases = lambda *_: True  # dtrain takes no anchors

ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..")
DATA = os.path.join(os.environ["DTRAIN_DATA"], "tabular")
DTRAIN = os.path.abspath(sys.argv[1]) if len(sys.argv) > 1 else "dtrain"
SEEDS = range(1, 11)


def numbers(table, target, words, scale=1):
    """Inputs, a column for each word, and what is to be found."""
    x = pandas.get_dummies(table.drop(columns=target), columns=words)
    return x.fillna(x.mean()).to_numpy(float), table[target].to_numpy() * scale if scale != 1 else table[target].to_numpy()


# name, files, whether they have a header, target, columns of words, the target's scale
CASES = [
    ("iris", ["iris.csv"], False, 4, [], 1),
    ("wine", ["wine.csv"], False, 13, [], 1),
    ("optdigits", ["optdigits.tra", "optdigits.tes"], False, 64, [], 1),
    ("abalone", ["abalone.csv"], False, 8, [0], 1),
    ("california", ["california_housing.csv"], True, "median_house_value", ["ocean_proximity"], 1e-5),
]


class Task:
    def __init__(self, name, files, header, target, words, scale):
        tables = [pandas.read_csv(os.path.join(DATA, f), header=0 if header else None) for f in files]
        self.name, self.header = name, header
        self.table = pandas.concat(tables, ignore_index=True)
        self.first = len(tables[0]) if len(tables) > 1 else None  # rows of a set that has an evaluation set of its own
        with open(os.path.join(ROOT, "configs", f"{name}-mlp.yaml"), encoding="utf-8") as file:
            self.config = yaml.safe_load(file)
        self.x, self.y = numbers(self.table, target, words, scale)
        self.classes = self.config["model"]["loss"] == "cross_entropy"
        if self.classes:
            self.y = numpy.unique(self.y, return_inverse=True)[1]
        self.epochs, self.batch = self.config["train"]["epochs"], self.config["train"]["global_batch"]
        self.rate = self.config["schedule"]["lr"]["peak"]
        self.warmup = int(str(self.config["schedule"]["lr"].get("warmup", "0 epochs")).split()[0])
        layers = self.config["model"]["layers"]
        self.hidden = [layer["linear"] for layer in layers[:-1] if "linear" in layer]
        self.activation = layers[1]

    def split(self, seed):
        rows = numpy.arange(len(self.table))
        if self.first is not None:
            return rows[:self.first], rows[self.first:]
        part = self.config["data"]["split"]
        part = part["fraction"] if isinstance(part, dict) else part
        return train_test_split(rows, test_size=part, random_state=seed, stratify=self.y if self.classes else None)

    def score(self, truth, found):
        return accuracy_score(truth, found) if self.classes else r2_score(truth, found)


def ours(task, seed, train, test):
    with tempfile.TemporaryDirectory() as folder:
        for name, rows in (("train.csv", train), ("eval.csv", test)):
            task.table.iloc[rows].to_csv(os.path.join(folder, name), index=False, header=task.header)
        config = yaml.safe_load(yaml.safe_dump(task.config))
        form = config["data"]["train"]["csv"]
        config["data"].pop("split", None)
        config["data"] |= {"dir": folder, "train": {"csv": form | {"files": "train.csv"}}, "eval": {"csv": form | {"files": "eval.csv"}}}
        config |= {"seed": seed, "output": os.path.join(folder, "runs")}
        path = os.path.join(folder, "net.yaml")
        with open(path, "w", encoding="utf-8") as file:
            yaml.safe_dump(config, file)
        out = subprocess.run([DTRAIN, path, "--quiet", "--threads", "1"], check=True, stdout=subprocess.PIPE, text=True).stdout
    word = "accuracy: " if task.classes else "r2: "
    value = float(next(l for l in out.splitlines() if word in l).split(word)[1].split()[0])
    return value / 100 if task.classes else value


def torchs(task, seed, x, y, xe, ye):
    torch.manual_seed(seed)
    sizes, layers = [x.shape[1], *task.hidden, int(y.max()) + 1 if task.classes else 1], []
    for i in range(len(sizes) - 1):
        layers += [nn.Linear(sizes[i], sizes[i + 1]), nn.ReLU() if task.activation == "relu" else nn.Tanh()]
    net = nn.Sequential(*layers[:-1])
    optimizer = task.config["optimizer"]
    decay = optimizer["adamw"]["weight_decay"] if isinstance(optimizer, dict) else 0
    optimizer = torch.optim.AdamW(net.parameters(), task.rate, weight_decay=decay)
    inputs, count = torch.tensor(x, dtype=torch.float32), len(x)
    target = torch.tensor(y, dtype=torch.long if task.classes else torch.float32)
    each = math.ceil(count / task.batch)
    step, rise, total = 0, task.warmup * each, task.epochs * each
    for _ in range(task.epochs):
        order = torch.randperm(count)
        for rows in order.split(task.batch):
            share = step / rise if step < rise else (1 + math.cos(math.pi * (step - rise) / (total - rise))) / 2
            optimizer.param_groups[0]["lr"] = task.rate * share
            optimizer.zero_grad()
            out = net(inputs[rows])
            loss = nn.functional.cross_entropy(out, target[rows]) if task.classes else nn.functional.mse_loss(out[:, 0], target[rows])
            loss.backward()
            optimizer.step()
            step += 1
    with torch.no_grad():
        out = net(torch.tensor(xe, dtype=torch.float32))
    return task.score(ye, out.argmax(1).numpy() if task.classes else out[:, 0].numpy())


def theirs(task, seed, x, y, xe, ye):
    kind = MLPClassifier if task.classes else MLPRegressor
    net = kind(hidden_layer_sizes=task.hidden, activation=task.activation, batch_size=task.batch, max_iter=task.epochs,
               learning_rate_init=task.rate, random_state=seed, alpha=0, n_iter_no_change=task.epochs)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        net.fit(x, y)
    return task.score(ye, net.predict(xe))


def main():
    print("# python3 bench/tabular.py: accuracy or R2 on rows that were not trained on, mean and deviation of ten splits and seeds; then")
    print("# dtrain's difference from each, of the same split and seed, with its standard error")
    print(f"# scikit-learn {sklearn.__version__}, PyTorch {torch.__version__}")
    print(f"{'set':11}{'measure':10}{'dtrain':>16}{'PyTorch':>18}{'scikit-learn':>18}{'to PyTorch':>20}{'to scikit-learn':>20}")
    for case in [c for c in CASES if c[0] in sys.argv[2:] or len(sys.argv) < 3]:
        task = Task(*case)
        found = []
        for seed in SEEDS:
            train, test = task.split(seed)
            scaler = StandardScaler().fit(task.x[train])
            given = scaler.transform(task.x[train]), task.y[train], scaler.transform(task.x[test]), task.y[test]
            found.append([ours(task, seed, train, test), torchs(task, seed, *given), theirs(task, seed, *given)])
        found = numpy.array(found)
        texts = [f"{v.mean():.4f} +-{v.std():.4f}" for v in found.T]
        for other in (1, 2):
            d = found[:, 0] - found[:, other]
            texts.append(f"{d.mean():+.4f} +-{d.std(ddof=1) / math.sqrt(len(d)):.4f}")
        print(f"{task.name:11}{'accuracy' if task.classes else 'R2':10}{texts[0]:>16}{texts[1]:>18}{texts[2]:>18}{texts[3]:>20}{texts[4]:>20}",
              flush=True)


if __name__ == "__main__":
    main()
