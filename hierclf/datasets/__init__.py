"""Data sets, each with the hierarchy of its classes."""

from hierclf.datasets._digits import load_digits_hierarchy
from hierclf.datasets._docstrings import load_docstrings

__all__ = ["load_digits_hierarchy", "load_docstrings"]
