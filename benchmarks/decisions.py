"""Losses and decisions that know the tree: what each gains, and what it costs.

    python benchmarks/decisions.py 20ng imclef07a amazon3 docstrings

Flat and hierarchical softmax, trained with cross-entropy, hierarchical cross-entropy, soft labels
and logit adjustment; and from the probabilities of each the likeliest class, the class of least
expected tree distance, and the most specific answer that is right 95 % of the time, "unknown"
included, which counts as right. All read the
same features (tf-idf of words and pairs of words under a linear model; numbers, under a hidden
layer) and have the same settings, fixed beforehand. A fifth of the training rows is held out, for
the third decision to find its trade-off; the test part is only scored.

Every trained network is written to ``--out`` as soon as it is scored, and a second run goes on
from there. ``--report`` prints the tables of what is there, ``--picture`` draws them.
"""

from __future__ import annotations

import argparse
import json
import warnings
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import torch
from _data import Data
from _measures import folds
from _report import mean_sd, print_table, resume, save_picture, without
from ablations import HEADS, data_of, network
from peers import features
from sklearn.metrics import accuracy_score, f1_score
from threadpoolctl import threadpool_limits

from hierclf.decisions import InformationGainClassifier, MinimumRisk
from hierclf.losses import HierarchicalCrossEntropy, PathCrossEntropy, SoftLabelCrossEntropy
from hierclf.metrics import (
    any_depth_accuracy_score,
    hierarchical_f1_score,
    information_gain_score,
    mistake_severity,
    tree_distance,
)

NAMES = ("20ng", "imclef07a", "amazon3", "docstrings")
KINDS = {"imclef07a": "hidden"}
LOSSES: dict[str, Any] = {
    "cross-entropy": PathCrossEntropy(),
    "HXE 0.4": HierarchicalCrossEntropy(alpha=0.4),
    "soft labels 10": SoftLabelCrossEntropy(beta=10.0),
    "logit adjustment 1": PathCrossEntropy(logit_adjustment=1.0),
}
ARGMAX, RISK, INFORMATION = "argmax", "minimum risk", "information at 95 %"
MEASURES = (
    "top-1",
    "macro-F1",
    "hF1",
    "distance",
    "severity",
    "right",
    "information",
    "rejected",
)
UNKNOWN = "(unknown)"

Row = dict[str, Any]


def scores(data: Data, y_pred: np.ndarray) -> dict[str, float]:
    """Score predictions, some of which may be inner nodes or rejections."""
    y, tree = data.y_test, {"hierarchy": data.hierarchy}
    as_text = y_pred.astype(str)
    known = as_text != UNKNOWN
    share = known.mean()
    # A rejection is the empty set of nodes, and as far from the truth as the root is.
    answers = data.hierarchy.to_indicator(
        [[label] if label != UNKNOWN else [] for label in as_text.tolist()]
    )
    to_root = data.hierarchy.depths[data.hierarchy.node_indices(y[~known])].sum() / len(y)
    near, y_near = as_text[known], y[known]
    return {
        "top-1": accuracy_score(y, as_text),
        "macro-F1": f1_score(y, as_text, labels=np.unique(y), average="macro", zero_division=0),
        "hF1": hierarchical_f1_score(data.hierarchy.to_indicator(y), answers, **tree),
        "distance": share * tree_distance(y_near, near, **tree) + to_root,
        "severity": mistake_severity(y_near, near, **tree),
        "right": any_depth_accuracy_score(y, as_text, reject_label=UNKNOWN, **tree),
        "information": information_gain_score(y, as_text, reject_label=UNKNOWN, **tree),
        "rejected": 1 - share,
    }


def decisions(model: Any, X_held_out: Any, y_held_out: np.ndarray, X: Any) -> dict[str, np.ndarray]:
    """Predict by each of the decisions."""
    found = {ARGMAX: model.predict(X)}
    found[RISK] = model.set_params(decision=MinimumRisk()).predict(X)
    tuned = InformationGainClassifier(
        model.set_params(decision="argmax"), 0.95, reject_label=UNKNOWN, cv="prefit"
    )
    found[INFORMATION] = tuned.fit(X_held_out, y_held_out).predict(X)
    return found


def trial(
    model: Any, data: Data, X: Any, X_test: Any, rows: np.ndarray, held_out: np.ndarray
) -> Row:
    """Train on some rows, decide with the help of others, and score the test part."""
    model.fit(X[rows], data.y_train[rows])
    predicted = decisions(model, X[held_out], data.y_train[held_out], X_test)
    return {how: scores(data, y_pred) for how, y_pred in predicted.items()}


