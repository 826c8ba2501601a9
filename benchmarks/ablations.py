"""When does the hierarchy help? The open questions of the paper, one part each.

    python benchmarks/ablations.py depth tree local tasks coarse rows epochs transformer

depth        trees of two and of three levels, and none
tree         the real tree, five random trees of its shape, and a balanced one
local        HiClass, a classifier per node, beside one network for all
tasks        what is not text: ImCLEF07A and digits
coarse       the leaf taken from half of the rows, which keep their parent or are left out
rows         learning curves over rows per class, linear and hidden
epochs       learning curves over epochs, linear and hidden
transformer  learning curves over rows per class, fine-tuned transformer, on TREC

All networks read the same features: tf-idf of words and pairs of words, or numbers. Flat and
hierarchical softmax have the same settings, which are fixed and not tuned for either; the two
differ in the head alone. Differences are of pairs with the same seed, which sees the same rows,
batches and initial weights. Every result is written to ``--out`` as soon as it is there, one file
per part, and a second run goes on from there.
"""

from __future__ import annotations

import argparse
import json
import os
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import matplotlib.pyplot as plt
import numpy as np
import torch
from _data import Data, load
from _measures import measure
from _report import mean_sd, print_table, resume, save_picture, without
from peers import HiClass, WarmUp, features, transformer
from sklearn.base import BaseEstimator
from sklearn.model_selection import train_test_split
from threadpoolctl import threadpool_limits

from hierclf import FlatSoftmaxClassifier, HierarchicalSoftmaxClassifier, Hierarchy
from hierclf.datasets import load_digits_hierarchy, load_docstrings
from hierclf.induction import BalancedHierarchy
from hierclf.losses import PathCrossEntropy

SHOWN = ("macro-F1", "accuracy", "top accuracy", "distance")
HEADS = {"flat": FlatSoftmaxClassifier, "hierarchical": HierarchicalSoftmaxClassifier}
NETWORKS: dict[str, dict[str, Any]] = {
    "linear": {"hidden_layer_sizes": (), "learning_rate_init": 0.05, "max_iter": 10}
    | {"batch_size": 64, "loss": PathCrossEntropy()},
    "hidden": {"hidden_layer_sizes": (200,), "dropout": 0.5, "learning_rate_init": 5e-3}
    | {"batch_size": 32, "max_iter": 10},
}
ROWS_PER_CLASS = (1, 2, 5, 10, 20, 50, None)
EPOCHS = (1, 2, 4, 8, 16, 32)
# A level between library and module, for the libraries with many modules.
THEMES = {
    "torch: numbers": "torch.fft torch.linalg torch.signal torch.sparse torch.special torch.masked",
    "torch: devices": """torch.accelerator torch.backends torch.cpu torch.cuda torch.mps torch.mtia
        torch.xpu""",
    "torch: programs": """torch.compiler torch.export torch.fx torch.func torch.jit torch.library
        torch.overrides torch.package torch.serialization torch.autograd""",
    "torch: training": "torch.nn torch.optim torch.distributions torch.distributed torch.utils",
    "sklearn: models": """sklearn.ensemble sklearn.gaussian_process sklearn.linear_model
        sklearn.neighbors sklearn.svm sklearn.tree""",
    "sklearn: no labels": """sklearn.cluster sklearn.covariance sklearn.decomposition
        sklearn.manifold""",
    "sklearn: features": """sklearn.feature_extraction sklearn.feature_selection
        sklearn.preprocessing""",
    "sklearn: tools": """sklearn.base sklearn.callback sklearn.datasets sklearn.exceptions
        sklearn.metrics sklearn.model_selection sklearn.utils""",
}

Row = dict[str, Any]
Trees = dict[str, Hierarchy]


def docstrings(folder: Path | None) -> Data:
    bunch = load_docstrings()
    X = np.array(bunch.data, dtype=object)
    X_train, X_test, y_train, y_test = train_test_split(
        X, bunch.target, test_size=0.25, stratify=bunch.target, random_state=0
    )
    return Data(X_train, y_train, X_test, y_test, bunch.hierarchy)


def digits(folder: Path | None) -> Data:
    bunch = load_digits_hierarchy()
    X_train, X_test, y_train, y_test = train_test_split(
        bunch.data.astype(np.float32), bunch.target, stratify=bunch.target, random_state=0
    )
    return Data(X_train, y_train, X_test, y_test, bunch.hierarchy)


OWN: dict[str, Callable[[Path | None], Data]] = {"docstrings": docstrings, "digits": digits}


