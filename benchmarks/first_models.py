"""What a newcomer types first, the defaults, against LinearSVC.

    python benchmarks/first_models.py            # the comparison, on the test parts
    python benchmarks/first_models.py --study    # how the defaults were chosen, on held-out rows
    python benchmarks/first_models.py --margins  # the same for HierarchicalLinearClassifier

Texts become tf-idf of words, sublinear, in float32. LinearSVC has its defaults, and so have the
flat and the hierarchical softmax: a linear model with logit adjustment, since the features are
sparse. That is the model of the README, and the recipe of the guide for those who come from
LinearSVC. "no logit adjustment" has PathCrossEntropy() as its loss. Each seed draws new initial
weights and a new order of the rows, for the docstrings a new split too. Times are CPU seconds of
one thread; the ratio is to LinearSVC on the same rows, in the same run.

The study trains on four fifths of the training part and asks the rest after every epoch: learning
rates, logit adjustment and numbers of steps, relative to LinearSVC on the same rows.
The study of the margins does the same for C, path weight and logit adjustment.
Every result is written to ``--out`` as soon as it is there; a second run skips what it finds.
``--report`` prints the table of what is there.
"""

from __future__ import annotations

import argparse
import itertools
import math
import time
import warnings
from collections.abc import Callable, Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse as sp
import torch
from _data import Data, load
from _measures import folds, measure
from _report import mean_sd, print_table, resume
from sklearn.exceptions import ConvergenceWarning
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.metrics import accuracy_score, f1_score
from sklearn.model_selection import train_test_split
from sklearn.svm import LinearSVC
from skorch.callbacks import Callback
from threadpoolctl import threadpool_limits

from hierclf import (
    FlatSoftmaxClassifier,
    HierarchicalLinearClassifier,
    HierarchicalSoftmaxClassifier,
    Hierarchy,
)
from hierclf.datasets import load_docstrings
from hierclf.losses import PathCrossEntropy

NAMES = ("docstrings", "trec", "r8", "r52", "20ng", "amazon3", "hwu64", "goemotions")
CLASSES = {"flat": FlatSoftmaxClassifier, "hierarchical": HierarchicalSoftmaxClassifier}
MACHINE = "LinearSVC"
SHOWN = ("macro-F1", "accuracy", "top accuracy")
# The study: a fit goes on for the most steps, and is looked at after fewer.
RATES, ADJUSTMENTS, STEPS = (0.05, 0.1, 0.2), (0.0, 0.5), (100, 200, 400)
BATCH_SIZE, LEAST_EPOCHS = 128, 3
# The study of the margins.
PENALTIES, PATH_WEIGHTS, MARGIN_ADJUSTMENTS = (0.5, 1.0, 2.0), (0.0, 0.1, 0.2, 0.3, 0.5), (0.0, 0.3)


def read(name: str, seed: int) -> Data:
    """Load a data set; the docstrings have a test part for each seed."""
    if name != "docstrings":
        return load(name)
    found = load_docstrings()
    X_train, X_test, y_train, y_test = train_test_split(
        np.array(found["data"], dtype=object),
        np.array(found["target"]),
        test_size=0.25,
        stratify=found["target"],
        random_state=seed,
    )
    return Data(X_train, y_train, X_test, y_test, found["hierarchy"])


@lru_cache(maxsize=1)
def features(name: str, seed: int, held_out: bool) -> tuple[Any, ...]:
    """Return rows and labels to learn from, and those to ask for."""
    data = read(name, seed)
    texts, labels, texts_asked, labels_asked = data[:4]
    if held_out:
        train, asked = next(folds(labels, 5, seed))
        texts_asked, labels_asked = texts[asked], labels[asked]
        texts, labels = texts[train], labels[train]
    vectorizer = TfidfVectorizer(sublinear_tf=True, dtype=np.float32)
    X = vectorizer.fit_transform(texts)
    return X, labels, vectorizer.transform(texts_asked), labels_asked, data.hierarchy


