"""Against what a user would pick: quality, fit time and predict time in one run.

    python benchmarks/peers.py trec r8 r52 20ng amazon3 hwu64 goemotions imclef07a

Texts become tf-idf of words and pairs of words that occur at least twice; ImCLEF07A has 80 numbers.
fastText and the transformer read the texts themselves. The settings of each classifier are
chosen by the sum of macro-F1 and accuracy on a fifth of the training rows, where there is more
than one candidate; then it is trained on all rows and asked once for the test part, for every seed
if it draws random numbers. Times are CPU seconds of those fits, on one thread.

Every result is written to ``--out`` as soon as it is there, one file per data set and classifier;
a second run skips what it finds. ``--report`` prints the tables of what is there. HiClass,
fastText and the transformer come with the extra ``bench``; what is not installed is left out.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import tempfile
import time
import warnings
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import matplotlib.pyplot as plt
import numpy as np
import torch
from _data import Data, load, minilm
from _measures import measure
from _report import mean_sd, print_table, save, save_picture, saved
from sklearn.base import BaseEstimator, ClassifierMixin, clone
from sklearn.ensemble import VotingClassifier
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score, f1_score
from sklearn.model_selection import ParameterGrid, train_test_split
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import LinearSVC
from skorch.callbacks import Callback
from threadpoolctl import threadpool_limits

from hierclf import (
    FlatSoftmaxClassifier,
    HierarchicalLinearClassifier,
    HierarchicalSoftmaxClassifier,
    Hierarchy,
)
from hierclf.encoders import TransformerEncoder
from hierclf.losses import PathCrossEntropy

NAMES = ("trec", "r8", "r52", "20ng", "amazon3", "hwu64", "goemotions", "imclef07a")
SHOWN = ("macro-F1", "accuracy", "top accuracy", "distance")
TIMES = ("fit s", "predict s")
# Each network trains for a fixed number of epochs; which, is part of the choice, and so is what
# its loss does for rare classes.
LINEAR = {
    "hidden_layer_sizes": [()],
    "learning_rate_init": [0.02, 0.05, 0.2],
    "batch_size": [64],
    "max_iter": [5, 15],
    "loss__logit_adjustment": [0, 0.5, 1],
}
HIDDEN = {
    "hidden_layer_sizes": [(300,)],
    "dropout": [0.5],
    "learning_rate_init": [0.002],
    "batch_size": [32],
    "loss__logit_adjustment": [0, 1],
}
# As many candidates as LinearSVC has, and as it, with what helps rare classes.
MARGINS = [
    {"path_weight": [0.1, 0.3], "C": [1.0], "class_weight": [None, "balanced"]},
    {"path_weight": [0.1, 0.3], "C": [0.3], "logit_adjustment": [0.2, 0.4]},
]
# What others do for rare classes.
CLASS_WEIGHT = [None, "balanced"]
# Tokens that the transformer reads of a text.
MAX_LENGTH = {"r8": 128, "r52": 128, "20ng": 256, "amazon3": 128}
# Epochs to choose from, and fewer where that would take hours.
EPOCHS = {
    "hidden": {"": [10, 20], "20ng": [10]},
    "MLPClassifier": {"": [10, 40], "20ng": [10]},
    "fastText": {"": [25, 100], "20ng": [5, 25]},
    "transformer": {"": [5], "trec": [3, 5, 8], "20ng": [3], "goemotions": [2]},
}


class HiClass(ClassifierMixin, BaseEstimator):
    """A local classifier of HiClass, which takes paths, as one that takes leaves."""

    def __init__(
        self, kind: str, hierarchy: Hierarchy, C: float = 10, class_weight: str | None = None
    ) -> None:
        self.kind = kind
        self.hierarchy = hierarchy
        self.C = C
        self.class_weight = class_weight

    def fit(self, X: Any, y: np.ndarray) -> HiClass:
        import hiclass

        local = LogisticRegression(C=self.C, class_weight=self.class_weight, max_iter=1000)
        paths = self.hierarchy.paths_from_leaves(y)
        self.local_ = getattr(hiclass, self.kind)(local).fit(X, paths)
        return self

    def predict(self, X: Any) -> np.ndarray:
        paths = self.local_.predict(X)
        deepest = (paths != "").sum(axis=1) - 1
        return paths[np.arange(len(paths)), deepest]


class FastText(ClassifierMixin, BaseEstimator):
    """fastText over raw texts."""

    def __init__(
        self, loss: str, lr: float = 0.5, epoch: int = 25, random_state: int | None = None
    ) -> None:
        self.loss = loss
        self.lr = lr
        self.epoch = epoch
        self.random_state = random_state

    def fit(self, X: Any, y: np.ndarray) -> FastText:
        import fasttext

        seed = self.random_state or 0
        self.classes_, codes = np.unique(y, return_inverse=True)
        # It reads the file in its order, epoch after epoch: sorted by class, it learns the last.
        order = np.random.default_rng(seed).permutation(len(codes))
        lines = (f"__label__{codes[row]} {_line(X[row])}\n" for row in order)
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder, "train.txt")
            file.write_text("".join(lines), encoding="utf-8")
            self.model_ = fasttext.train_supervised(
                str(file),
                loss=self.loss,
                lr=self.lr,
                epoch=self.epoch,
                wordNgrams=2,
                thread=1,
                seed=seed,
                verbose=0,
            )
        return self

    def predict(self, X: Any) -> np.ndarray:
        lines = [_line(text) + "\n" for text in X]
        labels, _ = self.model_.f.multilinePredict(lines, 1, -1.0, "strict")
        return self.classes_[[int(first.removeprefix("__label__")) for (first,) in labels]]


def _line(text: str) -> str:
    return " ".join(re.findall(r"\w+", text.lower()))


class WarmUp(Callback):
    """Raise the learning rates over the first tenth of the steps, then lower them to zero."""

    def on_train_begin(self, net: Any, X: Any = None, **kwargs: Any) -> None:
        self.n_steps_ = net.max_epochs * -(-len(X) // net.batch_size)
        self.rates_ = [group["lr"] for group in net.optimizer_.param_groups]
        self.step_ = 0

    def on_batch_begin(self, net: Any, training: bool = False, **kwargs: Any) -> None:
        if training:
            self.step_ += 1
            warm_up = self.n_steps_ / 10
            left = (self.n_steps_ - self.step_) / (self.n_steps_ - warm_up)
            for group, rate in zip(net.optimizer_.param_groups, self.rates_, strict=True):
                group["lr"] = rate * min(self.step_ / warm_up, left)


class Peer(NamedTuple):
    """A classifier, the grid or grids its settings are chosen from, and what it reads.

    ``votes`` names rows for its vote with another classifier, which costs a fit of that one only.
    """

    estimator: BaseEstimator
    grid: Mapping[str, list[Any]] | list[dict[str, list[Any]]] = MappingProxyType({})
    reads_texts: bool = False
    votes: Mapping[str, BaseEstimator] = MappingProxyType({})


def peers(name: str, data: Data) -> dict[str, Peer]:
    """Return the classifiers to compare on a data set."""
    epochs = {kind: choices.get(name, choices[""]) for kind, choices in EPOCHS.items()}
    svc, logistic = (
        {"C": C, "class_weight": CLASS_WEIGHT} for C in ([0.1, 0.3, 1, 3], [1, 10, 100])
    )
    found = {
        "LinearSVC": Peer(LinearSVC(random_state=0), svc),
        "LogisticRegression": Peer(LogisticRegression(max_iter=1000), logistic),
        "MLPClassifier": Peer(MLPClassifier(), {"max_iter": epochs["MLPClassifier"]}),
    }
    if find_spec("hiclass"):
        for short, kind in (("LCPN", "PerParentNode"), ("LCN", "PerNode"), ("LCL", "PerLevel")):
            local = HiClass(f"LocalClassifier{kind}", data.hierarchy)
            found[f"HiClass {short}"] = Peer(local, logistic)
    if find_spec("fasttext") and data.is_text:
        for loss in ("softmax", "hs"):
            grid = {"epoch": epochs["fastText"], "lr": [0.5, 1.0]}
            found[f"fastText {loss}"] = Peer(FastText(loss), grid, reads_texts=True)
    margins = HierarchicalLinearClassifier(data.hierarchy)
    found["hierarchical, margins"] = Peer(margins, MARGINS)
    classes = {"flat": FlatSoftmaxClassifier, "hierarchical": HierarchicalSoftmaxClassifier}
    hidden = HIDDEN | {"max_iter": epochs["hidden"]}
    # More epochs than any candidate has: so none stops early, and none warns that it did not.
    # A loss that all share: set it on clones only.
    fixed = {"loss": PathCrossEntropy(), "n_iter_no_change": 1000}
    for softmax, cls in classes.items():
        for kind, grid in (("linear", LINEAR), ("hidden", hidden)):
            found[f"{softmax}, {kind}"] = Peer(cls(data.hierarchy, **fixed), grid)
    quick = clone(HierarchicalSoftmaxClassifier(data.hierarchy, **fixed)).set_params(
        **{name: values[0] for name, values in LINEAR.items()} | {"learning_rate_init": 0.05}
    )
    found["hierarchical, linear, 5 epochs"] = Peer(quick)
    if minilm() and data.is_text:
        words = clone(HierarchicalSoftmaxClassifier(data.hierarchy, **fixed)).set_params(
            **{name: values[0] for name, values in HIDDEN.items()}, max_iter=20
        )
        voter = {"hierarchical, words + transformer": make_pipeline(tf_idf(), words)}
        for softmax, cls in classes.items():
            tuned = cls(
                data.hierarchy,
                encoder=transformer(MAX_LENGTH.get(name, 64)),
                learning_rate_init=2e-3,
                batch_size=32,
                n_iter_no_change=1000,
                callbacks=[WarmUp()],
            )
            grid = {"max_iter": epochs["transformer"]}
            votes = voter if softmax == "hierarchical" else {}
            found[f"{softmax}, transformer"] = Peer(tuned, grid, reads_texts=True, votes=votes)
    return found


def tf_idf() -> TfidfVectorizer:
    return TfidfVectorizer(sublinear_tf=True, ngram_range=(1, 2), min_df=2, dtype=np.float32)


def transformer(max_length: int) -> TransformerEncoder:
    """Return a small pretrained transformer that loads from its own package."""
    from transformers import AutoModel

    # Without dropout on it, plain attention is the fastest on a processor.
    model = AutoModel.from_pretrained(
        minilm(), attn_implementation="eager", attention_probs_dropout_prob=0.0
    )
    return TransformerEncoder(
        model, max_length=max_length, learning_rate=1e-4, precision="bfloat16"
    )


def features(data: Data) -> tuple[Any, Any]:
    """Return the features of both parts."""
    scaler = tf_idf() if data.is_text else StandardScaler()
    return scaler.fit_transform(data.X_train), scaler.transform(data.X_test)


def choose(peer: Peer, X: Any, y: np.ndarray) -> dict[str, Any]:
    """Return the settings of the best sum of macro-F1 and accuracy on held-out rows.

    By macro-F1 alone, a few rows of rare classes would decide.
    """
    grids = peer.grid if isinstance(peer.grid, list) else [dict(peer.grid)]
    candidates = list(ParameterGrid(grids))
    if len(candidates) == 1:
        return candidates[0]
    train, valid = train_test_split(np.arange(len(y)), test_size=0.2, random_state=0)
    scores = []
    for candidate in candidates:
        fitted = seeded(clone(peer.estimator).set_params(**candidate), 0).fit(X[train], y[train])
        y_pred = fitted.predict(X[valid])
        macro_f1 = f1_score(y[valid], y_pred, average="macro")
        scores.append(macro_f1 + accuracy_score(y[valid], y_pred))
    return candidates[int(np.argmax(scores))]


def is_random(estimator: BaseEstimator) -> bool:
    exact = (LinearSVC, LogisticRegression, HiClass, HierarchicalLinearClassifier)
    return not isinstance(estimator, exact)


def seeded(estimator: BaseEstimator, seed: int) -> BaseEstimator:
    names = [name for name in estimator.get_params() if name.split("__")[-1] == "random_state"]
    return estimator.set_params(**dict.fromkeys(names, seed))


class Row:
    """What is known of a classifier on a data set, in a file of its own."""

    def __init__(self, folder: Path, name: str, classifier: str):
        words = re.findall(r"\w+", classifier)
        self.file = folder / f"{'-'.join([name, *words])}.json"
        done: dict[str, Any] = {"data": name, "classifier": classifier, "tests": []}
        self.done = done | saved(self.file)

    def test(self, classifier: ClassifierMixin, seconds: float, X: Any, data: Data) -> None:
        """Ask a classifier, fitted in ``seconds``, for the test part."""
        start = time.process_time()
        y_pred = classifier.predict(X)
        times = dict(zip(TIMES, (seconds, time.process_time() - start), strict=True))
        self.done["tests"].append(measure(data.hierarchy, data.y_test, y_pred) | times)
        save(self.file, self.done)
        last = {m: round(value, 3) for m, value in self.done["tests"][-1].items()}
        print(f"{self.done['data']}, {self.done['classifier']}: {last}", flush=True)


def fit(estimator: BaseEstimator, seed: int, X: Any, y: np.ndarray) -> tuple[Any, float]:
    """Return a fitted clone and the seconds that it took."""
    fitted = seeded(clone(estimator), seed)
    start = time.process_time()
    fitted.fit(X, y)
    return fitted, time.process_time() - start


def run(
    peer: Peer,
    X: tuple[Any, Any],
    data: Data,
    own: Row,
    votes: list[tuple[Row, BaseEstimator]],
    seeds: int,
) -> None:
    """Measure a classifier, and its votes with others, from wherever their rows are."""
    X_train, X_test = X
    if "settings" not in own.done:
        own.done["settings"] = choose(peer, X_train, data.y_train)
    estimator = clone(peer.estimator).set_params(**own.done["settings"])
    n_done = min(len(row.done["tests"]) for row in (own, *(row for row, _ in votes)))
    for seed in range(n_done, seeds if is_random(estimator) else 1):
        fitted, seconds = fit(estimator, seed, X_train, data.y_train)
        if len(own.done["tests"]) == seed:
            own.test(fitted, seconds, X_test, data)
        for row, voter in votes:
            if len(row.done["tests"]) == seed:
                other, more = fit(voter, seed, X_train, data.y_train)
                members = [("other", FrozenEstimator(other)), ("own", FrozenEstimator(fitted))]
                vote = VotingClassifier(members, voting="soft").fit(X_train, data.y_train)
                row.test(vote, seconds + more, X_test, data)


def by_data_set(folder: Path) -> dict[str, dict[str, dict[str, list[float]]]]:
    """Return the values of each measure, by data set and classifier."""
    found: dict[str, dict[str, dict[str, list[float]]]] = {name: {} for name in NAMES}
    for file in sorted(folder.glob("*.json")):
        done = json.loads(file.read_text("utf-8"))
        if done["tests"]:
            values = {m: [test[m] for test in done["tests"]] for m in (*SHOWN, *TIMES)}
            found[done["data"]][done["classifier"]] = values
    return {name: classifiers for name, classifiers in found.items() if classifiers}


def report(folder: Path) -> None:
    """Print a table for each data set."""
    for name, classifiers in by_data_set(folder).items():
        rows = []
        for classifier, values in classifiers.items():
            cells = (f"{np.mean(v):.3g}" if m in TIMES else mean_sd(v) for m, v in values.items())
            rows.append((classifier, *cells, len(values["accuracy"])))
        print(f"\n{name}\n")
        print_table(("", *SHOWN, *TIMES, "seeds"), rows)


def span(seconds: float) -> str:
    """Write a time in the unit that suits it."""
    if seconds < 100:
        return f"{seconds:.2g} s"
    return f"{seconds / 60:.0f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"


def picture(folder: Path, file: Path) -> None:
    """Draw macro-F1 of each classifier, the best on top, with the time that a fit takes."""
    found = by_data_set(folder)
    n_columns = 2
    n_rows = -(-len(found) // n_columns)
    figure, grid = plt.subplots(
        n_rows, n_columns, figsize=(9.5, 2.9 * n_rows), layout="constrained", squeeze=False
    )
    for axes in grid.flat[len(found) :]:
        axes.set_visible(False)
    for axes, (name, classifiers) in zip(grid.flat, found.items(), strict=False):
        ranked = sorted(classifiers.items(), key=lambda item: np.mean(item[1]["macro-F1"]))
        for place, (classifier, values) in enumerate(ranked):
            family = classifier.partition(",")[0]
            color = {"hierarchical": "tab:blue", "flat": "0.4"}.get(family, "tab:orange")
            scores = values["macro-F1"]
            mean, sd = np.mean(scores), np.std(scores)
            axes.errorbar(mean, place, xerr=sd, color=color, marker="o", markersize=5)
            time_of_fit = {"s": span(np.mean(values["fit s"])), "va": "center", "fontsize": 7}
            axes.text(1.01, place, transform=axes.get_yaxis_transform(), **time_of_fit)
        axes.set_yticks(range(len(ranked)), [classifier for classifier, _ in ranked], fontsize=7)
        for label in axes.get_yticklabels():
            label.set_color("tab:blue" if label.get_text().startswith("hier") else "black")
        axes.set_title(name, fontsize=9)
        axes.tick_params(axis="x", labelsize=7)
        axes.grid(axis="y", color="0.9")
        axes.set_axisbelow(True)
        axes.spines[["top", "right"]].set_visible(False)
    figure.supxlabel("macro-F1 on the test part, and the time of a fit on one thread", fontsize=9)
    save_picture(figure, file)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(NAMES))
    parser.add_argument("--data", type=Path, help="folder of the data sets")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument(
        "--only", nargs="+", metavar="PEER", help="classifiers whose names hold one"
    )
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/peers"))
    parser.add_argument("--report", action="store_true", help="only print the tables")
    parser.add_argument("--picture", type=Path, help="draw macro-F1 and times there")
    args = parser.parse_args()

    def wanted(row: str) -> bool:
        return not args.only or any(part in row for part in args.only)

    torch.set_num_threads(1)
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    warnings.simplefilter("ignore")  # solvers that stop at their limit
    with threadpool_limits(1):
        for name in [] if args.report else args.names:
            data = load(name, args.data)
            numbers = features(data)
            for classifier, peer in peers(name, data).items():
                votes = [
                    (Row(args.out, name, row), voter)
                    for row, voter in peer.votes.items()
                    if wanted(row)
                ]
                if wanted(classifier) or votes:
                    X = (data.X_train, data.X_test) if peer.reads_texts else numbers
                    run(peer, X, data, Row(args.out, name, classifier), votes, args.seeds)
    report(args.out)
    if args.picture:
        picture(args.out, args.picture)


if __name__ == "__main__":
    main()
