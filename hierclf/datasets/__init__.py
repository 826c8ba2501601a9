"""Data sets, each with the hierarchy of its classes.

``_digits``              load_digits_hierarchy: images of digits, from scikit-learn
``_docstrings``          load_docstrings: texts that every installation has
``_docstring_cleaning``  the same as plain text
``_trec``                fetch_trec: questions
``_newsgroups``          fetch_20newsgroups: posts, through scikit-learn
``_reuters``             fetch_reuters: news
``_arff``                load_arff_hierarchy: files of CLUS
``_download``            how a file gets into the data home: whole and checked, or not at all
``_letters``             texts as words of the letters a to z
``_bunches``             what the functions return, for type checkers
"""

from hierclf.datasets._arff import load_arff_hierarchy
from hierclf.datasets._digits import load_digits_hierarchy
from hierclf.datasets._docstrings import load_docstrings
from hierclf.datasets._newsgroups import fetch_20newsgroups
from hierclf.datasets._reuters import fetch_reuters
from hierclf.datasets._trec import fetch_trec

__all__ = [
    "fetch_20newsgroups",
    "fetch_reuters",
    "fetch_trec",
    "load_arff_hierarchy",
    "load_digits_hierarchy",
    "load_docstrings",
]