def data_of(name: str, folder: Path | None) -> Data:
    return OWN[name](folder) if name in OWN else load(name, folder)


def deeper(name: str, hierarchy: Hierarchy, folder: Path | None) -> Hierarchy:
    """Return the tree of three levels over the classes of one of two."""
    if name == "r52":
        path = Path(folder or os.environ["HIERCLF_DATA"]) / "r52" / "hierarchy_3level.json"
        return Hierarchy.from_dict(json.loads(path.read_text("utf-8")))
    theme_of = {module: theme for theme, modules in THEMES.items() for module in modules.split()}
    parents = {leaf: hierarchy.parents(leaf)[0] for leaf in hierarchy.leaves}
    themes = {theme_of[leaf]: library for leaf, library in parents.items() if leaf in theme_of}
    return Hierarchy.from_parents(
        {leaf: theme_of.get(leaf, library) for leaf, library in parents.items()} | themes
    )


def shuffled(hierarchy: Hierarchy, seed: int) -> Hierarchy:
    """Return a tree of the same shape with the leaves dealt out at random."""
    leaves = list(hierarchy.leaves)
    order = np.random.default_rng(seed).permutation(len(leaves))
    return hierarchy.relabel({leaf: leaves[i] for leaf, i in zip(leaves, order, strict=True)})


def network(head: str, kind: str, hierarchy: Hierarchy, seed: int, **params: Any) -> BaseEstimator:
    settings = {**NETWORKS[kind], **params}
    # A fixed number of epochs.
    settings["n_iter_no_change"] = settings["max_iter"]
    return HEADS[head](hierarchy, random_state=seed, **settings)


def sample(y: np.ndarray, per_class: int | None, seed: int) -> np.ndarray:
    """Choose up to so many rows of each class."""
    order = np.random.default_rng(seed).permutation(len(y))
    if per_class is None:
        return order
    by_class = order[np.argsort(y[order], kind="stable")]
    _, starts, counts = np.unique(y[by_class], return_index=True, return_counts=True)
    rank = np.arange(len(y)) - np.repeat(starts, counts)
    return by_class[rank < per_class]


class Trial(NamedTuple):
    """A classifier to train on some rows, and what the result is to be called."""

    what: Row
    model: BaseEstimator
    X: tuple[Any, Any]
    data: Data
    rows: Any = slice(None)

    def score(self) -> Row:
        """Train, and score the test part under the tree of the data set."""
        X_train, X_test = self.X
        self.model.fit(X_train[self.rows], self.data.y_train[self.rows])
        return measure(self.data.hierarchy, self.data.y_test, self.model.predict(X_test))


def depth(folder: Path | None, seeds: int) -> Iterator[Trial]:
    for name in ("r52", "docstrings"):
        data = data_of(name, folder)
        trees = {"2 levels": data.hierarchy, "3 levels": deeper(name, data.hierarchy, folder)}
        yield from over_trees(name, data, seeds, lambda seed, trees=trees: trees)


def tree(folder: Path | None, seeds: int) -> Iterator[Trial]:
    for name in ("trec", "r52", "docstrings", "imclef07a"):
        data = data_of(name, folder)
        real = data.hierarchy
        balanced = BalancedHierarchy().fit(None, data.y_train).hierarchy_

        def trees(seed: int, real: Hierarchy = real, balanced: Hierarchy = balanced) -> Trees:
            return {"real": real, "random": shuffled(real, seed), "balanced": balanced}

        yield from over_trees(name, data, seeds, trees)


def over_trees(
    name: str, data: Data, seeds: int, trees_of: Callable[[int], Trees]
) -> Iterator[Trial]:
    """Compare the hierarchical softmax over the trees of each seed, and the flat one."""
    X = features(data)
    for kind in NETWORKS:
        for seed in range(seeds):
            what = {"data": name, "network": kind, "seed": seed}
            for title, hierarchy in trees_of(seed).items():
                model = network("hierarchical", kind, hierarchy, seed)
                yield Trial(what | {"tree": title}, model, X, data)
            model = network("flat", kind, data.hierarchy, seed)
            yield Trial(what | {"tree": "flat"}, model, X, data)


