"""Hierarchies in files: a dict of children as JSON, or a table of edges."""

from __future__ import annotations

import csv
import gzip
import json
from pathlib import Path

from hierclf import Hierarchy


def read_tree(path: Path) -> Hierarchy:
    """Read ``path.json``, or ``path.edges.csv.gz``; in a folder ``edges.csv.gz``."""
    whole = path.parent / f"{path.name}.json"
    if whole.exists():
        return Hierarchy.from_dict(json.loads(whole.read_text("utf-8")))
    table = path / "edges.csv.gz" if path.is_dir() else path.parent / f"{path.name}.edges.csv.gz"
    with gzip.open(table, "rt", encoding="utf-8", newline="") as lines:
        return Hierarchy([(row["parent"], row["child"]) for row in csv.DictReader(lines)])