@lru_cache(maxsize=1)
def machine(name: str, seed: int, held_out: bool) -> tuple[np.ndarray, float]:
    """Return what LinearSVC predicts, and the seconds that it takes to fit."""
    X, y, X_asked = features(name, seed, held_out)[:3]
    start = time.process_time()
    fitted = LinearSVC(random_state=seed).fit(X, y)
    seconds = time.process_time() - start
    return fitted.predict(X_asked), seconds


def models(hierarchy: Hierarchy, seed: int) -> dict[str, Any]:
    """Return what a newcomer may type, and the same with the plain loss."""
    common = {"hierarchy": hierarchy, "random_state": seed}
    found = {}
    for head, cls in CLASSES.items():
        found[f"{head}, all defaults"] = cls(**common)
        found[f"{head}, no logit adjustment"] = cls(**common, loss=PathCrossEntropy())
    found["margins, all defaults"] = HierarchicalLinearClassifier(hierarchy)
    found["LinearSVC, tol=0.1"] = LinearSVC(tol=0.1, random_state=seed)
    early = {"early_stopping": True}
    found["hierarchical, stopped early"] = HierarchicalSoftmaxClassifier(**common, **early)
    found["hierarchical, stopped early, refit"] = HierarchicalSoftmaxClassifier(
        **common, **early, refit=True
    )
    return found


def compare(name: str, model: str, seed: int) -> dict[str, float]:
    """Fit a model, and ask for the test part."""
    X, y, X_test, y_test, hierarchy = features(name, seed, False)
    predicted, of_machine = machine(name, seed, False)
    seconds = of_machine
    if model != MACHINE:
        chosen = models(hierarchy, seed)[model]
        start = time.process_time()
        chosen.fit(X, y)
        seconds = time.process_time() - start
        predicted = chosen.predict(X_test)
    scores = measure(hierarchy, y_test, predicted)
    shown = {measured: scores[measured] for measured in SHOWN}
    return shown | {"fit s": seconds, "ratio": seconds / of_machine}


def compare_margins(
    name: str, penalty: float, path_weight: float, adjustment: float, seed: int
) -> list[float]:
    """Return macro-F1, accuracy, top accuracy and log loss, less those of LinearSVC but the last.

    LinearSVC has no probabilities.
    """
    X, y, X_asked, y_asked, hierarchy = features(name, seed, True)
    predicted, _ = machine(name, seed, True)
    clf = HierarchicalLinearClassifier(
        hierarchy, C=penalty, path_weight=path_weight, logit_adjustment=adjustment
    ).fit(X, y)
    own, of_machine = (
        measure(hierarchy, y_asked, labels) for labels in (clf.predict(X_asked), predicted)
    )
    is_known = np.isin(y_asked, clf.classes_)
    proba = clf.predict_log_proba(X_asked[is_known])
    of_true = proba[np.arange(len(proba)), np.searchsorted(clf.classes_, y_asked[is_known])]
    return [*(own[score] - of_machine[score] for score in SHOWN), -float(of_true.mean())]


class Ask(Callback):
    """Asks for held-out rows after every epoch; a copy that is no copy, to be read afterwards."""

    def __init__(self, X: Any, y: np.ndarray, hierarchy: Hierarchy) -> None:
        self.X, self.y, self.hierarchy = X, y, hierarchy
        self.rows: list[list[float]] = []

    def __deepcopy__(self, memo: Any) -> Ask:
        return self

    def on_epoch_begin(self, net: Any, **kwargs: Any) -> None:
        self.start = time.process_time()

    def on_epoch_end(self, net: Any, **kwargs: Any) -> None:
        seconds = time.process_time() - self.start
        nodes = np.array(net.module__hierarchy.nodes, dtype=object)
        self.rows.append([*_score(self.y, nodes[net.predict(self.X)].astype(str)), seconds])


def _score(y: np.ndarray, predicted: np.ndarray) -> list[float]:
    f1 = f1_score(y, predicted, average="macro", zero_division=0)
    return [float(f1), float(accuracy_score(y, predicted))]


def n_epochs(n_steps: int, n_rows: int) -> int:
    return max(LEAST_EPOCHS, math.ceil(n_steps / math.ceil(n_rows / BATCH_SIZE)))