def local(folder: Path | None, seeds: int) -> Iterator[Trial]:
    for name in ("trec", "r52", "imclef07a"):
        data = data_of(name, folder)
        X = features(data)
        for short, kind in (("LCPN", "PerParentNode"), ("LCN", "PerNode"), ("LCL", "PerLevel")):
            model = HiClass(f"LocalClassifier{kind}", data.hierarchy)
            what = {"data": name, "network": f"HiClass {short}", "tree": "local", "seed": 0}
            yield Trial(what, model, X, data)
        for seed in range(seeds):
            for head, tree in (("flat", "none"), ("hierarchical", "global")):
                model = network(head, "linear", data.hierarchy, seed)
                what = {"data": name, "network": f"{head}, linear", "tree": tree, "seed": seed}
                yield Trial(what, model, X, data)


def tasks(folder: Path | None, seeds: int) -> Iterator[Trial]:
    for name in ("imclef07a", "digits"):
        data = data_of(name, folder)
        X = features(data)
        for kind in NETWORKS:
            for seed in range(seeds):
                for head in HEADS:
                    model = network(head, kind, data.hierarchy, seed)
                    what = {"data": name, "network": kind, "tree": head, "seed": seed}
                    yield Trial(what, model, X, data)


def coarse(folder: Path | None, seeds: int) -> Iterator[Trial]:
    for name, kind in (("20ng", "linear"), ("imclef07a", "hidden")):
        data = data_of(name, folder)
        X = features(data)
        parents = {leaf: data.hierarchy.parents(leaf)[0] for leaf in data.hierarchy.leaves}
        for seed in range(seeds):
            is_coarse = np.random.default_rng(seed).random(len(data.y_train)) < 0.5
            parent = np.array([parents[leaf] for leaf in data.y_train])
            half = data._replace(y_train=np.where(is_coarse, parent, data.y_train))
            for head in HEADS:
                for title, labelled, chosen in (
                    ("leaves for all", data, slice(None)),
                    ("parents for half", half, slice(None)),
                    ("half left out", data, ~is_coarse),
                ):
                    model = network(head, kind, data.hierarchy, seed)
                    what = {"data": name, "network": kind, "labels": title, "tree": head}
                    yield Trial(what | {"seed": seed}, model, X, labelled, chosen)


def rows(folder: Path | None, seeds: int) -> Iterator[Trial]:
    for name in ("trec", "docstrings", "hwu64", "imclef07a"):
        data = data_of(name, folder)
        X = features(data)
        for kind in NETWORKS:
            for per_class in ROWS_PER_CLASS:
                for seed in range(seeds):
                    chosen = sample(data.y_train, per_class, seed)
                    # As many steps as with 50 rows of each class, so that few rows still train.
                    most = 50 * len(np.unique(data.y_train))
                    epochs = round(NETWORKS[kind]["max_iter"] * max(1, min(20, most / len(chosen))))
                    for head in HEADS:
                        model = network(head, kind, data.hierarchy, seed, max_iter=epochs)
                        what = {"data": name, "network": kind, "tree": head, "seed": seed}
                        what["rows per class"] = per_class or "all"
                        yield Trial(what, model, X, data, chosen)


def epochs(folder: Path | None, seeds: int) -> Iterator[Trial]:
    for name in ("trec", "r52", "docstrings", "imclef07a"):
        data = data_of(name, folder)
        X = features(data)
        for kind in NETWORKS:
            for n in EPOCHS:
                for seed in range(seeds):
                    for head in HEADS:
                        model = network(head, kind, data.hierarchy, seed, max_iter=n)
                        what = {"data": name, "network": kind, "tree": head, "seed": seed}
                        yield Trial(what | {"epochs": n}, model, X, data)


def fine_tuned(folder: Path | None, seeds: int) -> Iterator[Trial]:
    data = data_of("trec", folder)
    X = (data.X_train, data.X_test)
    for per_class in (2, 5, 10, 20, None):
        for seed in range(seeds):
            chosen = sample(data.y_train, per_class, seed)
            n = 5 if per_class is None else 10
            for head, cls in HEADS.items():
                model = cls(
                    data.hierarchy,
                    encoder=transformer(64),
                    learning_rate_init=2e-3,
                    batch_size=32 if per_class is None else 16,
                    max_iter=n,
                    n_iter_no_change=n,
                    callbacks=[WarmUp()],
                    random_state=seed,
                )
                what = {"data": "trec", "network": "transformer", "tree": head, "seed": seed}
                what["rows per class"] = per_class or "all"
                yield Trial(what, model, X, data, chosen)


PARTS = {
    "depth": depth,
    "tree": tree,
    "local": local,
    "tasks": tasks,
    "coarse": coarse,
    "rows": rows,
    "epochs": epochs,
    "transformer": fine_tuned,
}


