"""Data sets, each with the hierarchy of its classes."""

from hierclf.datasets._digits import load_digits_hierarchy
from hierclf.datasets._docstrings import load_docstrings
from hierclf.datasets._newsgroups import fetch_20newsgroups
from hierclf.datasets._reuters import fetch_reuters
from hierclf.datasets._trec import fetch_trec

__all__ = [
    "fetch_20newsgroups",
    "fetch_reuters",
    "fetch_trec",
    "load_digits_hierarchy",
    "load_docstrings",
]
