"""Flat or hierarchical? Both on docstrings: which module is a function documented in?

    python benchmarks/flat_vs_hierarchical.py

About 4,300 one-line descriptions of functions and classes of numpy, scipy,
scikit-learn and torch, as installed. The class is the module, its parent the library.
Flat and hierarchical softmax differ in the head alone: both are linear, with the same
words, the same batches and the same logit adjustment, which is for rare classes. A linear
support vector machine stands beside them, and the hierarchical linear classifier, which adds
up such machines along the tree, with its defaults. Each seed is a new split into training and
test rows and new initial weights. Compiling the loops of the linear classifier, once for each
machine, does not count.

The settings were chosen on rows held out from the training part of other seeds.
``--hidden 200 --learning-rate 0.005`` compares networks with a hidden layer,
``--logit-adjustment 0`` leaves that out, ``--random-tree`` deals the modules out to four
random parents, which keeps the shape of the tree and takes away its meaning.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import torch
from _measures import measure
from _report import mean_sd, print_table, save_picture, write_json
from matplotlib.collections import LineCollection
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.metrics import recall_score
from sklearn.model_selection import train_test_split
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.svm import LinearSVC

from hierclf import (
    FlatSoftmaxClassifier,
    HierarchicalLinearClassifier,
    HierarchicalSoftmaxClassifier,
    Hierarchy,
)
from hierclf.datasets import load_docstrings
from hierclf.losses import PathCrossEntropy

MEASURES = {
    "macro-F1": "macro-F1",
    "accuracy": "accuracy",
    "library accuracy": "top accuracy",
    "distance of mistakes": "distance",
    "fit seconds": "fit seconds",
}


def read_settings(args: argparse.Namespace) -> dict[str, object]:
    """Return what both softmaxes are trained with."""
    return {
        "hidden_layer_sizes": (args.hidden,) if args.hidden else (),
        "dropout": 0.5,  # of hidden units
        "loss": PathCrossEntropy(logit_adjustment=args.logit_adjustment),
        "learning_rate_init": args.learning_rate,
        "batch_size": 64,
        "max_iter": args.epochs,
        "n_iter_no_change": args.epochs,  # a fixed number of epochs
    }


def with_random_parents(hierarchy: Hierarchy) -> Hierarchy:
    """Shuffle the leaves of a tree of two levels."""
    parents = [hierarchy.parents(leaf)[0] for leaf in hierarchy.leaves]
    shuffled = np.random.default_rng(0).permutation(np.array(parents))
    return Hierarchy.from_parents(dict(zip(hierarchy.leaves, shuffled, strict=True)))


def pipelines(hierarchy: Hierarchy, seed: int, settings: dict[str, object]) -> dict[str, Pipeline]:
    classifiers = {
        "LinearSVC": LinearSVC(C=2, random_state=seed),
        "hierarchical linear": HierarchicalLinearClassifier(hierarchy),
        "flat softmax": FlatSoftmaxClassifier(hierarchy, random_state=seed, **settings),
        "hierarchical softmax": HierarchicalSoftmaxClassifier(
            hierarchy, random_state=seed, **settings
        ),
    }
    return {
        name: make_pipeline(TfidfVectorizer(sublinear_tf=True, dtype=np.float32), classifier)
        for name, classifier in classifiers.items()
    }


def picture(hierarchy: Hierarchy, recall: dict[str, np.ndarray], file: Path) -> None:
    """Draw the tree and, beside each leaf, the recall of both classifiers."""
    leaves = sorted(hierarchy.leaves, key=hierarchy.path)
    height = {leaf: -row for row, leaf in enumerate(leaves)}
    figure, (left, right) = plt.subplots(
        1, 2, sharey=True, figsize=(10, 0.19 * len(leaves)), layout="constrained"
    )
    for library in hierarchy.level(0):
        below = hierarchy.descendants(library)
        middle = np.mean([height[leaf] for leaf in below])
        left.plot([0, 1], [np.mean([*height.values()]), middle], color="0.7", lw=1)
        left.text(0.97, middle, library, ha="right", va="center", weight="bold")
        for leaf in below:
            left.plot([1, 2], [middle, height[leaf]], color="0.7", lw=1)
    for leaf in leaves:
        left.text(2.03, height[leaf], leaf, va="center", fontsize=8)
    left.set(xlim=(-0.05, 3.3), title="the hierarchy")
    left.axis("off")

    rows = [height[leaf] for leaf in leaves]
    places = [hierarchy.leaves.index(leaf) for leaf in leaves]
    flat, tree = (recall[name][places] for name in ("flat softmax", "hierarchical softmax"))
    better = np.sign(tree - flat).astype(int)
    colors = np.array(["0.5", "tab:blue", "tab:orange"])[better]
    segments = [[(a, row), (b, row)] for a, b, row in zip(flat, tree, rows, strict=True)]
    right.add_collection(LineCollection(segments, colors=colors, linewidths=2, zorder=2))
    right.scatter(flat, rows, s=16, facecolor="white", edgecolor="0.3", zorder=3)
    right.scatter(tree, rows, s=16, c=colors, zorder=4)
    for color, text in (
        ("white", "flat"),
        ("tab:blue", "hierarchical, better"),
        ("tab:orange", "hierarchical, worse"),
        ("0.5", "no difference"),
    ):
        left.scatter([], [], s=16, facecolor=color, edgecolor="0.3", label=text)
    right.set(xlabel="recall, mean over seeds", ylim=(-len(leaves), 1))
    right.set_title("where the two differ")
    right.set_axisbelow(True)
    right.grid(axis="x", color="0.9")
    right.spines[["top", "right", "left"]].set_visible(False)
    right.tick_params(left=False)
    left.legend(loc="lower left", frameon=False)
    save_picture(figure, file)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--hidden", type=int, default=0, help="hidden units, 0 for none")
    parser.add_argument("--learning-rate", type=float, default=0.05)
    parser.add_argument("--logit-adjustment", type=float, default=0.5, help="0 for none")
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--random-tree", action="store_true", help="parents without meaning")
    parser.add_argument("--picture", type=Path, default=Path("demo.png"))
    parser.add_argument("--json", type=Path, help="write the results there")
    args = parser.parse_args()
    torch.set_num_threads(1)  # networks this small gain nothing from more

    texts, target, hierarchy = (load_docstrings()[key] for key in ("data", "target", "hierarchy"))
    settings = read_settings(args)
    trained_with = with_random_parents(hierarchy) if args.random_tree else hierarchy
    n_texts, n_leaves, n_libraries = len(texts), len(hierarchy.leaves), len(hierarchy.level(0))
    print(
        f"{n_texts} docstrings, {n_leaves} modules, {n_libraries} libraries, {args.seeds} seeds\n"
    )

    few = pipelines(hierarchy, 0, settings)["hierarchical linear"]
    few.fit(texts[::20], target[::20])  # compiles, and is forgotten
    results: dict[str, list[dict[str, float]]] = {}
    recalls: dict[str, list[np.ndarray]] = {}
    for seed in range(args.seeds):
        X_train, X_test, y_train, y_test = train_test_split(
            texts, target, test_size=0.25, stratify=target, random_state=seed
        )
        for name, pipeline in pipelines(trained_with, seed, settings).items():
            start = time.perf_counter()
            pipeline.fit(X_train, y_train)
            elapsed = time.perf_counter() - start
            y_pred = pipeline.predict(X_test)
            scores = measure(hierarchy, y_test, y_pred) | {"fit seconds": elapsed}
            named = {title: scores[measured] for title, measured in MEASURES.items()}
            results.setdefault(name, []).append(named)
            recall = recall_score(y_test, y_pred, labels=hierarchy.leaves, average=None)
            recalls.setdefault(name, []).append(recall)

    print_table(
        ("mean ± sd over seeds", *MEASURES),
        (
            (name, *(mean_sd([score[measure] for score in scores]) for measure in MEASURES))
            for name, scores in results.items()
        ),
    )
    print("\nThe same test rows, hierarchical softmax minus flat softmax:")
    for name in [*MEASURES][:-1]:
        tree, flat = (
            np.array([score[name] for score in results[f"{head} softmax"]])
            for head in ("hierarchical", "flat")
        )
        print(f"  {name:<22}{mean_sd(tree - flat)}")

    picture(
        hierarchy, {name: np.mean(recall, axis=0) for name, recall in recalls.items()}, args.picture
    )
    if args.json:
        settings |= {"seeds": args.seeds, "random_tree": args.random_tree}
        settings["loss"] = str(settings["loss"])
        write_json(args.json, settings, results)


if __name__ == "__main__":
    main()