def trials(name: str, folder: Path | None, seeds: int) -> Iterator[tuple[Row, Callable[[], Row]]]:
    """Yield what each result is to be called, and what finds it."""
    data = data_of(name, folder)
    X, X_test = features(data)
    for seed in range(seeds):
        rows, held_out = next(folds(data.y_train, 5, seed))
        for head in HEADS:
            for title, loss in LOSSES.items():
                model = network(head, KINDS.get(name, "linear"), data.hierarchy, seed, loss=loss)
                what = {"head": head, "loss": title, "seed": seed}
                yield what, partial(trial, model, data, X, X_test, rows, held_out)


def run(name: str, folder: Path | None, seeds: int, file: Path) -> list[Row]:
    """Go on with a data set from wherever its file says it is."""
    results = resume(file, trials(name, folder, seeds), "scores")
    found = next(results)
    for found in results:
        *_, row = found
        top = {how: round(values["top-1"], 3) for how, values in row["scores"].items()}
        print(f"{name}: {without(row, 'scores')} top-1 {top}", flush=True)
    return found


def over_seeds(found: list[Row], head: str, loss: str, how: str, measure: str) -> list[float]:
    return [
        row["scores"][how][measure] for row in found if (row["head"], row["loss"]) == (head, loss)
    ]


def report(name: str, found: list[Row]) -> None:
    table = []
    for how in (ARGMAX, RISK, INFORMATION):
        for loss in LOSSES:
            for head in HEADS:
                values = [over_seeds(found, head, loss, how, measure) for measure in MEASURES]
                if values[0]:
                    table.append((how, loss, head, *map(mean_sd, values), len(values[0])))
    print(f"\n{name}\n")
    print_table(("decision", "loss", "head", *MEASURES, "seeds"), table)


def picture(found: dict[str, list[Row]], file: Path) -> None:
    """Draw mistakes against their distance, and how specific the safe answers are."""
    panels = (
        ("top-1", (ARGMAX, RISK)),
        ("distance", (ARGMAX, RISK)),
        ("information", (INFORMATION,)),
    )
    titles = ("top-1 accuracy", "mean tree distance", "information at 95 % accuracy")
    figure, grid = plt.subplots(
        len(panels), len(found), figsize=(3 * len(found), 7), layout="constrained", squeeze=False
    )
    for column, (name, rows) in enumerate(found.items()):
        for line, (measure, hows) in enumerate(panels):
            axes = grid[line, column]
            for head, color in (("flat", "0.4"), ("hierarchical", "tab:blue")):
                for how in hows:
                    shift = 0.12 * ((head == "flat") * -1 + (head != "flat")) + 0.05 * (how == RISK)
                    values = [over_seeds(rows, head, loss, how, measure) for loss in LOSSES]
                    axes.errorbar(
                        np.arange(len(LOSSES)) + shift,
                        [np.mean(v) for v in values],
                        [np.std(v, ddof=1) if len(v) > 1 else 0 for v in values],
                        color=color,
                        marker={ARGMAX: "o", RISK: "^", INFORMATION: "s"}[how],
                        fillstyle="none" if how == RISK else "full",
                        markersize=5,
                        linestyle="",
                        label=f"{head}, {how}",
                    )
            axes.set_xticks(range(len(LOSSES)), [])
            axes.tick_params(labelsize=7)
            axes.spines[["top", "right"]].set_visible(False)
            axes.margins(x=0.1)
            if line == 0:
                axes.set_title(name, fontsize=10)
            if line == len(panels) - 1:
                axes.set_xticks(range(len(LOSSES)), LOSSES, rotation=30, ha="right")
            if column == 0:
                axes.set_ylabel(titles[line], fontsize=9)
    handles, labels = grid[0, 0].get_legend_handles_labels()
    more = grid[2, 0].get_legend_handles_labels()
    figure.legend(
        handles + more[0], labels + more[1], loc="outside lower center", ncols=3, frameon=False
    )
    save_picture(figure, file)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(NAMES))
    parser.add_argument("--data", type=Path, help="folder of the data sets")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/decisions"))
    parser.add_argument("--report", action="store_true", help="only print what is there")
    parser.add_argument("--picture", type=Path, help="draw the results there")
    args = parser.parse_args()
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")  # rows too few for the accuracy
    found = {}
    with threadpool_limits(1):
        for name in args.names or NAMES:
            file = args.out / f"{name}.json"
            if not args.report:
                found[name] = run(name, args.data, args.seeds, file)
            elif file.exists():
                found[name] = json.loads(file.read_text("utf-8"))["results"]
    for name, rows in found.items():
        report(name, rows)
    if args.picture:
        picture(found, args.picture)


if __name__ == "__main__":
    main()
