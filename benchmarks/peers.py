"""Against what a user would pick: classifiers side by side on the same features.

    python benchmarks/peers.py trec r8 r52 20ng --data FOLDER

Texts become tf-idf of words and pairs of words that occur at least twice; ImCLEF07A has 80 numbers.
The settings of each classifier are chosen by macro-F1 on a fifth of the training rows, then it
is trained on all of them and asked once for the test rows, for every seed if it draws random
numbers. Times are of that last fit, on one thread. HiClass comes with the extra ``bench``; without
it its rows are left out.
"""

from __future__ import annotations

import argparse
import csv
import gzip
import json
import os
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from _report import mean_sd, print_table, write_json
from sklearn.base import BaseEstimator, ClassifierMixin, clone
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score, f1_score
from sklearn.model_selection import ParameterGrid, train_test_split
from sklearn.preprocessing import StandardScaler
from sklearn.svm import LinearSVC
from threadpoolctl import threadpool_limits

from hierclf import FlatSoftmaxClassifier, HierarchicalSoftmaxClassifier, Hierarchy

PARTS = ("train", "test")
FOLDERS = {"imclef07a": "hmc/ImCLEF07A"}
# Each network trains for a fixed number of epochs; which, is part of the choice.
NETWORKS = [
    {"hidden_layer_sizes": [()], "learning_rate_init": [0.03, 0.1], "max_iter": [20, 50]},
    {
        "hidden_layer_sizes": [(100,)],
        "dropout": [0.5],
        "learning_rate_init": [0.005],
        "batch_size": [32],
        "max_iter": [10, 30],
    },
]


class HiClass(ClassifierMixin, BaseEstimator):
    """A local classifier of HiClass, which takes paths, as one that takes leaves."""

    def __init__(self, kind: str, hierarchy: Hierarchy) -> None:
        self.kind = kind
        self.hierarchy = hierarchy

    def fit(self, X: Any, y: np.ndarray) -> HiClass:
        import hiclass

        local = LogisticRegression(C=10, max_iter=1000)
        paths = self.hierarchy.paths_from_leaves(y)
        self.local_ = getattr(hiclass, self.kind)(local).fit(X, paths)
        return self

    def predict(self, X: Any) -> np.ndarray:
        paths = self.local_.predict(X)
        deepest = (paths != "").sum(axis=1) - 1
        return paths[np.arange(len(paths)), deepest]


def contestants(hierarchy: Hierarchy) -> dict[str, tuple[BaseEstimator, Any]]:
    """Return each classifier with the grid its settings are chosen from."""
    found: dict[str, tuple[BaseEstimator, Any]] = {
        "LinearSVC": (LinearSVC(random_state=0), {"C": [0.1, 0.3, 1, 3]}),
        "LogisticRegression": (LogisticRegression(max_iter=1000), {"C": [1, 10, 100]}),
    }
    try:
        import hiclass  # noqa: F401
    except ImportError:
        pass
    else:
        for short, name in (("LCPN", "PerParentNode"), ("LCN", "PerNode"), ("LCL", "PerLevel")):
            found[f"HiClass {short}"] = HiClass(f"LocalClassifier{name}", hierarchy), {}
    # More epochs than any candidate has: so none stops early, and none warns that it did not.
    for name, cls in (("flat", FlatSoftmaxClassifier), ("hier.", HierarchicalSoftmaxClassifier)):
        found[f"{name} softmax"] = cls(hierarchy, n_iter_no_change=1000), NETWORKS
    return found


def load(name: str, data: Path) -> tuple[Any, np.ndarray, Any, np.ndarray, Hierarchy]:
    """Return the features and labels of both parts, and the hierarchy."""
    folder = data / FOLDERS.get(name, name)
    hierarchy = Hierarchy.from_dict(json.loads((folder / "hierarchy.json").read_text("utf-8")))
    (train, y_train), (test, y_test) = (read(folder / f"{part}.csv.gz") for part in PARTS)
    texts = isinstance(train[0], str)
    transformer = (
        TfidfVectorizer(sublinear_tf=True, ngram_range=(1, 2), min_df=2, dtype=np.float32)
        if texts
        else StandardScaler()
    )
    return transformer.fit_transform(train), y_train, transformer.transform(test), y_test, hierarchy


