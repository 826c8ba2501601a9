"""Reuters-21578: the news of 1987 that have one topic, under kinds of topics."""

from __future__ import annotations

import gzip
import html
import io
import os
import re
import tarfile
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath
from typing import Literal, NamedTuple, overload

from hierclf.datasets._bunches import TextArrays, TextBunch
from hierclf.datasets._download import (
    PARTS,
    Collection,
    Parts,
    RemoteFile,
    Split,
    check_rows,
    fetch,
    obtain,
    write_parts,
)
from hierclf.datasets._letters import letters_only
from hierclf.hierarchy import Hierarchy

_R8 = {
    "commodity": "crude grain",
    "corporate": "acq earn",
    "macro": "ship trade",
    "monetary": "interest money-fx",
}
_R52 = {
    "commodity": """
        alum carcass cocoa coffee copper cotton crude fuel gas gold grain heat iron-steel jet lead
        livestock lumber meal-feed nat-gas nickel orange pet-chem platinum potato rubber
        strategic-metal sugar tea tin veg-oil zinc
    """,
    "corporate": "acq earn",
    "macro": "bop cpi cpu gnp housing income ipi jobs lei retail ship trade wpi",
    "monetary": "dlr instal-debt interest money-fx money-supply reserves",
}

_DESCR = """\
Reuters-{n_classes}
=========={underline}

{train:,} news stories of 1987 to learn from and {test:,} later ones to be tested on, each with
exactly one topic: {n_classes} topics under 4 kinds (commodity, corporate, macro, monetary).
{selection}
The topics are of very different sizes: {smallest} to 2,840 stories to learn from. A text is the
title and the body of a story in lower case, with all but the letters a to z taken out.

Source: Reuters-21578, Distribution 1.0, made from the archive of 22 SGML files
(https://kdd.ics.uci.edu/databases/reuters21578/) with the ModApte split (LEWISSPLIT "TRAIN" and
"TEST", TOPICS "YES"); the selection follows A. Cardoso-Cachopo's "R8" and "R52". The taxonomy is
the one of Schuurmans and Frasincar, "Global Hierarchical Neural Networks using Hierarchical
Softmax", arXiv 2308.01210. The copyright is Reuters's; free for research only, with
acknowledgement.
"""


def _collection(
    name: str, kinds: dict[str, str], train: int, test: int, smallest: int, selection: str
) -> Collection:
    hierarchy = Hierarchy.from_dict({kind: topics.split() for kind, topics in kinds.items()})
    n_classes = len(hierarchy.leaves)
    return Collection(
        name,
        hierarchy,
        n_rows={"train": train, "test": test},
        n_classes=dict.fromkeys(PARTS, n_classes),
        description=_DESCR.format(
            n_classes=n_classes,
            underline="=" * (len(str(n_classes)) - 2),
            train=train,
            test=test,
            selection=selection,
            smallest=smallest,
        ),
    )


COLLECTIONS = {
    "r8": _collection(
        "r8",
        _R8,
        train=5485,
        test=2189,
        smallest=41,
        selection="These are the large ones of the 52 topics that have such stories in both parts.",
    ),
    "r52": _collection(
        "r52",
        _R52,
        train=6532,
        test=2568,
        smallest=1,
        selection="These are all topics that have such stories in both parts.",
    ),
}

FOLDER = "reuters21578"
# No checksum of the archive is published. The gzip format carries one (CRC-32) that notices
# damage; the number of documents and what is made of them tell whether it is the right archive.
ARCHIVE = RemoteFile(
    "reuters21578.tar.gz",
    (
        "https://kdd.ics.uci.edu/databases/reuters21578/reuters21578.tar.gz",
        "https://archive.ics.uci.edu/ml/machine-learning-databases/reuters21578-mld/"
        "reuters21578.tar.gz",
    ),
    None,
)
N_DOCUMENTS = 21578

_SGML_FILE = re.compile(r"reut2-\d{3}\.sgm")
_DOCUMENT = re.compile(r"<REUTERS\b([^>]*)>(.*?)</REUTERS>", re.DOTALL)
_ATTRIBUTE = re.compile(r'(\w+)="([^"]*)"')
_TOPICS = re.compile(r"<TOPICS>(.*?)</TOPICS>", re.DOTALL)
_TOPIC = re.compile(r"<D>(.*?)</D>")
_TEXT = re.compile(r"<TEXT\b([^>]*)>(.*?)</TEXT>", re.DOTALL)
_TITLE_OR_BODY = re.compile(r"<(TITLE|BODY)>(.*?)</\1>", re.DOTALL)


class Document(NamedTuple):
    """A story, with what decides where it belongs."""

    part: str | None
    """"train" or "test" by the ModApte split, None if it is in neither."""
    topics: tuple[str, ...]
    text: str


