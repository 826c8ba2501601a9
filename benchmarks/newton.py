"""Linear softmaxes: Newton's method, and the small steps of the defaults.

    python benchmarks/newton.py            # all data sets
    python benchmarks/newton.py digits     # one of them
    python benchmarks/newton.py --report   # print what is there

All models are linear (``hidden_layer_sizes=()``). "small steps" is ``optimizer="auto"``: AdamW for
dense features, LazyNovoGrad with its own loss for sparse ones. "same objective" is the same small
steps with the loss that Newton's method has, so that what both have reached can be compared:
``PathCrossEntropy()``, and half the weight decay times the squared weights. "Newton" has the
default weight decay, 1e-4, and "Newton, chosen" the one that is best on a fifth of the training
part, by log loss. LogisticRegression has the C of the same penalty; it leaves the intercepts out of
it. Texts are tf-idf of words, sublinear, in float32, or the 100 leading components of that,
standardised ("lsa"); numbers are standardised. Times are CPU seconds of one thread.
"""

from __future__ import annotations

import argparse
import time
import warnings
from collections.abc import Callable, Iterator
from functools import lru_cache, partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from _data import load
from _measures import folds, measure
from _report import print_table, resume, significant
from sklearn.decomposition import TruncatedSVD
from sklearn.exceptions import ConvergenceWarning
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits

from hierclf import FlatSoftmaxClassifier, HierarchicalSoftmaxClassifier, Hierarchy
from hierclf.datasets import load_digits_hierarchy
from hierclf.losses import PathCrossEntropy

DENSE = ("digits", "imclef07a", "trec lsa", "20ng lsa", "hwu64 lsa")
SPARSE = ("trec", "r52", "20ng", "hwu64")
NAMES = (*DENSE, *SPARSE)
CLASSES = {"hierarchical": HierarchicalSoftmaxClassifier, "flat": FlatSoftmaxClassifier}
DECAY, DECAYS = 1e-4, (1e-6, 1e-5, 1e-4, 1e-3)
MODELS = ("small steps", "same objective", "Newton", "Newton, chosen", "LogisticRegression")


class Rows(NamedTuple):
    """Features and labels to learn from, and those to ask for."""

    X: Any
    y: np.ndarray
    X_asked: Any
    y_asked: np.ndarray
    hierarchy: Hierarchy


@lru_cache(maxsize=2)
def rows(name: str, held_out: bool) -> Rows:
    """Read a data set, and turn it into features."""
    stem, _, kind = name.partition(" ")
    if stem == "digits":
        bunch = load_digits_hierarchy()
        X, X_asked, y, y_asked = train_test_split(
            bunch.data, np.asarray(bunch.target), stratify=bunch.target, random_state=0
        )
        hierarchy, is_text = bunch.hierarchy, False
    else:
        data = load(stem)
        X, y, X_asked, y_asked, hierarchy = data
        is_text = data.is_text
    if held_out:
        train, asked = next(folds(y, 5, 0))
        X, y, X_asked, y_asked = X[train], y[train], X[asked], y[asked]
    steps: list[Any] = [TfidfVectorizer(sublinear_tf=True, dtype=np.float32)] if is_text else []
    if kind == "lsa":
        steps.append(TruncatedSVD(100, random_state=0))
    if kind == "lsa" or not is_text:
        steps.append(StandardScaler())
    reader = make_pipeline(*steps)
    return Rows(reader.fit_transform(X), y, reader.transform(X_asked), y_asked, hierarchy)


def build(model: str, head: str, hierarchy: Hierarchy, n_rows: int, decay: float) -> Any:
    """Make a classifier."""
    if model == "LogisticRegression":
        return LogisticRegression(C=1 / (n_rows * decay), max_iter=10_000)
    params: dict[str, Any] = {"hidden_layer_sizes": (), "random_state": 0}
    if model != "small steps":
        params["loss"] = PathCrossEntropy()
    if model.startswith("Newton"):
        params |= {"optimizer": "newton", "weight_decay": decay}
    return CLASSES[head](hierarchy, **params)


