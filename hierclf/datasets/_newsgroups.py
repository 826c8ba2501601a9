"""The 20 Newsgroups, through scikit-learn, under the subjects they belong to."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Literal, overload

import sklearn.datasets
from sklearn.utils import Bunch

from hierclf.datasets._bunches import TextArrays, TextBunch
from hierclf.datasets._download import (
    PARTS,
    Collection,
    Rows,
    Split,
    check_rows,
    fetch,
    write_parts,
)
from hierclf.datasets._letters import letters_only
from hierclf.hierarchy import Hierarchy

_GROUPS = {
    "comp": """
        comp.graphics comp.os.ms-windows.misc comp.sys.ibm.pc.hardware comp.sys.mac.hardware
        comp.windows.x
    """,
    "misc": "misc.forsale",
    "rec": "rec.autos rec.motorcycles rec.sport.baseball rec.sport.hockey",
    "religion": "alt.atheism soc.religion.christian talk.religion.misc",
    "sci": "sci.crypt sci.electronics sci.med sci.space",
    "talk.politics": "talk.politics.guns talk.politics.mideast talk.politics.misc",
}

_DESCR = """\
20 Newsgroups
=============

11,314 posts to learn from and 7,532 later ones to be tested on ("bydate"), from 20 newsgroups
under 6 subjects: comp, misc (with a single group), rec, religion, sci, talk.politics. A text is the
Subject line and the body of a post in lower case, with all but the letters a to z taken out; the
other headers, which would give the group away, are not in it. Quoted text and signatures are.

Source: Ken Lang's collection as sorted by Jason Rennie, http://qwone.com/~jason/20Newsgroups/,
through scikit-learn's ``fetch_20newsgroups``. The taxonomy is the one of Schuurmans and Frasincar,
"Global Hierarchical Neural Networks using Hierarchical Softmax", arXiv 2308.01210, who used a copy
of this set that lacks 21 and 4 of these posts. No licence is stated; the posts are freely
distributed.
"""

NEWSGROUPS = Collection(
    "20ng",
    Hierarchy.from_dict({subject: groups.split() for subject, groups in _GROUPS.items()}),
    n_rows={"train": 11314, "test": 7532},
    n_classes={"train": 20, "test": 20},
    description=_DESCR,
)


@overload
def fetch_20newsgroups(
    *,
    split: Split = ...,
    data_home: str | os.PathLike[str] | None = ...,
    download_if_missing: bool = ...,
    return_X_y: Literal[False] = ...,
) -> TextBunch: ...
@overload
def fetch_20newsgroups(
    *,
    split: Split = ...,
    data_home: str | os.PathLike[str] | None = ...,
    download_if_missing: bool = ...,
    return_X_y: Literal[True],
) -> TextArrays: ...
@overload
def fetch_20newsgroups(
    *,
    split: Split = ...,
    data_home: str | os.PathLike[str] | None = ...,
    download_if_missing: bool = ...,
    return_X_y: bool,
) -> TextBunch | TextArrays: ...
def fetch_20newsgroups(
    *,
    split: Split = "train",
    data_home: str | os.PathLike[str] | None = None,
    download_if_missing: bool = True,
    return_X_y: bool = False,
) -> TextBunch | TextArrays:
    """Load the 20 Newsgroups under their six subjects, as plain words.

    The first call lets scikit-learn's ``fetch_20newsgroups`` download the posts (14 MB). It checks
    them and keeps them in its own data home; a copy that is there already is used. The converted
    texts are kept as ``20ng/train.csv.gz`` and ``20ng/test.csv.gz`` in the data home of hierclf.

    Parameters
    ----------
    split : {"train", "test", "all"}, default="train"
        The training posts, the test posts, or the former followed by the latter.
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

        data : ndarray of shape (n_posts,), object
            The Subject line and the body of each post, in lower case and letters only. n_posts
            is 11314 (train) or 7532 (test).
        target : ndarray of shape (n_posts,), str
            The newsgroup of each post, a leaf of the hierarchy.
        hierarchy : Hierarchy
            The 20 groups under the 6 subjects.
        DESCR : str
            A description of the data, with their source.
    (data, target) : tuple, if ``return_X_y`` is True

    Raises
    ------
    ValueError
        If `split` is not one of these values, or a label in the data home is not in the
        hierarchy.
    OSError
        If a file cannot be downloaded or read, or a file in the data home is incomplete.

    See Also
    --------
    sklearn.datasets.fetch_20newsgroups : The posts as they were sent, without a hierarchy.

    Examples
    --------
    >>> from hierclf.datasets import fetch_20newsgroups
    >>> posts = fetch_20newsgroups()  # doctest: +SKIP
    >>> posts.hierarchy.parents("alt.atheism")  # doctest: +SKIP
    ('religion',)
    """
    return fetch(
        NEWSGROUPS,
        _download,
        split=split,
        data_home=data_home,
        download_if_missing=download_if_missing,
        return_X_y=return_X_y,
    )


def _download(home: Path) -> None:
    folder = home / NEWSGROUPS.name
    try:
        bunches = {
            part: sklearn.datasets.fetch_20newsgroups(subset=part, shuffle=False) for part in PARTS
        }
        parts = {part: convert_posts(bunch) for part, bunch in bunches.items()}
        for part, rows in parts.items():
            check_rows(rows, part, NEWSGROUPS)
    except (OSError, EOFError, ValueError) as error:
        raise OSError(
            f"sklearn.datasets.fetch_20newsgroups() did not bring the 20 Newsgroups ({error}); "
            f"nothing was kept in {folder}. Try again later, or put train.csv.gz and test.csv.gz, "
            f"gzipped CSV with the columns text and label, by hand in {folder}"
        ) from error
    write_parts(parts, folder)


def convert_posts(bunch: Bunch) -> Rows:
    """Return the words and groups of scikit-learn's Bunch of posts, in the order of their files."""
    files = [_file(name) for name in bunch.filenames]
    return [
        (post_words(bunch.data[i]), str(bunch.target_names[bunch.target[i]]))
        for i in sorted(range(len(files)), key=files.__getitem__)
    ]


def _file(path: str) -> tuple[str, ...]:
    return Path(path).parts[-2:]  # the group and the number of the post


def post_words(post: str) -> str:
    """Return the words of the Subject line and of the body of a post."""
    head, _, body = post.partition("\n\n")
    # A header goes on in the lines after it that are indented.
    subject = re.search(r"^Subject:(.*(?:\n[ \t].*)*)", head, re.MULTILINE | re.IGNORECASE)
    return letters_only(f"{subject.group(1) if subject else ''}\n{body}")