def learn(name: str, head: str, rate: float, adjustment: float, seed: int) -> list[list[float]]:
    """Return macro-F1, accuracy and seconds for each number of steps, less those of LinearSVC.

    The seconds are a ratio.
    """
    X, y, X_asked, y_asked, hierarchy = features(name, seed, True)
    predicted, seconds = machine(name, seed, True)
    f1, accuracy = _score(y_asked, predicted)
    most = n_epochs(STEPS[-1], X.shape[0])
    ask = Ask(X_asked, y_asked.astype(str), hierarchy)
    CLASSES[head](
        hierarchy,
        hidden_layer_sizes=(),
        learning_rate_init=rate,
        batch_size=BATCH_SIZE,
        max_iter=most,
        n_iter_no_change=most,
        loss=PathCrossEntropy(logit_adjustment=adjustment),
        callbacks=[ask],
        random_state=seed,
    ).fit(X, y)
    found = []
    for n_steps in STEPS:
        epochs = n_epochs(n_steps, X.shape[0])
        spent = sum(row[2] for row in ask.rows[:epochs])
        scores = ask.rows[epochs - 1]
        found.append([scores[0] - f1, scores[1] - accuracy, spent / seconds])
    return found


def comparisons(
    names: list[str], n_seeds: int
) -> Iterator[tuple[dict[str, Any], Callable[[], Any]]]:
    kinds = [MACHINE, *models(Hierarchy.flat(["a", "b"]), 0)]
    for name, seed, model in itertools.product(names, range(n_seeds), kinds):
        what = {"data": name, "model": model, "seed": seed}
        yield what, lambda name=name, model=model, seed=seed: compare(name, model, seed)


def lessons(names: list[str], n_seeds: int) -> Iterator[tuple[dict[str, Any], Callable[[], Any]]]:
    grid = itertools.product(CLASSES, RATES, ADJUSTMENTS)
    for name, seed, settings in itertools.product(names, range(n_seeds), list(grid)):
        keys = ("head", "rate", "adjustment")
        what = {"data": name, **dict(zip(keys, settings, strict=True)), "seed": seed}
        yield (
            what,
            lambda name=name, settings=settings, seed=seed: learn(name, *settings, seed=seed),
        )


def margin_lessons(
    names: list[str], n_seeds: int
) -> Iterator[tuple[dict[str, Any], Callable[[], Any]]]:
    grid = list(itertools.product(PENALTIES, PATH_WEIGHTS, MARGIN_ADJUSTMENTS))
    for name, seed, settings in itertools.product(names, range(n_seeds), grid):
        keys = ("C", "path weight", "adjustment")
        what = {"data": name, **dict(zip(keys, settings, strict=True)), "seed": seed}
        yield (
            what,
            lambda name=name, settings=settings, seed=seed: compare_margins(
                name, *settings, seed=seed
            ),
        )


def print_comparison(results: list[dict[str, Any]]) -> None:
    scores: dict[tuple[str, str], list[dict[str, float]]] = {}
    for row in sorted(results, key=lambda row: NAMES.index(row["data"])):
        scores.setdefault((row["data"], row["model"]), []).append(row["scores"])
    print_table(
        ("data", "model", *SHOWN, "fit s", "/ LinearSVC"),
        (
            (
                *key,
                *(mean_sd([100 * score[name] for score in found], 1) for name in SHOWN),
                f"{np.mean([score['fit s'] for score in found]):.2f}",
                f"{_mean_ratio([score['ratio'] for score in found]):.1f}",
            )
            for key, found in scores.items()
        ),
    )
    print("\nLess LinearSVC, points: the mean over the data sets, and the worst of them\n")
    rows = []
    for model in dict.fromkeys(model for _, model in scores):
        sets = [data for data, other in scores if other == model]
        cells = []
        for name in SHOWN:
            own, machine = (
                np.array([np.mean([score[name] for score in scores[data, other]]) for data in sets])
                for other in (model, MACHINE)
            )
            cells.append(
                f"{100 * (own - machine).mean():+.1f} ({100 * (own - machine).min():+.1f})"
            )
        times = [score["ratio"] for data in sets for score in scores[data, model]]
        rows.append((model, *cells, f"{_mean_ratio(times):.1f}"))
    print_table(("model", *SHOWN, "fit / LinearSVC"), rows)


