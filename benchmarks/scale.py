"""What an epoch and a prediction cost, from 100 classes to 1,000,000.

    python benchmarks/scale.py --peers ~/peers/bin/python --picture docs/_static/scale.png
    python benchmarks/scale.py --report      # print what is there

Rows of 64 numbers lie around the means of their classes, which lie around those of their parents in
a tree of branching 10: "growth" goes from 100 classes to 1,000,000. "trees" puts other trees over
10,000 such classes, of which some are frequent and most are rare. "taxonomies" draws rows for the
trees of public taxonomies, which are looked for in HIERCLF_DATA. A linear softmax, batches of 256,
one thread, one seed. Each contestant has a process of its own, so that the memory is its own (of
the whole process, data included).

"us" are microseconds a row. Fits: the least of all epochs after the first, from ``history`` of the
fitted net; set-up, which is the rest of the fit, is apart. Where an epoch would take minutes a few
batches stand for it, after one that does not count, and there is no accuracy. Predictions are the
least of three. "dense": the likeliest leaves through the probabilities of all, by the same model.
"limit": what the memory allows for AdamW, that is to read and write the weights and both moments
of as many groups of siblings, at random places, as a batch meets.

Every result is written to ``--out`` as soon as it is there; a second run skips what it finds.
napkinXC and hierarchicalsoftmax may need an environment of their own, whose Python is ``--peers``:
``pip install napkinxc hierarchicalsoftmax fasttext-wheel``. What is not there is left out.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import _contestants
import numpy as np
from _contestants import Problem
from _own_process import add_arguments, answer, ask
from _report import print_table, resume, save_picture, saved
from _simulated import Rows, draw, read_tree

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
TAXONOMIES = (
    "cifar100",
    "nyt",
    "dbpedia",
    "imagenet1k",
    "inaturalist19",
    "bestbuy",
    "google_product",
    "harmonized_system",
    "icd9cm",
    "wordnet_wn18rr_tree",
)
LEAST_ROWS, ROWS_PER_CLASS, N_TEST = 30_000, 3, 5_000
# Seconds that a contestant may take.
LIMIT = 900
RESULTS = Path("benchmarks/results/scale.json")


class Contestant(NamedTuple):
    """``whole`` is the most classes with whole epochs, ``most`` those it is asked for at all."""

    measure: Callable[[Problem], dict[str, float]]
    whole: int
    most: int = SIZES[-1]
    is_peer: bool = False


PATH = {"computation": "path", "optimizer": "adamw", "learning_rate_init": 0.01}
ADAGRAD = PATH | {"optimizer": "adagrad", "learning_rate_init": 0.1}
ours = _contestants.ours
CONTESTANTS = {
    "flat": Contestant(partial(ours, flat=True, learning_rate_init=0.01), 20_000),
    "dense": Contestant(partial(ours, computation="dense", learning_rate_init=0.01), 20_000),
    "path": Contestant(partial(ours, numba=False, **PATH), SIZES[-1]),
    "path, numba": Contestant(partial(ours, **PATH), SIZES[-1]),
    "path, Adagrad": Contestant(partial(ours, numba=False, **ADAGRAD), SIZES[-1]),
    "path, Adagrad, numba": Contestant(partial(ours, **ADAGRAD), SIZES[-1]),
    "AdaptiveLogSoftmaxWithLoss": Contestant(partial(_contestants.adaptive, rate=0.01), 20_000),
    "hierarchicalsoftmax": Contestant(
        partial(_contestants.hierarchicalsoftmax, rate=0.01), 0, 100_000, is_peer=True
    ),
    "napkinXC HSM": Contestant(
        partial(_contestants.napkinxc, norm=False), SIZES[-1], 100_000, is_peer=True
    ),
    "fastText hs": Contestant(
        partial(_contestants.fasttext, lr=0.5), SIZES[-1], 100_000, is_peer=True
    ),
    "limit": Contestant(_contestants.limit, SIZES[-1]),
}
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


def problem(task: dict[str, Any], contestant: Contestant) -> Problem:
    """Draw the rows, and build the tree that the contestant is given."""
    part, of = task["part"], task["of"]
    if part == "taxonomies":
        own = read_tree(of)
    else:
        own = Hierarchy.balanced(range(of if part == "growth" else N_CLASSES_OF_TREES), 10)
    n_classes = len(own.leaves)
    n_rows = max(LEAST_ROWS, ROWS_PER_CLASS * n_classes)
    if part == "trees":
        rows = draw(own, 2 * n_rows, N_TEST, is_skewed=True)
        given = other_tree(of, rows.y, n_classes)
    else:
        rows = draw(own, n_rows, N_TEST)
        given = own
    n_epochs = 3 if part == "taxonomies" or n_classes > 100_000 else 10
    n_batches = int(np.clip(4e6 / n_classes, 4, 40)) if n_classes > contestant.whole else None
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
    contestant = CONTESTANTS[task["contestant"]]
    asked = problem(task, contestant)
    found: dict[str, Any] = {"rows": len(asked.rows.X), "epochs": asked.n_epochs}
    if asked.n_batches:
        found |= {"batches": asked.n_batches}
    return found | contestant.measure(asked)