def run(part: str, folder: Path | None, seeds: int, file: Path) -> list[Row]:
    """Go on with a part from wherever its file says it is."""
    trials = ((trial.what, trial.score) for trial in PARTS[part](folder, seeds))
    results = resume(file, trials, "score")
    found = next(results)
    for found in results:
        *_, row = found
        shown = {m: round(row["score"][m], 3) for m in SHOWN}
        print(f"{part}: {without(row, 'score')} {shown}", flush=True)
    return found


def report(part: str, found: list[Row]) -> None:
    """Print means over seeds, and what each tree gains over the flat softmax."""
    groups: dict[tuple[Any, ...], list[Row]] = {}
    for row in found:
        key = tuple(value for name, value in row.items() if name not in ("seed", "score"))
        groups.setdefault(key, []).append(row)
    keys = [name for name in found[0] if name not in ("seed", "score")]
    flat = {
        tuple(row[name] for name in row if name not in ("tree", "score")): row["score"]
        for row in found
        if row["tree"] == "flat"
    }
    table = []
    for key, group in groups.items():
        values = (mean_sd([row["score"][m] for row in group]) for m in SHOWN)
        gains = [
            row["score"]["macro-F1"] - flat[others]["macro-F1"]
            for row in group
            if (others := tuple(row[n] for n in row if n not in ("tree", "score"))) in flat
        ]
        is_gain = gains and group[0]["tree"] != "flat"
        table.append((*key, *values, mean_sd(gains) if is_gain else "", len(group)))
    print(f"\n{part}\n")
    print_table((*keys, *SHOWN, "macro-F1 - flat", "seeds"), table)


def picture(found: dict[str, list[Row]], file: Path) -> None:
    """Draw the learning curves: what the hierarchy gains, and from what level."""
    curves = [(part, axis) for part, axis in CURVES.items() if part in found]
    names = {(row["data"], row["network"], part) for part, _ in curves for row in found[part]}
    panels = sorted(names, key=lambda name: (name[2], name[0], name[1]))
    columns = 4
    n_rows = -(-len(panels) // columns)
    figure, grid = plt.subplots(
        n_rows, columns, figsize=(11, 2.3 * n_rows), layout="constrained", squeeze=False
    )
    for axes in grid.flat[len(panels) :]:
        axes.set_visible(False)
    for axes, (data, kind, part) in zip(grid.flat, panels, strict=False):
        axis = CURVES[part]
        mine = [row for row in found[part] if (row["data"], row["network"]) == (data, kind)]
        places = list(dict.fromkeys(row[axis] for row in mine))
        for head, color in (("flat", "0.4"), ("hierarchical", "tab:blue")):
            scores = [
                [r["score"]["macro-F1"] for r in mine if r[axis] == place and r["tree"] == head]
                for place in places
            ]
            mean, sd = [np.array([f(s) for s in scores]) for f in (np.mean, np.std)]
            axes.plot(range(len(places)), mean, color=color, label=head, marker=".")
            axes.fill_between(
                range(len(places)), mean - sd, mean + sd, color=color, alpha=0.2, lw=0
            )
        axes.set_xticks(range(len(places)), places)
        axes.set_title(f"{data}, {kind}", fontsize=9)
        axes.set_xlabel(axis, fontsize=8)
        axes.tick_params(labelsize=7)
        axes.spines[["top", "right"]].set_visible(False)
    grid[0, 0].set_ylabel("macro-F1")
    grid[0, 0].legend(frameon=False, fontsize=8)
    save_picture(figure, file)


CURVES = {"rows": "rows per class", "transformer": "rows per class", "epochs": "epochs"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("parts", nargs="*", metavar="PART", help=", ".join(PARTS))
    parser.add_argument("--data", type=Path, help="folder of the data sets")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/ablations"))
    parser.add_argument("--report", action="store_true", help="only print what is there")
    parser.add_argument("--picture", type=Path, help="draw the learning curves there")
    args = parser.parse_args()
    torch.set_num_threads(1)
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    warnings.simplefilter("ignore")
    found = {}
    with threadpool_limits(1):
        for part in args.parts or PARTS:
            file = args.out / f"{part}.json"
            if not args.report:
                found[part] = run(part, args.data, args.seeds, file)
            elif file.exists():
                found[part] = json.loads(file.read_text("utf-8"))["results"]
    for part, results in found.items():
        report(part, results)
    if args.picture:
        picture(found, args.picture)


if __name__ == "__main__":
    main()