@overload
def fetch_reuters(
    subset: Literal["r8", "r52"] = ...,
    *,
    split: Split = ...,
    data_home: str | os.PathLike[str] | None = ...,
    download_if_missing: bool = ...,
    return_X_y: Literal[False] = ...,
) -> TextBunch: ...
@overload
def fetch_reuters(
    subset: Literal["r8", "r52"] = ...,
    *,
    split: Split = ...,
    data_home: str | os.PathLike[str] | None = ...,
    download_if_missing: bool = ...,
    return_X_y: Literal[True],
) -> TextArrays: ...
@overload
def fetch_reuters(
    subset: Literal["r8", "r52"] = ...,
    *,
    split: Split = ...,
    data_home: str | os.PathLike[str] | None = ...,
    download_if_missing: bool = ...,
    return_X_y: bool,
) -> TextBunch | TextArrays: ...
def fetch_reuters(
    subset: Literal["r8", "r52"] = "r8",
    *,
    split: Split = "train",
    data_home: str | os.PathLike[str] | None = None,
    download_if_missing: bool = True,
    return_X_y: bool = False,
) -> TextBunch | TextArrays:
    """Load the stories of Reuters-21578 that have one topic, with 8 or with 52 topics.

    The first call downloads them (8 MB). This needs pooch (the extra ``data``). They are kept as
    ``r8/train.csv.gz``, ``r8/test.csv.gz`` and the same under ``r52`` in the data home: one
    download gives both subsets. No checksum of the archive is published. It is accepted if the
    checksum inside it is right, and if it has the known numbers of documents, samples and classes.

    Parameters
    ----------
    subset : {"r8", "r52"}, default="r8"
        The 8 large topics, or all 52 topics that have stories in both parts.
    split : {"train", "test", "all"}, default="train"
        The training stories, the test stories (by the ModApte split), or the former followed by
        the latter.
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

        data : ndarray of shape (n_stories,), object
            The title and the body of each story, in lower case and letters only. n_stories is
            5485 (train) or 2189 (test) for "r8", and 6532 or 2568 for "r52".
        target : ndarray of shape (n_stories,), str
            The topic of each story, a leaf of the hierarchy.
        hierarchy : Hierarchy
            The topics under "commodity", "corporate", "macro" and "monetary".
        DESCR : str
            A description of the data, with their source.
    (data, target) : tuple, if ``return_X_y`` is True

    Raises
    ------
    ValueError
        If `subset` or `split` is not one of these values, or a label in the data home is not in
        the hierarchy.
    OSError
        If the archive cannot be downloaded or read, or a file in the data home is damaged or
        incomplete. Damaged files are not kept. The message says where to put the archive by
        hand.

    Examples
    --------
    >>> from hierclf.datasets import fetch_reuters
    >>> news = fetch_reuters("r52", split="test")  # doctest: +SKIP
    >>> news.hierarchy.parents("cocoa")  # doctest: +SKIP
    ('commodity',)
    """
    if not isinstance(subset, str) or subset not in COLLECTIONS:
        raise ValueError(f"subset must be 'r8' or 'r52', got {subset!r}")
    return fetch(
        COLLECTIONS[subset],
        _download,
        split=split,
        data_home=data_home,
        download_if_missing=download_if_missing,
        return_X_y=return_X_y,
    )


def _download(home: Path) -> None:
    collections = obtain(ARCHIVE, home / FOLDER, _read_collections, _check_collections)
    for name, parts in collections.items():
        write_parts(parts, home / name)


def _read_collections(archive: Path) -> dict[str, Parts]:
    documents = list(read_archive(archive))
    if len(documents) != N_DOCUMENTS:
        raise ValueError(f"it holds {len(documents):,} documents, expected {N_DOCUMENTS:,}")
    r52 = select_single_topic(documents)
    large = set(COLLECTIONS["r8"].hierarchy.leaves)
    r8 = {part: [row for row in rows if row[1] in large] for part, rows in r52.items()}
    return {"r8": r8, "r52": r52}


def _check_collections(collections: dict[str, Parts]) -> None:
    for name, parts in collections.items():
        for part, rows in parts.items():
            check_rows(rows, part, COLLECTIONS[name])


def read_archive(archive: Path) -> Iterator[Document]:
    """Yield the documents of all SGML files in the archive, in the order of their numbers."""
    # Unpacked as a whole, for gzip compares its checksum only at the end.
    content = gzip.decompress(archive.read_bytes())
    with tarfile.open(fileobj=io.BytesIO(content), mode="r:") as tar:
        members = {PurePosixPath(member.name).name: member for member in tar if member.isfile()}
        for name in sorted(members):
            if _SGML_FILE.fullmatch(name):
                file = tar.extractfile(members[name])
                assert file is not None  # it is a file
                yield from parse_sgml(file.read().decode("latin-1"))


def parse_sgml(sgml: str) -> Iterator[Document]:
    """Yield the documents of an SGML file of Reuters-21578."""
    for document in _DOCUMENT.finditer(sgml):
        attributes = dict(_ATTRIBUTE.findall(document.group(1)))
        topics = _TOPICS.search(document.group(2))
        text = _TEXT.search(document.group(2))
        if topics is None or text is None:
            raise ValueError(f"document {attributes.get('NEWID')} has no TOPICS or no TEXT")
        yield Document(
            _part(attributes),
            tuple(_TOPIC.findall(topics.group(1))),
            letters_only(html.unescape(_story(*text.groups()))),
        )


def _part(attributes: dict[str, str]) -> str | None:
    """Return the part of the ModApte split that a document is in."""
    if attributes.get("TOPICS") != "YES":
        return None
    return {"TRAIN": "train", "TEST": "test"}.get(attributes.get("LEWISSPLIT", ""))


def _story(attributes: str, text: str) -> str:
    """Return the title and the body; a story of an unusual format is not divided into them."""
    if "UNPROC" in attributes:
        return text
    return "\n".join(match.group(2) for match in _TITLE_OR_BODY.finditer(text))


def select_single_topic(documents: Iterable[Document]) -> Parts:
    """Keep the stories with one topic, of the topics that have such stories in both parts."""
    parts: Parts = {part: [] for part in PARTS}
    for document in documents:
        if document.part is not None and len(document.topics) == 1:
            parts[document.part].append((document.text, document.topics[0]))
    shared = set.intersection(*({topic for _, topic in rows} for rows in parts.values()))
    return {part: [row for row in rows if row[1] in shared] for part, rows in parts.items()}
