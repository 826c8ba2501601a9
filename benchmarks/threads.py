"""When a second thread pays, and what fit chooses: the crossover on this machine.

    python benchmarks/threads.py --json benchmarks/results/threads.json
    python benchmarks/threads.py --report       # print what is there

Seconds per training step with one thread and with two, in turn, for steps of many sizes: with
nothing beside them (as far as the machine allows: the least of all rounds), and with a process
beside them that never waits (the mean over the rounds: what it costs is long waits, now and then).
Then whole fits, each in a process of its own: with the rule, with the number of threads that
torch starts with, and scikit-learn's MLPClassifier.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import subprocess
import sys
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse as sp
import torch
from _report import print_table, saved, write_json
from overhead import square_root_tree
from sklearn.datasets import load_digits
from sklearn.model_selection import GridSearchCV
from sklearn.neural_network import MLPClassifier

from hierclf import FlatSoftmaxClassifier, HierarchicalSoftmaxClassifier
from hierclf._utils.threads import PER_THREAD, threads_for
from hierclf.classifiers._batches import Batches, Rows
from hierclf.encoders import LSTMEncoder

RESULTS = Path("benchmarks/results/threads.json")
N_STEPS = 6  # of a fit, an epoch each; the first one finds the memory, and does not count
N_EPOCHS = 10  # of the whole fits
# Rows in a batch, features, units of the hidden layer (0: none), classes.
DENSE = (
    (32, 20, 0, 10),
    (128, 64, 32, 10),
    (128, 64, 128, 50),
    (128, 128, 128, 128),
    (128, 300, 300, 300),
    (512, 300, 300, 300),
    (128, 1000, 1000, 1000),
    (512, 1000, 1000, 1000),
)
# The same, with so many values in each row of 10,000 features.
SPARSE = ((128, 10, 0, 50), (128, 50, 100, 50), (128, 50, 100, 1000), (512, 100, 300, 1000))
# Rows in a batch, tokens in a row, units of each direction, classes; word vectors of 300 numbers.
LSTM = ((32, 10, 20, 10), (32, 40, 100, 50))


def steps(kind: str, shape: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray, dict[str, Any]]:
    """Return X, y and the parameters of a classifier."""
    batch, width, hidden, n_classes = shape
    rng = np.random.default_rng(0)
    params: dict[str, Any] = {"hidden_layer_sizes": (hidden,) if hidden else ()}
    if kind == "dense":
        X = rng.standard_normal((batch, width), dtype=np.float32)
    elif kind == "sparse":
        X = sp.random(batch, 10_000, width / 10_000, "csr", dtype=np.float32, random_state=0)
    else:
        X = rng.integers(2, 5000, (batch, width)).astype(np.int32)
        params = {"encoder": LSTMEncoder(hidden)}
    return X, np.arange(batch) % n_classes, params | {"batch_size": batch}


@contextmanager
def busy() -> Iterator[None]:
    """Keep a core busy in another process."""
    process = multiprocessing.get_context("spawn").Process(target=_count, daemon=True)
    process.start()
    time.sleep(1)
    try:
        yield
    finally:
        process.kill()
        process.join()


def _count() -> None:
    number = 0
    while True:
        number += 1


def measure(kind: str, shape: tuple[int, ...], seconds: float) -> dict[str, Any]:
    X, y, params = steps(kind, shape)
    tree = square_root_tree(shape[-1])
    fixed = {"max_iter": N_STEPS, "n_iter_no_change": N_STEPS, "tol": 0.0, "random_state": 0}

    def step_times(n_threads: int) -> list[float]:
        torch.set_num_threads(n_threads)  # which holds
        clf = HierarchicalSoftmaxClassifier(tree, **fixed, **params).fit(X, y)
        clfs.append(clf)
        return clf.net_.history[1:, "dur"]

    clfs: list[Any] = []
    step_times(1)
    weights = clfs[0].net_.cut_.weights
    work = Batches(Rows(X), params["batch_size"]).work(weights)
    row: dict[str, Any] = {"kind": kind, "shape": shape, "work": work, "rule": threads_for(work, 2)}
    for beside, join in (("idle", np.min), ("busy", np.mean)):
        with busy() if beside == "busy" else warnings.catch_warnings():
            times: dict[int, list[float]] = {1: [], 2: []}
            end = time.perf_counter() + seconds
            while time.perf_counter() < end or len(times[1]) < 2 * N_STEPS:
                for n_threads, found in times.items():
                    found += step_times(n_threads)
        row[beside] = [float(join(found)) for found in times.values()]
    print(".", end="", file=sys.stderr, flush=True)
    return row


def whole_fit(who: str) -> None:
    """Fit the digits and print the seconds; in a process of its own, by the environment's rule."""
    warnings.simplefilter("ignore")
    X, y = load_digits(return_X_y=True)
    fixed = {"n_iter_no_change": N_EPOCHS, "tol": 0.0, "max_iter": N_EPOCHS, "random_state": 0}
    fixed["batch_size"] = 128
    peer = who.startswith("MLPClassifier")
    clf = (MLPClassifier if peer else FlatSoftmaxClassifier)(**fixed)
    if who.endswith("search"):
        clf = GridSearchCV(clf, {"learning_rate_init": [1e-3, 1e-2]}, cv=3, n_jobs=2)
    times = []
    for _ in range(4):  # the first starts workers and threads
        start = time.perf_counter()
        clf.fit(X / 16, y)
        times.append(time.perf_counter() - start)
    print(json.dumps(times[1:]))


