"""What an epoch and a prediction cost, from 100 classes to 1,000,000.

    python benchmarks/scale.py --peers ~/peers/bin/python --picture docs/_static/scale.png
    python benchmarks/scale.py --report      # print what is there

Rows of 64 numbers lie around the means of their classes, which lie around those of their parents in
a tree of branching 10: "growth" goes from 100 classes to 1,000,000. "trees" puts other trees over
10,000 such classes, of which some are frequent and most are rare. "taxonomies" draws rows for the
trees of public taxonomies, which are looked for in HIERCLF_DATA. A linear softmax, batches of 256,
one thread, one seed. Each contestant has a process of its own, so that the memory is its own (of
the whole process, data included).

"us" are microseconds of CPU time a row, so that other work on the machine counts little. Fits: the
least of all epochs after the first; set-up, which is the rest of the fit, is apart. Where an epoch
would take minutes a few batches stand for it ("*"), after one that does not count, and there is no
accuracy. Predictions are the least of three. "Through all": the likeliest leaf through the
probabilities of all leaves, by the same model; both answers are compared, row by row. "zero
weights": the same where all leaves are as likely, and a search cannot pay. "rule": an epoch with
either computation, in turn in one process, and which one computation="auto" takes for a long fit.
"limit": what the memory allows for AdamW, that is to read and write the weights and both moments of
as many groups of siblings, at random places, as a batch meets.

Every result is written to ``--out`` as soon as it is there; a second run skips what it finds.
napkinXC and hierarchicalsoftmax may need an environment of their own, whose Python is ``--peers``:
``pip install napkinxc hierarchicalsoftmax fasttext-wheel``. What is not there is left out. fastText
reads words: which eighth of the values each number is in; it has its own Huffman tree. The rates of
the classifiers were chosen at 10,000 classes, once for each optimiser; the others have their
defaults.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import _contestants
import numpy as np
from _contestants import Problem
from _own_process import add_arguments, answer, ask
from _report import print_table, resume, save_picture, significant
from _simulated import draw
from _trees import read_tree

from hierclf import Hierarchy

SIZES = (100, 1_000, 10_000, 100_000, 1_000_000)
N_CLASSES_OF_TREES = 10_000
# The rows lie around the means of "branching 10"; "shuffled" has its classes in another order.
TREES = (
    "branching 2",
    "branching 10",
    "branching 10, shuffled",
    "branching 100",
    "Huffman, branching 2",
    "Huffman, branching 10",
)
TAXONOMIES = ("dbpedia", "imagenet1k", "google_product", "icd9cm", "wordnet_wn18rr_tree")
ROWS_PER_CLASS, LEAST_ROWS, MOST_ROWS, N_TEST = 3, 30_000, 300_000, 5_000
# Seconds that a contestant may take.
LIMIT = 1500
RESULTS = Path("benchmarks/results/scale.json")


class Contestant(NamedTuple):
    """``whole`` is the most classes with whole epochs, ``most`` those it is asked for at all."""

    measure: Callable[[Problem], dict[str, float]]
    whole: int
    most: int = SIZES[-1]
    is_peer: bool = False


ADAMW = {"optimizer": "adamw", "learning_rate_init": 0.02, "weight_decay": 0.01}
PATH = {"computation": "path"} | ADAMW
ADAGRAD = PATH | {"optimizer": "adagrad", "learning_rate_init": 0.1, "weight_decay": 0.0}
ours = _contestants.ours
CONTESTANTS = {
    "flat": Contestant(partial(ours, flat=True, **ADAMW), 20_000),
    "dense": Contestant(partial(ours, computation="dense", **ADAMW), 20_000),
    "path": Contestant(partial(ours, numba=False, **PATH), SIZES[-1]),
    "path, numba": Contestant(partial(ours, **PATH), SIZES[-1]),
    "path, Adagrad": Contestant(partial(ours, numba=False, **ADAGRAD), SIZES[-1]),
    "path, Adagrad, numba": Contestant(partial(ours, **ADAGRAD), SIZES[-1]),
    "AdaptiveLogSoftmaxWithLoss": Contestant(partial(_contestants.adaptive, rate=0.02), 20_000),
    "hierarchicalsoftmax": Contestant(
        partial(_contestants.hierarchicalsoftmax, rate=0.02), 0, 100_000, is_peer=True
    ),
    "napkinXC HSM": Contestant(_contestants.napkinxc, SIZES[-1], 100_000, is_peer=True),
    "fastText hs": Contestant(
        partial(_contestants.fasttext, lr=0.5), SIZES[-1], 10_000, is_peer=True
    ),
    "limit": Contestant(_contestants.limit, SIZES[-1]),
}
# Only of their own parts of the measurement.
ZERO_WEIGHTS = {
    "path": Contestant(partial(_contestants.of_no_weights, numba=False), SIZES[-1]),
    "path, numba": Contestant(_contestants.of_no_weights, SIZES[-1]),
}
RULES = {
    f"{form}batches of {size}": Contestant(
        partial(_contestants.rule, batch_size=size, numba=not form, **ADAMW), SIZES[-1]
    )
    for form in ("", "torch, ")
    for size in (32, 128, 512)
}
KINDS = {"zero weights": ZERO_WEIGHTS, "rule": RULES}
RULE_SIZES, RULE_BRANCHING, RULE_NAME = (30, 100, 300, 1_000), (2, 10), " classes, branching "
OF_TREES = ("path", "path, numba")
OF_TAXONOMIES = ("flat", "dense", "path", "path, numba")


def tasks() -> Iterator[dict[str, Any]]:
    for n_classes in SIZES:
        for name, contestant in CONTESTANTS.items():
            if n_classes <= contestant.most:
                yield {"part": "growth", "of": n_classes, "contestant": name}
    yield {"part": "trees", "of": "none", "contestant": "flat"}
    for tree in TREES:
        for name in OF_TREES:
            yield {"part": "trees", "of": tree, "contestant": name}
    for tree in TAXONOMIES:
        for name in OF_TAXONOMIES:
            yield {"part": "taxonomies", "of": tree, "contestant": name}
    for n_classes in (10_000, 100_000):
        for name in ZERO_WEIGHTS:
            yield {"part": "zero weights", "of": n_classes, "contestant": name}
    for n_classes in RULE_SIZES:
        for branching in RULE_BRANCHING:
            for name in RULES:
                of = f"{n_classes}{RULE_NAME}{branching}"
                yield {"part": "rule", "of": of, "contestant": name}


def contestant_of(task: dict[str, Any]) -> Contestant:
    return KINDS.get(task["part"], CONTESTANTS)[task["contestant"]]


def problem(task: dict[str, Any], contestant: Contestant) -> Problem:
    """Draw the rows, and build the tree that the contestant is given."""
    part, of = task["part"], task["of"]
    if part == "taxonomies":
        own = read_tree(Path(os.environ["HIERCLF_DATA"]) / "hierarchies" / of)
    else:
        sizes = {"growth": of, "zero weights": of, "trees": N_CLASSES_OF_TREES}
        n_classes, branching = sizes.get(part), 10
        if part == "rule":
            n_classes, branching = map(int, of.split(RULE_NAME))
        own = Hierarchy.balanced(range(n_classes), branching)
    n_classes = len(own.leaves)
    n_rows = max(LEAST_ROWS, min(MOST_ROWS, ROWS_PER_CLASS * n_classes), n_classes)
    if part == "trees":
        rows = draw(own, 2 * n_rows, N_TEST, is_skewed=True)
        given = other_tree(of, rows.y, n_classes)
    else:
        rows = draw(own, n_rows, N_TEST)
        given = own
    n_epochs = 5 if n_classes <= 100_000 else 2
    if part == "rule":
        rows = draw(own, 5_000, N_TEST)
    n_batches = None
    if n_classes > contestant.whole:
        n_batches = int(np.clip(4e6 / n_classes, 4, 40)) if contestant.whole else 4
    return Problem(given, np.array(own.leaves), rows, n_epochs, n_batches)


def other_tree(name: str, y: np.ndarray, n_classes: int) -> Hierarchy:
    """Return a tree over the classes 0, 1, 2, ..., whose leaves are in that order or not."""
    kind, _, rest = name.partition("branching ")
    if kind == "none":
        return Hierarchy.flat(range(n_classes))
    number, _, order = rest.partition(", ")
    if kind:
        counts = np.bincount(y, minlength=n_classes)
        return Hierarchy.huffman(dict(enumerate(counts.tolist())), int(number))
    tree = Hierarchy.balanced(range(n_classes), int(number))
    if order:
        places = np.random.default_rng(1).permutation(n_classes)
        tree = tree.relabel(dict(enumerate(places.tolist())))
    return tree


def measure(task: dict[str, Any]) -> dict[str, Any]:
    """Measure a contestant, in this process."""
    contestant = contestant_of(task)
    asked = problem(task, contestant)
    tree = asked.hierarchy
    shape = {"leaves": len(tree.leaves), "depth": tree.depth}
    found: dict[str, Any] = shape | {"rows": len(asked.rows.X), "epochs": asked.n_epochs}
    if asked.n_batches:
        found |= {"batches": asked.n_batches}
    return found | contestant.measure(asked)


def trials(args: argparse.Namespace) -> Iterator[tuple[dict[str, Any], Callable[[], Any]]]:
    """Yield what is to be measured, and how."""
    for task in tasks():
        name = task["contestant"]
        is_wanted = not args.only or any(part in name for part in args.only)
        if is_wanted and (not args.parts or task["part"] in args.parts):
            python = args.peers if contestant_of(task).is_peer else sys.executable
            yield task, partial(ask, __file__, task, python, LIMIT)


class Found:
    """The results, by what they are of."""

    def __init__(self, results: list[dict[str, Any]]) -> None:
        self.rows = {
            (row["part"], str(row["of"]), row["contestant"]): row["scores"] for row in results
        }

    def value(self, part: str, of: Any, contestant: str, key: str) -> float | None:
        scores: dict[str, float] = self.rows.get((part, str(of), contestant), {})
        return scores.get(key)

    def cell(self, part: str, of: Any, contestant: str, key: str, digits: int = 0) -> str:
        value = self.value(part, of, contestant, key)
        if value is None:
            return ""
        star = "*" if key == "us fit" and self.value(part, of, contestant, "batches") else ""
        return f"{value:,.{digits}f}{star}" if digits else f"{significant(value)}{star}"


# The table of the growth, the key and the digits of its figures.
MEASURES = (
    ("fit: microseconds a row and epoch", "us fit", 0),
    ("set-up, seconds", "set-up s", 0),
    ("peak memory, MB", "MB", 0),
    ("accuracy on other rows, %", "accuracy", 1),
    ("accuracy of the five likeliest, %", "accuracy top-5", 1),
    ("likeliest leaf: microseconds a row", "us top-1", 0),
    ("five likeliest leaves: microseconds a row", "us top-5", 0),
    ("likeliest leaf, through all: microseconds a row", "us dense top-1", 0),
    ("rows with another answer than through all", "wrong rows", 0),
)
# Above, below, of what, at how many classes, and what was wanted.
RATIOS = (
    ("flat", "path, numba", "us fit", 200),
    ("AdaptiveLogSoftmaxWithLoss", "path, numba", "us fit", 120),
    ("flat", "path", "us fit", 70),
    ("AdaptiveLogSoftmaxWithLoss", "path", "us fit", 50),
    ("napkinXC HSM", "path, numba", "fit s", 1),
    ("napkinXC HSM", "path, Adagrad, numba", "fit s", 1),
    ("napkinXC HSM", "path", "fit s", 1),
)


def report(results: list[dict[str, Any]]) -> None:
    found = Found(results)
    for title, key, digits in MEASURES:
        rows = []
        for name in CONTESTANTS:
            cells = [found.cell("growth", n, name, key, digits) for n in SIZES]
            if key.startswith("accuracy"):
                values = [found.value("growth", n, name, key) for n in SIZES]
                cells = ["" if value is None else f"{100 * value:.1f}" for value in values]
            if any(cells):
                rows.append((name, *cells))
        if rows:
            print(f"\n{title}\n")
            print_table(("classes", *(f"{n:,}" for n in SIZES)), rows)
    print_ratios(found)
    print_rule(found)
    print_trees(found)
    print_taxonomies(found)


def print_ratios(found: Found) -> None:
    rows = []

    def add(what: str, above: float | None, below: float | None, wanted: str) -> None:
        if above is not None and below is not None:
            rows.append((what, significant(above / below), wanted))

    at = 100_000
    for above, below, key, wanted in RATIOS:
        values = (found.value("growth", at, name, key) for name in (above, below))
        kind = "epoch" if key == "us fit" else "whole fit"
        add(f"{kind}: {above} / {below}", *values, f">= {wanted}")
    for name, wanted in (("path", 1), ("path, numba", 500)):
        for k, least in ((1, 100), (5, 50)):
            values = (
                found.value("growth", at, name, f"us {kind}top-{k}") for kind in ("dense ", "")
            )
            add(f"top-{k}: through all leaves / {name}", *values, f">= {max(least, wanted)}")
        times = [
            [found.value("zero weights", at, name, f"us {kind}top-{k}") for k in (1, 5)]
            for kind in ("", "dense ")
        ]
        for k, *values in zip((1, 5), *times, strict=True):
            add(f"top-{k}: {name} of zero weights / through all leaves", *values, "<= 2")
    for name in ("path", "path, numba", "path, Adagrad", "path, Adagrad, numba"):
        values = (found.value("growth", n, name, "us fit") for n in (SIZES[-1], 1_000))
        add(f"1,000,000 / 1,000 classes: {name}", *values, f"<= {4 if 'Adagrad' in name else 8}")
    for n_classes in (at, SIZES[-1]):
        values = (
            found.value("growth", n_classes, name, "us fit") for name in ("path, numba", "limit")
        )
        add(f"{n_classes:,} classes: path, numba / limit", *values, "")
    if rows:
        print(f"\nratios, at {at:,} classes where nothing else is said\n")
        print_table(("", "measured", "wanted"), rows)


def print_rule(found: Found) -> None:
    rows = []
    for n_classes in RULE_SIZES:
        for branching in RULE_BRANCHING:
            of = f"{n_classes}{RULE_NAME}{branching}"
            for name in RULES:
                scores = found.rows.get(("rule", of, name))
                if scores:
                    times = {kind: scores[f"us {kind}"] for kind in ("dense", "path")}
                    ratio = times[scores["auto"]] / min(times.values())
                    cells = map(significant, times.values())
                    rows.append((of, name, *cells, scores["auto"], f"{ratio:.2f}"))
    if rows:
        print("\nthe rule: microseconds a row and epoch, and what auto takes over the faster\n")
        print_table(("", "", "dense", "path", "auto", "over"), rows)


def percent(value: float | None) -> str:
    return "" if value is None else f"{100 * value:.1f}"


def print_trees(found: Found) -> None:
    rows = []
    for tree, name in (("none", "flat"), *((tree, name) for tree in TREES for name in OF_TREES)):
        if found.value("trees", tree, name, "us fit") is not None:
            accuracies = (
                found.value("trees", tree, name, key) for key in ("accuracy", "accuracy top-5")
            )
            times = (
                found.cell("trees", tree, name, key) for key in ("us fit", "us top-1", "us top-5")
            )
            rows.append((tree, name, *map(percent, accuracies), *times))
    if rows:
        print(f"\ntrees over {N_CLASSES_OF_TREES:,} classes\n")
        names = ("tree", "", "top-1 %", "top-5 %", "us fit", "us top-1", "us top-5")
        print_table(names, rows)


def print_taxonomies(found: Found) -> None:
    rows = []
    for tree in TAXONOMIES:
        cells = [found.cell("taxonomies", tree, name, "us fit") for name in OF_TAXONOMIES]
        if any(cells):
            accuracies = (
                found.value("taxonomies", tree, name, "accuracy") for name in OF_TAXONOMIES[1:]
            )
            shape = (found.cell("taxonomies", tree, "flat", key) for key in ("leaves", "depth"))
            top = found.cell("taxonomies", tree, "path, numba", "us top-1")
            rows.append((tree, *shape, *cells, top, *map(percent, accuracies)))
    if rows:
        print("\ntaxonomies: microseconds a row and epoch; of the likeliest leaf; accuracy, %\n")
        fits = (f"fit {name}" for name in OF_TAXONOMIES)
        right = (f"% {name}" for name in OF_TAXONOMIES[1:])
        print_table(("", "leaves", "depth", *fits, "top-1", *right), rows)


def picture(results: list[dict[str, Any]], file: Path) -> None:
    """Draw how the time of an epoch and of a prediction grows with the classes."""
    import matplotlib.pyplot as plt

    found = Found(results)
    figure, panels = plt.subplots(1, 2, figsize=(11, 4.4), layout="constrained", sharey=True)
    for axes, key in zip(panels, ("us fit", "us top-1"), strict=True):
        for name in CONTESTANTS:
            points = [(n, found.value("growth", n, name, key)) for n in SIZES]
            points = [point for point in points if point[1] is not None]
            if points:
                axes.plot(*zip(*points, strict=True), label=name, **style(name))
        axes.set(xscale="log", yscale="log", xlabel="classes")
        axes.grid(color="0.92")
        axes.spines[["top", "right"]].set_visible(False)
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside right", fontsize=8)
    panels[0].set_title("an epoch", fontsize=10)
    panels[1].set_title("the likeliest leaf", fontsize=10)
    panels[0].set_ylabel("microseconds a row, one thread")
    save_picture(figure, file)


def style(name: str) -> dict[str, Any]:
    if name == "limit":
        return {"color": "black", "linestyle": ":"}
    if name.startswith("path"):
        color = "tab:cyan" if "Adagrad" in name else "tab:blue"
        return {
            "color": color,
            "marker": "o",
            "markersize": 4,
            "linestyle": "-" if "numba" in name else "--",
        }
    colors = {
        "flat": "0.3",
        "dense": "0.6",
        "AdaptiveLogSoftmaxWithLoss": "tab:orange",
        "hierarchicalsoftmax": "tab:red",
        "napkinXC HSM": "tab:green",
        "fastText hs": "tab:purple",
    }
    return {"marker": "o", "markersize": 4, "color": colors[name]}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parts = ("growth", "trees", "taxonomies", *KINDS)
    parser.add_argument("parts", nargs="*", metavar="PART", help=", ".join(parts))
    parser.add_argument("--out", type=Path, default=RESULTS)
    parser.add_argument("--picture", type=Path, help="draw the growth there")
    add_arguments(parser)
    args = parser.parse_args()
    if args.task:
        answer(args.task, measure)
        return
    for results in resume(args.out, [] if args.report else trials(args), "scores"):
        if not args.report and results:
            print(results[-1], flush=True)
    report(results)
    if args.picture:
        picture(results, args.picture)


if __name__ == "__main__":
    main()
