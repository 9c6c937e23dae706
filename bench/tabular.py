#!/usr/bin/env python3
"""The tabular configs against scikit-learn's networks of the same shape, over ten splits and seeds: bench/results/tabular.txt.

    DTRAIN_DATA=... python3 bench/tabular.py [dtrain [SET...]]        (pandas and scikit-learn)

Both sides get as many layers, epochs and samples a batch, Adam with the same first rate, inputs normalised on the training part, and a
part for evaluation of the same size, split off anew for each seed. scikit-learn keeps its rate, dtrain lets it fall as the config says.
"""
import os
import subprocess
import sys
import tempfile
import warnings

import numpy
import pandas
from sklearn.metrics import accuracy_score, r2_score
from sklearn.model_selection import train_test_split
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.preprocessing import StandardScaler

ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..")
DATA = os.path.join(os.environ["DTRAIN_DATA"], "tabular")
DTRAIN = sys.argv[1] if len(sys.argv) > 1 else "dtrain"
SEEDS = range(1, 11)


def table(name, **how):
    return pandas.read_csv(os.path.join(DATA, name), **how)


def iris():
    t = table("iris.csv", header=None)
    return t.iloc[:, :4], t.iloc[:, 4]


def wine():
    t = table("wine.csv", header=None)
    return t.iloc[:, :13], t.iloc[:, 13]


def optdigits():
    t = pandas.concat([table("optdigits.tra", header=None), table("optdigits.tes", header=None)])
    return t.iloc[:, :64], t.iloc[:, 64]


def abalone():
    t = table("abalone.csv", header=None)
    x = pandas.get_dummies(t.iloc[:, :8], columns=[0])
    return x.rename(columns=str), t.iloc[:, 8]


def california():
    t = table("california_housing.csv")
    x = pandas.get_dummies(t.drop(columns="median_house_value"), columns=["ocean_proximity"])
    return x.fillna(x.mean()), t["median_house_value"] * 1e-5


# name, data, hidden layers, activation, batch, epochs, rate, part for evaluation (None: a set of its own), classes
CASES = [
    ("iris", iris, (16,), "tanh", 16, 60, 0.02, 0.2, True),
    ("wine", wine, (24,), "relu", 16, 40, 0.01, 0.25, True),
    ("optdigits", optdigits, (128, 128), "relu", 64, 30, 0.003, None, True),
    ("abalone", abalone, (32, 32), "relu", 64, 60, 0.003, 0.2, False),
    ("california", california, (128, 128), "relu", 128, 60, 0.003, 0.2, False),
]


def split(x, y, part, seed, classes):
    if part is None:
        return x[:3823], x[3823:], y[:3823], y[3823:]
    return train_test_split(x, y, test_size=part, random_state=seed, stratify=y if classes else None)


def theirs(case, seed):
    _, data, hidden, activation, batch, epochs, rate, part, classes = case
    x, y = data()
    x, xe, y, ye = split(x, y, part, seed, classes)
    scaler = StandardScaler().fit(x.astype(float))
    kind = MLPClassifier if classes else MLPRegressor
    net = kind(hidden_layer_sizes=hidden, activation=activation, batch_size=batch, max_iter=epochs, learning_rate_init=rate, random_state=seed, alpha=0,
               n_iter_no_change=epochs)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        net.fit(scaler.transform(x.astype(float)), y)
    found = net.predict(scaler.transform(xe.astype(float)))
    return accuracy_score(ye, found) if classes else r2_score(ye, found)


def ours(case, seed, folder):
    name, part, classes = case[0], case[7], case[8]
    command = [DTRAIN, os.path.join(ROOT, "configs", f"{name}-mlp.yaml"), "--quiet", "--set", f"output={folder}", "--set", f"seed={seed}",
               "--set", f"name={name}-{seed}"]
    if part is not None:
        command += ["--set", f"data.split.seed={seed}"]
    out = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    line = next(l for l in out.splitlines() if ("accuracy:" in l) or ("r2:" in l))
    word = "accuracy: " if classes else "r2: "
    value = float(line.split(word)[1].split()[0])
    return value / 100 if classes else value


def main():
    print("# python3 bench/tabular.py: ten seeds, mean and standard deviation of the evaluation part's accuracy or R2")
    print(f"# scikit-learn {__import__('sklearn').__version__}")
    print(f"{'set':12} {'measure':9} {'dtrain':>16} {'scikit-learn':>16} {'difference':>11}")
    with tempfile.TemporaryDirectory() as folder:
        for case in [c for c in CASES if c[0] in sys.argv[2:] or len(sys.argv) < 3]:
            a = numpy.array([ours(case, s, folder) for s in SEEDS])
            b = numpy.array([theirs(case, s) for s in SEEDS])
            print(f"{case[0]:12} {'accuracy' if case[8] else 'R2':9} {a.mean():8.4f} +-{a.std():.4f} {b.mean():8.4f} +-{b.std():.4f} "
                  f"{a.mean() - b.mean():+11.4f}", flush=True)


if __name__ == "__main__":
    main()