def fit(name: str, model: str, head: str, decay: float, held_out: bool) -> dict[str, Any]:
    """Fit a model; say what it took, and how good it is."""
    X, y, X_asked, y_asked, hierarchy = rows(name, held_out)
    clf = build(model, head, hierarchy, len(y), decay)
    start = time.process_time()
    clf.fit(X, y)
    found: dict[str, Any] = {"fit s": time.process_time() - start, "weight decay": decay}
    scores = measure(hierarchy, y_asked, clf.predict(X_asked))
    found |= {key: scores[key] for key in ("macro-F1", "accuracy")}
    is_known = np.isin(y_asked, clf.classes_)
    found["log loss"] = log_loss(clf, X_asked[is_known], y_asked[is_known])
    if isinstance(clf, LogisticRegression):
        return found
    weights = sum(float((p.detach().double() ** 2).sum()) for p in clf.net_.module_.parameters())
    found["objective"] = log_loss(clf, X, y) + decay / 2 * weights
    return found | {"epochs": clf.n_iter_}


def log_loss(clf: Any, X: Any, y: np.ndarray) -> float:
    """Return the mean negative log-probability of the true class."""
    log_proba = clf.predict_log_proba(X)
    return float(-log_proba[np.arange(len(y)), np.searchsorted(clf.classes_, y)].mean())


def chosen(name: str, head: str) -> dict[str, Any]:
    """Choose the weight decay on held-out rows, and fit on all."""
    losses = {
        decay: fit(name, "Newton", head, decay, held_out=True)["log loss"] for decay in DECAYS
    }
    best = min(losses, key=losses.__getitem__)
    return fit(name, "Newton, chosen", head, best, held_out=False)


def trials(names: list[str]) -> Iterator[tuple[dict[str, Any], Callable[[], Any]]]:
    """Yield what is to be measured, and how."""
    for name in names:
        for head in CLASSES:
            for model in MODELS:
                if model == "LogisticRegression" and head != "flat":
                    continue
                measured = partial(fit, name, model, head, DECAY, held_out=False)
                if model == "Newton, chosen":
                    measured = partial(chosen, name, head)
                yield {"data": name, "head": head, "model": model}, measured


def show(results: list[dict[str, Any]]) -> None:
    """Print a row for each fit."""
    columns = ("fit s", "epochs", "weight decay", "objective", "macro-F1", "accuracy", "log loss")
    table = []
    for row in results:
        scores = row["scores"]
        table.append(
            (
                row["data"],
                row["head"],
                row["model"],
                significant(scores["fit s"]),
                scores.get("epochs", ""),
                f"{scores['weight decay']:g}",
                f"{scores['objective']:.3f}" if "objective" in scores else "",
                f"{100 * scores['macro-F1']:.1f}",
                f"{100 * scores['accuracy']:.1f}",
                f"{scores['log loss']:.3f}",
            )
        )
    print_table(("data", "head", "model", *columns), table)
    for names, kind in ((DENSE, "dense"), (SPARSE, "sparse")):
        own = [row for row in results if row["data"] in names]
        print(
            f"\nOver {kind} features: ratios of times, and differences, means of sets and heads\n"
        )
        print_table(
            ("", "fit time", "macro-F1", "accuracy", "log loss"),
            [
                (f"{model} / {other}", *differences(own, model, other))
                for model, other in (
                    ("Newton", "small steps"),
                    ("Newton, chosen", "small steps"),
                    ("Newton", "same objective"),
                    ("Newton", "LogisticRegression"),
                )
            ],
        )


def differences(results: list[dict[str, Any]], model: str, other: str) -> list[str]:
    """Compare two models where both were fitted: a ratio of times, and differences."""
    found = {(row["data"], row["head"], row["model"]): row["scores"] for row in results}
    pairs = [
        (scores, found[data, head, other])
        for (data, head, name), scores in found.items()
        if name == model and (data, head, other) in found
    ]
    if not pairs:
        return [""] * 4
    ratio = np.exp(np.mean([np.log(a["fit s"] / b["fit s"]) for a, b in pairs]))
    points = [
        100 * np.mean([a[key] - b[key] for a, b in pairs]) for key in ("macro-F1", "accuracy")
    ]
    losses = np.mean([a["log loss"] - b["log loss"] for a, b in pairs])
    return [f"{ratio:.2f}", *(f"{value:+.1f}" for value in points), f"{losses:+.3f}"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", default=list(NAMES), help=", ".join(NAMES))
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/newton.json"))
    parser.add_argument("--report", action="store_true", help="print what is there, run nothing")
    args = parser.parse_args()
    torch.set_num_threads(1)
    warnings.simplefilter("ignore", ConvergenceWarning)
    results: list[dict[str, Any]] = []
    with threadpool_limits(1):
        for results in resume(args.out, [] if args.report else trials(args.names), "scores"):
            if not args.report and results:
                print(results[-1], flush=True)
    show(results)


if __name__ == "__main__":
    main()