def _mean_ratio(ratios: list[float]) -> float:
    """Return the geometric mean."""
    return float(np.exp(np.mean(np.log(ratios))))


def print_study(results: list[dict[str, Any]]) -> None:
    rows = []
    settings = ("adjustment", "head", "rate")
    for chosen in sorted({tuple(row[key] for key in settings) for row in results}):
        found = [row for row in results if tuple(row[key] for key in settings) == chosen]
        sets = sorted({row["data"] for row in found})
        for number, n_steps in enumerate(STEPS):
            by_set = np.array(
                [
                    np.mean([row["scores"][number] for row in found if row["data"] == name], axis=0)
                    for name in sets
                ]
            )
            f1, accuracy, ratio = by_set.T
            rows.append(
                (
                    *(str(value) for value in chosen),
                    n_steps,
                    f"{100 * f1.mean():+.2f}",
                    f"{100 * f1.min():+.1f}",
                    f"{100 * accuracy.mean():+.2f}",
                    f"{100 * accuracy.min():+.1f}",
                    f"{_mean_ratio(list(ratio)):.1f}",
                    f"{ratio.max():.1f}",
                )
            )
    print("Held-out rows, less LinearSVC: points of macro-F1 and accuracy, mean over the data")
    print("sets and the worst of them; fit time over that of LinearSVC, mean and most\n")
    columns = ("macro-F1", "worst", "accuracy", "worst", "time", "most")
    print_table((*settings, "steps", *columns), rows)


def print_margin_study(results: list[dict[str, Any]]) -> None:
    settings = ("C", "path weight", "adjustment")
    rows = []
    for chosen in sorted({tuple(row[key] for key in settings) for row in results}):
        found = [row for row in results if tuple(row[key] for key in settings) == chosen]
        by_set = np.array(
            [
                np.mean([row["scores"] for row in found if row["data"] == name], axis=0)
                for name in sorted({row["data"] for row in found})
            ]
        )
        cells = [
            cell
            for column in 100 * by_set.T[:3]
            for cell in (f"{column.mean():+.2f}", f"{column.min():+.1f}", int((column > 0).sum()))
        ]
        rows.append((*map(str, chosen), *cells, f"{by_set[:, 3].mean():.3f}"))
    print("Held-out rows, less LinearSVC: points of macro-F1, accuracy and top accuracy, mean over")
    print("the data sets, the worst of them, and how many are above 0; the mean log loss\n")
    columns = [cell for name in SHOWN for cell in (name, "worst", "> 0")]
    print_table((*settings, *columns, "log loss"), rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", default=list(NAMES), help="data sets")
    parser.add_argument("--study", action="store_true", help="how the defaults were chosen")
    parser.add_argument("--margins", action="store_true", help="the same for the margins")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/first_models"))
    parser.add_argument("--report", action="store_true", help="print what is there, run nothing")
    args = parser.parse_args()
    torch.set_num_threads(1)
    warnings.simplefilter("ignore", ConvergenceWarning)
    kind, trials, show = (
        ("study", lessons, print_study)
        if args.study
        else ("margins", margin_lessons, print_margin_study)
        if args.margins
        else ("comparison", comparisons, print_comparison)
    )
    FlatSoftmaxClassifier(max_iter=1, n_iter_no_change=1).fit([[0.0], [1.0]], [0, 1])  # loads torch
    sparse = sp.eye_array(100, format="csr", dtype=np.float32)
    HierarchicalLinearClassifier().fit(sparse, np.arange(100) % 2)  # compiles its loops
    todo = [] if args.report else trials(args.names, args.seeds)
    with threadpool_limits(1):
        for results in resume(args.out / f"{kind}.json", todo, "scores"):
            if not args.report and results:
                print(results[-1], flush=True)
    show(results)


if __name__ == "__main__":
    main()