def whole_fits(rounds: int) -> list[dict[str, Any]]:
    """Time whole fits in processes that take turns."""
    free = {k: v for k, v in os.environ.items() if not k.endswith("_NUM_THREADS")}
    n_cores = str(os.cpu_count())
    # A number in the environment holds: torch's own is that of the cores.
    default = free | {"OMP_NUM_THREADS": n_cores, "MKL_NUM_THREADS": n_cores}
    contestants = {
        ("fit", "ours"): free,
        ("fit", "ours, torch's default threads"): default,
        ("fit", "MLPClassifier"): free,
        ("search, n_jobs=2", "ours"): free,
        ("search, n_jobs=2", "MLPClassifier"): free,
    }
    found: list[dict[str, Any]] = []
    for beside in ("idle", "busy"):
        times: dict[tuple[str, str], list[float]] = {key: [] for key in contestants}
        with busy() if beside == "busy" else warnings.catch_warnings():
            for _ in range(rounds):
                for (what, who), env in contestants.items():
                    name = who.partition(",")[0] + (" search" if "search" in what else "")
                    command = [sys.executable, __file__, "--one", name]
                    run = subprocess.run(command, env=env, capture_output=True, check=True)
                    times[what, who] += json.loads(run.stdout)
                    print(".", end="", file=sys.stderr, flush=True)
        for (what, who), taken in times.items():
            found.append({"what": what, "who": who, "beside": beside, "seconds": taken})
    return found


def report(settings: dict[str, Any], results: dict[str, Any]) -> None:
    print(f"rule: one thread for each {settings['per_thread']:,} multiply-adds of a forward pass")
    print("\nmilliseconds per training step, 1 and 2 threads; of two cores\n")
    rows = []
    for row in results["steps"]:
        cells = [f"{1000 * seconds:.2f}" for beside in ("idle", "busy") for seconds in row[beside]]
        gains = [f"{row[beside][0] / row[beside][1]:.2f}" for beside in ("idle", "busy")]
        name = f"{row['kind']} {' x '.join(map(str, row['shape']))}"
        rows.append((name, f"{row['work'] / 1e6:.2f}", *cells, *gains, row["rule"]))
    columns = ("M", "idle 1", "2", "busy 1", "2", "idle 1/2", "busy 1/2", "rule")
    print_table(("rows x width x hidden x classes", *columns), rows)
    print(f"\ndigits, {N_EPOCHS} epochs: median seconds, and over those of MLPClassifier\n")
    medians = {(r["what"], r["beside"], r["who"]): np.median(r["seconds"]) for r in results["fits"]}
    print_table(
        ("what", "beside", "who", "seconds", "ratio"),
        (
            (what, beside, who, f"{x:.2f}", f"{x / medians[what, beside, 'MLPClassifier']:.1f}")
            for (what, beside, who), x in medians.items()
        ),
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=6, help="for each size")
    parser.add_argument("--rounds", type=int, default=3, help="of the whole fits")
    parser.add_argument("--json", type=Path, help="write the results there")
    parser.add_argument("--report", action="store_true", help=f"only print what is in {RESULTS}")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.one:
        whole_fit(args.one)
        return
    if args.report:
        found = saved(RESULTS)
        report(found["settings"], found["results"])
        return
    warnings.simplefilter("ignore")
    settings = {"per_thread": PER_THREAD, "seconds": args.seconds, "rounds": args.rounds}
    load = os.getloadavg()[0]
    cases = [("dense", s) for s in DENSE] + [("sparse", s) for s in SPARSE]
    cases += [("LSTM", s) for s in LSTM]
    results = {
        "fits": whole_fits(args.rounds),
        "steps": [measure(kind, shape, args.seconds) for kind, shape in cases],
    }
    settings["load_average"] = [load, os.getloadavg()[0]]  # what else ran at the same time
    report(settings, results)
    if args.json:
        write_json(args.json, settings, results)


if __name__ == "__main__":
    main()
