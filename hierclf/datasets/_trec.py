"""The TREC questions, by the kind of answer they ask for."""

from __future__ import annotations

import os
from functools import partial
from pathlib import Path
from typing import Literal, overload

from hierclf.datasets._bunches import TextArrays, TextBunch
from hierclf.datasets._download import (
    Collection,
    RemoteFile,
    Rows,
    Split,
    check_rows,
    fetch,
    obtain,
    write_parts,
)
from hierclf.hierarchy import Hierarchy

_FINE = {
    "ABBR": "abb exp",
    "DESC": "def desc manner reason",
    "ENTY": """
        animal body color cremat currency dismed event food instru lang letter other plant product
        religion sport substance symbol techmeth termeq veh word
    """,
    "HUM": "desc gr ind title",
    "LOC": "city country mount other state",
    "NUM": "code count date dist money ord other perc period speed temp volsize weight",
}

_DESCR = """\
TREC questions
==============

5,452 questions to learn from and 500 to be tested on (those of the TREC 10 track), each labelled
with the kind of answer that it asks for: 50 classes such as "LOC:city" under 6 coarse ones (ABBR,
DESC, ENTY, HUM, LOC, NUM). A label is the whole "COARSE:fine", since "desc" and "other" occur under
several coarse classes. 42 of the 50 classes occur in the test part. The questions are tokenised:
there are spaces around punctuation.

Source: Xin Li and Dan Roth, "Learning Question Classifiers", COLING 2002;
https://cogcomp.seas.upenn.edu/Data/QA/QC/. The taxonomy is theirs, and the one of Schuurmans and
Frasincar, "Global Hierarchical Neural Networks using Hierarchical Softmax", arXiv 2308.01210. No
licence is stated; the questions are in general use for research.
"""

TREC = Collection(
    "trec",
    Hierarchy.from_dict(
        {coarse: [f"{coarse}:{name}" for name in fine.split()] for coarse, fine in _FINE.items()}
    ),
    n_rows={"train": 5452, "test": 500},
    n_classes={"train": 50, "test": 42},
    description=_DESCR,
)

# The checksums are those that others who use the original files record, e.g. the metadata of this
# set in Hugging Face's "datasets".
_URL = "https://cogcomp.seas.upenn.edu/Data/QA/QC"
FILES = {
    "train": RemoteFile(
        "train_5500.label",
        (f"{_URL}/train_5500.label",),
        "9e4c8bdcaffb96ed61041bd64b564183d52793a8e91d84fc3a8646885f466ec3",
    ),
    "test": RemoteFile(
        "TREC_10.label",
        (f"{_URL}/TREC_10.label",),
        "033f22c028c2bbba9ca682f68ffe204dc1aa6e1cf35dd6207f2d4ca67f0d0e8e",
    ),
}


@overload
def fetch_trec(
    *,
    split: Split = ...,
    data_home: str | os.PathLike[str] | None = ...,
    download_if_missing: bool = ...,
    return_X_y: Literal[False] = ...,
) -> TextBunch: ...
@overload
def fetch_trec(
    *,
    split: Split = ...,
    data_home: str | os.PathLike[str] | None = ...,
    download_if_missing: bool = ...,
    return_X_y: Literal[True],
) -> TextArrays: ...
@overload
def fetch_trec(
    *,
    split: Split = ...,
    data_home: str | os.PathLike[str] | None = ...,
    download_if_missing: bool = ...,
    return_X_y: bool,
) -> TextBunch | TextArrays: ...
def fetch_trec(
    *,
    split: Split = "train",
    data_home: str | os.PathLike[str] | None = None,
    download_if_missing: bool = True,
    return_X_y: bool = False,
) -> TextBunch | TextArrays:
    """Load the TREC questions, labelled with the kind of answer they ask for.

    The first call downloads them (0.4 MB) and checks the SHA-256 of the original files. This needs
    pooch (the extra ``data``). They are kept as ``trec/train.csv.gz`` and ``trec/test.csv.gz`` in
    the data home.

    Parameters
    ----------
    split : {"train", "test", "all"}, default="train"
        The training questions, the test questions, or the former followed by the latter.
    data_home : path, default=None
        The folder of the data sets. None is the folder in the environment variable
        HIERCLF_DATA, or ``~/hierclf_data`` if it is not set.
    download_if_missing : bool, default=True
        Whether to download the data if they are not in the data home. If False, an OSError is
        raised instead.
    return_X_y : bool, default=False
        If True, return ``(data, target)`` instead of a Bunch.

    Returns
    -------
    data : Bunch
        An object with the attributes

        data : ndarray of shape (n_questions,), object
            The questions, each a str. n_questions is 5452 (train) or 500 (test).
        target : ndarray of shape (n_questions,), str
            The fine class of each question, "COARSE:fine", a leaf of the hierarchy.
        hierarchy : Hierarchy
            The 50 fine classes under the 6 coarse ones.
        DESCR : str
            A description of the data, with their source.
    (data, target) : tuple, if ``return_X_y`` is True

    Raises
    ------
    ValueError
        If `split` is not one of these values, or a label in the data home is not in the
        hierarchy.
    OSError
        If a file cannot be downloaded or read, or a file in the data home is incomplete. Damaged
        files are not kept. The message says where to put the original files by hand.

    Examples
    --------
    >>> from hierclf.datasets import fetch_trec
    >>> questions = fetch_trec(split="test")  # doctest: +SKIP
    >>> questions.data[0], questions.target[0]  # doctest: +SKIP
    ('How far is it from Denver to Aspen ?', 'NUM:dist')
    """
    return fetch(
        TREC,
        _download,
        split=split,
        data_home=data_home,
        download_if_missing=download_if_missing,
        return_X_y=return_X_y,
    )


def _download(home: Path) -> None:
    folder = home / TREC.name
    parts = {
        part: obtain(file, folder, _parse_file, partial(check_rows, part=part, collection=TREC))
        for part, file in FILES.items()
    }
    write_parts(parts, folder)


def _parse_file(path: Path) -> Rows:
    return parse_label_file(path.read_bytes())


def parse_label_file(content: bytes) -> Rows:
    """Return the questions and labels of a file with the lines ``COARSE:fine question``."""
    rows = []
    # One stray byte, in "sister\xf0city", stands for a space.
    for i, line in enumerate(content.replace(b"\xf0", b" ").decode("latin-1").splitlines()):
        label, _, question = line.strip().partition(" ")
        coarse, colon, fine = label.partition(":")
        if not (coarse and colon and fine and question):
            raise ValueError(f"line {i + 1} is not 'COARSE:fine question': {line[:60]!r}")
        rows.append((question.strip(), label))
    return rows
