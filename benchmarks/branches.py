"""Does a hidden layer for each branch pay, or recursive regularisation?

    python benchmarks/branches.py            # choose on held-out rows, then ask the test parts
    python benchmarks/branches.py --report   # print what is there

Texts become tf-idf of words, sublinear, in float32; ImCLEF07A has 80 numbers a row, standardised.
All networks are trained for 10 epochs with a learning rate of 0.005. "shared" has a hidden layer of
100 units; "second layer" has another one, shared by all; "branches" has one of that size for each
branch instead; "branches alone" has these and no shared one; "recursive" is "shared" with the
penalty. Sizes and strengths are those with the best macro-F1 on a fifth of the training part, of
seed 0. Each seed draws new initial weights and a new order of the rows. Times are CPU seconds of
one thread.
"""

from __future__ import annotations

import argparse
import itertools
import time
import warnings
from collections.abc import Callable, Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from _data import load
from _measures import folds, measure
from _report import mean_sd, print_table, resume
from sklearn.exceptions import ConvergenceWarning
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits

from hierclf import HierarchicalSoftmaxClassifier

NAMES = ("amazon3", "imclef07a")
SHARED, RATE, EPOCHS = 100, 0.005, 10
SIZES, STRENGTHS = (25, 100), (1e-4, 1e-3)
CHOICES: dict[str, tuple[Any, ...]] = {
    "shared": (None,),
    "second layer": SIZES,
    "branches": SIZES,
    "branches alone": (SIZES[0],),
    "recursive": STRENGTHS,
}
KEYS = ("data", "model", "value")
SHOWN = ("macro-F1", "accuracy", "top accuracy")


@lru_cache(maxsize=1)
def rows(name: str, held_out: bool) -> tuple[Any, ...]:
    """Return features and labels to learn from, those to ask for, and the hierarchy."""
    data = load(name)
    X, y, X_asked, y_asked = data[:4]
    if held_out:
        train, asked = next(folds(y, 5, 0))
        X, y, X_asked, y_asked = X[train], y[train], X[asked], y[asked]
    reader = TfidfVectorizer(sublinear_tf=True, dtype=np.float32)
    reader = reader if data.is_text else StandardScaler()
    return reader.fit_transform(X), y, reader.transform(X_asked), y_asked, data.hierarchy


def fit(name: str, model: str, value: Any, seed: int, held_out: bool) -> dict[str, float]:
    """Fit a network, and score what it answers."""
    X, y, X_asked, y_asked, hierarchy = rows(name, held_out)
    params = {
        "second layer": {"hidden_layer_sizes": (SHARED, value)},
        "branches": {"branch_hidden_size": value},
        "branches alone": {"branch_hidden_size": value, "hidden_layer_sizes": ()},
        "recursive": {"recursive_regularization": value},
    }.get(model, {})
    clf = HierarchicalSoftmaxClassifier(
        hierarchy,
        **{"hidden_layer_sizes": (SHARED,), **params},
        learning_rate_init=RATE,
        max_iter=EPOCHS,
        n_iter_no_change=EPOCHS,
        random_state=seed,
    )
    start = time.process_time()
    clf.fit(X, y)
    seconds = time.process_time() - start
    scores = measure(hierarchy, y_asked, clf.predict(X_asked))
    shown = {measured: scores[measured] for measured in SHOWN}
    return shown | {"fit s": seconds}


def trials(
    names: list[str], seeds: int, found: list[dict[str, Any]], held_out: bool
) -> Iterator[tuple[dict[str, Any], Callable[[], Any]]]:
    """Yield the values to choose from on held-out rows, or those chosen on the test parts."""
    for name in names:
        for model, seed in itertools.product(CHOICES, range(1 if held_out else seeds)):
            for value in CHOICES[model] if held_out else (best(found, name, model),):
                what = {"data": name, "model": model, "value": value, "seed": seed}
                yield what, lambda what=what: fit(*what.values(), held_out)


def best(found: list[dict[str, Any]], name: str, model: str) -> Any:
    """Return the value of the best macro-F1 on held-out rows."""
    asked = [row for row in found if row["data"] == name and row["model"] == model]
    return max(asked, key=lambda row: row["scores"]["macro-F1"])["value"]


def show(results: list[dict[str, Any]]) -> None:
    """Print the mean over the seeds."""
    scores: dict[tuple[Any, ...], list[dict[str, float]]] = {}
    for row in results:
        scores.setdefault(tuple(row[key] for key in KEYS), []).append(row["scores"])
    print_table(
        (*KEYS, *SHOWN, "fit s"),
        (
            (
                *key,
                *(mean_sd([100 * score[name] for score in group], 1) for name in SHOWN),
                f"{np.mean([score['fit s'] for score in group]):.0f}",
            )
            for key, group in scores.items()
        ),
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", default=list(NAMES), help="data sets")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/branches"))
    parser.add_argument("--report", action="store_true", help="print what is there, run nothing")
    args = parser.parse_args()
    torch.set_num_threads(1)
    warnings.simplefilter("ignore", ConvergenceWarning)
    found: list[dict[str, Any]] = []
    for held_out, file in ((True, "held_out.json"), (False, "test.json")):
        todo = [] if args.report else trials(args.names, args.seeds, found, held_out)
        results: list[dict[str, Any]] = []
        with threadpool_limits(1):
            for results in resume(args.out / file, todo, "scores"):
                if not args.report and results:
                    print(results[-1], flush=True)
        found = list(results)
        print(f"\n{'Held-out rows of the training part' if held_out else 'Test parts'}\n")
        show(found)


if __name__ == "__main__":
    main()