def read(file: Path) -> tuple[Any, np.ndarray]:
    csv.field_size_limit(2**31 - 1)
    with gzip.open(file, "rt", encoding="utf-8", newline="") as lines:
        rows = list(csv.DictReader(lines))
    labels = np.array([row["label"] for row in rows])
    if "text" in rows[0]:
        return [row["text"] for row in rows], labels
    columns = [column for column in rows[0] if column.startswith("f")]
    return np.array([[row[c] for c in columns] for row in rows], dtype=np.float32), labels


def choose(estimator: BaseEstimator, grid: Any, X: Any, y: np.ndarray) -> dict[str, Any]:
    """Return the settings of the best macro-F1 on held-out training rows."""
    candidates = list(ParameterGrid(grid))
    if len(candidates) == 1:
        return candidates[0]
    train, valid = train_test_split(np.arange(len(y)), test_size=0.2, random_state=0)
    scores = []
    for candidate in candidates:
        fitted = seeded(clone(estimator).set_params(**candidate), 0).fit(X[train], y[train])
        scores.append(f1_score(y[valid], fitted.predict(X[valid]), average="macro"))
    return candidates[int(np.argmax(scores))]


def is_random(estimator: BaseEstimator) -> bool:
    return isinstance(estimator, (FlatSoftmaxClassifier, HierarchicalSoftmaxClassifier))


def seeded(estimator: BaseEstimator, seed: int) -> BaseEstimator:
    return estimator.set_params(random_state=seed) if is_random(estimator) else estimator


def run(name: str, data: Path, n_seeds: int) -> Iterator[dict[str, Any]]:
    X_train, y_train, X_test, y_test, hierarchy = load(name, data)
    top_true = hierarchy.paths_from_leaves(y_test)[:, 0]
    for peer, (estimator, grid) in contestants(hierarchy).items():
        settings = choose(estimator, grid, X_train, y_train)
        result: dict[str, Any] = {"data": name, "classifier": peer, "settings": settings}
        for seed in range(n_seeds if is_random(estimator) else 1):
            fitted = seeded(clone(estimator).set_params(**settings), seed)
            start = time.perf_counter()
            fitted.fit(X_train, y_train)
            middle = time.perf_counter()
            y_pred = fitted.predict(X_test)
            end = time.perf_counter()
            top_pred = hierarchy.paths_from_leaves(y_pred)[:, 0]
            for measure, value in (
                ("macro-F1", f1_score(y_test, y_pred, average="macro", zero_division=0)),
                ("accuracy", accuracy_score(y_test, y_pred)),
                ("top level", accuracy_score(top_true, top_pred)),
                ("fit s", middle - start),
                ("predict s", end - middle),
            ):
                result.setdefault(measure, []).append(float(value))
        yield result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="+", metavar="NAME", help="folders of data sets")
    parser.add_argument("--data", type=Path, default=os.environ.get("HIERCLF_DATA"))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--json", type=Path, help="write the results there")
    args = parser.parse_args()
    if args.data is None:
        parser.error("where are the data? Give --data, or set HIERCLF_DATA")
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")  # solvers that stop at their limit
    results = []
    with threadpool_limits(1):
        for name in args.names:
            found = list(run(name, Path(args.data), args.seeds))
            results += found
            print(f"\n{name}\n")
            measures = ("macro-F1", "accuracy", "top level", "fit s", "predict s")
            print_table(
                ("", *measures, "chosen"),
                (
                    (
                        r["classifier"],
                        *(mean_sd(r[m]) if len(r[m]) > 1 else f"{r[m][0]:.3f}" for m in measures),
                        ", ".join(str(value) for value in r["settings"].values()),
                    )
                    for r in found
                ),
            )
    if args.json:
        write_json(args.json, {"seeds": args.seeds}, results)


if __name__ == "__main__":
    main()
