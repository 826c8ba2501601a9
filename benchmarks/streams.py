"""A stream of blocks against a fit: does ``partial_fit`` learn as well?

    python benchmarks/streams.py

Linear models of tf-idf with the defaults, as in ``first_models.py``. A stream makes as many passes
over the training part as the ``fit`` has epochs, in blocks of a number of samples; their order is
random, and the same in each pass. Every result is written to ``--out`` as soon as it is there; a
second run skips what it finds. ``--report`` prints the table of what is there.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from _data import load
from _measures import measure
from _report import mean_sd, print_table, resume
from sklearn.feature_extraction.text import TfidfVectorizer

from hierclf import FlatSoftmaxClassifier, HierarchicalSoftmaxClassifier

NAMES = ("trec", "20ng")
CLASSES = {"flat": FlatSoftmaxClassifier, "hierarchical": HierarchicalSoftmaxClassifier}
BLOCKS = (None, 2000, 500, 128)
SHOWN = ("macro-F1", "accuracy")


@lru_cache(maxsize=1)
def features(name: str) -> tuple[Any, ...]:
    data = load(name)
    vectorizer = TfidfVectorizer(sublinear_tf=True, dtype=np.float32)
    X = vectorizer.fit_transform(data.X_train)
    return X, data.y_train, vectorizer.transform(data.X_test), data.y_test, data.hierarchy


def train(name: str, head: str, block: int | None, seed: int) -> dict[str, float]:
    """Train a fit, or a stream of its length, and score it on the test part."""
    X, y, X_asked, y_asked, hierarchy = features(name)
    whole = CLASSES[head](hierarchy, random_state=seed).fit(X, y)
    clf = whole
    if block is not None:
        clf = CLASSES[head](hierarchy, random_state=seed)
        order = np.random.default_rng(seed).permutation(len(y))
        blocks = [order[start : start + block] for start in range(0, len(y), block)]
        for _ in range(whole.n_iter_):
            for rows in blocks:
                clf.partial_fit(X[rows], y[rows], classes=whole.classes_)
    scores = measure(hierarchy, y_asked, clf.predict(X_asked))
    return {key: scores[key] for key in SHOWN} | {"passes": whole.n_iter_}


def trials(
    names: list[str], n_seeds: int
) -> Iterator[tuple[dict[str, Any], Callable[[], dict[str, float]]]]:
    for name in names:
        for head in CLASSES:
            for seed in range(n_seeds):
                for block in BLOCKS:
                    what = {"data": name, "head": head, "block": block, "seed": seed}
                    yield what, partial(train, name, head, block, seed)


def report(results: list[dict[str, Any]]) -> None:
    rows = []
    for name in dict.fromkeys(row["data"] for row in results):
        for head in CLASSES:
            for block in BLOCKS:
                found = [
                    row["scores"]
                    for row in results
                    if (row["data"], row["head"], row["block"]) == (name, head, block)
                ]
                if found:
                    means = (mean_sd([100 * row[key] for row in found], 1) for key in SHOWN)
                    what = "fit" if block is None else f"blocks of {block}"
                    rows.append((name, head, what, found[0]["passes"], *means))
    print_table(("data", "head", "trained by", "passes", *SHOWN), rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", default=list(NAMES), help="data sets")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/streams.json"))
    parser.add_argument("--report", action="store_true", help="print what is there, run nothing")
    args = parser.parse_args()
    torch.set_num_threads(1)
    todo = [] if args.report else trials(args.names, args.seeds)
    for results in resume(args.out, todo, "scores"):
        if not args.report and results:
            print(results[-1], flush=True)
    report(results)


if __name__ == "__main__":
    main()
