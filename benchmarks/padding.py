"""How much of what a network reads is padding, with batches of like lengths and without.

    python benchmarks/padding.py

Token ids of the training texts, cut at 512 words, as a classifier would batch them; beside them
what a single table for all texts would hold.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
from _data import FETCHERS, load
from _report import print_table, write_json

from hierclf.classifiers._batches import Batches, Rows
from hierclf.text import SequenceVectorizer

BATCH_SIZES = (10, 32, 64, 128)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", default=[*FETCHERS], metavar="NAME")
    parser.add_argument("--data", type=Path, help="folder of the data sets")
    parser.add_argument("--json", type=Path, help="write the results there")
    args = parser.parse_args()
    results = {}
    for name in args.names:
        ids = SequenceVectorizer(min_df=2).fit_transform(load(name, args.data).X_train)
        n_words = int((ids != 0).sum())
        shares = {}
        for size in BATCH_SIZES:
            batches = Batches(Rows(ids), size, generator=torch.Generator().manual_seed(0))
            shares[f"batch {size}"] = 1 - n_words / sum(x.numel() for x, _ in batches)
        results[name] = shares | {"one table": 1 - n_words / ids.size}
    columns = [f"batch {size}" for size in BATCH_SIZES] + ["one table"]
    print_table(
        ("padding", *columns),
        ((name, *(f"{shares[c]:.1%}" for c in columns)) for name, shares in results.items()),
    )
    if args.json:
        write_json(args.json, {"max_length": 512, "min_df": 2}, results)


if __name__ == "__main__":
    main()
