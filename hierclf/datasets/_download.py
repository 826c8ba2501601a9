"""Where fetched data sets are kept, and how they get there: whole and checked, or not at all."""

from __future__ import annotations

import csv
import gzip
import hashlib
import os
import tempfile
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from tarfile import TarError
from typing import Any, Literal, NamedTuple, TypeVar

import numpy as np

from hierclf.datasets._bunches import TextArrays, TextBunch
from hierclf.hierarchy import Hierarchy

Split = Literal["train", "test", "all"]
Rows = list[tuple[str, str]]  # text and label
Parts = dict[str, Rows]  # the rows of "train" and of "test"

_T = TypeVar("_T")

PARTS = ("train", "test")

# What reading a damaged or foreign file raises. UnicodeDecodeError is a ValueError.
_DAMAGE = (OSError, EOFError, ValueError, KeyError, TarError, zlib.error, csv.Error)


class RemoteFile(NamedTuple):
    """A file of the original source, with its mirrors."""

    name: str
    urls: tuple[str, ...]
    sha256: str | None
    """None if no checksum is published; the content of the file is checked instead."""


class Collection(NamedTuple):
    """What is known of a data set, to tell whether a copy is complete."""

    name: str
    hierarchy: Hierarchy
    n_rows: Mapping[str, int]
    n_classes: Mapping[str, int]
    description: str


def fetch(
    collection: Collection,
    download: Callable[[Path], None],
    *,
    split: Split,
    data_home: str | os.PathLike[str] | None,
    download_if_missing: bool,
    return_X_y: bool,
) -> TextBunch | TextArrays:
    """Return a data set from the data home, where `download` puts it if it is missing."""
    if split not in (*PARTS, "all"):
        raise ValueError(f"split must be 'train', 'test' or 'all', got {split!r}")
    home = find_data_home(data_home)
    files = {
        part: home / collection.name / f"{part}.csv.gz"
        for part in (PARTS if split == "all" else (split,))
    }
    missing = [file for file in files.values() if not file.exists()]
    if missing and not download_if_missing:
        raise OSError(
            f"{missing[0]} is missing, and download_if_missing=False forbids to download it; is "
            f"{str(home)!r} the folder of the data sets (data_home, or the environment variable "
            f"HIERCLF_DATA)?"
        )
    if missing:
        download(home)
    rows = [row for part, file in files.items() for row in read_part(file, part, collection)]
    data = np.empty(len(rows), dtype=object)
    data[:] = [text for text, _ in rows]
    target = np.array([label for _, label in rows], dtype=np.str_)
    if return_X_y:
        return data, target
    return TextBunch(
        data=data,
        target=target,
        hierarchy=collection.hierarchy,
        DESCR=collection.description,
    )


def find_data_home(data_home: str | os.PathLike[str] | None) -> Path:
    """Return the folder of the data sets: as given, as in HIERCLF_DATA, or ~/hierclf_data."""
    return Path(data_home or os.environ.get("HIERCLF_DATA") or "~/hierclf_data").expanduser()


def read_part(file: Path, part: str, collection: Collection) -> Rows:
    """Read the columns text and label, and check that they are the part of the collection."""
    try:
        with gzip.open(file, "rt", encoding="utf-8", newline="") as lines, _long_fields():
            rows = [(row["text"], row["label"]) for row in csv.DictReader(lines)]
    except _DAMAGE as error:
        raise OSError(
            f"{file} cannot be read as gzipped CSV with the columns text and label "
            f"({type(error).__name__}: {error}); delete it to have it made anew"
        ) from error
    leaves = set(collection.hierarchy.leaves)
    for i, (_, label) in enumerate(rows):
        if label not in leaves:
            raise ValueError(
                f"{file}: the label {label!r} of row {i} is not a leaf of the hierarchy; "
                f"delete the file to have it made anew"
            )
    try:
        check_rows(rows, part, collection)
    except ValueError as error:
        raise OSError(
            f"{file} is incomplete or not the file it should be: {error}; delete it to have it "
            "made anew"
        ) from error
    return rows


def obtain(
    file: RemoteFile, folder: Path, parse: Callable[[Path], _T], check: Callable[[_T], object]
) -> _T:
    """Return what is in a file of the original source, once it has passed its checks.

    If somebody has put the file into `folder`, it is read there. Otherwise it is downloaded to a
    temporary folder, which is deleted afterwards.
    """
    by_hand = folder / file.name
    if by_hand.exists():
        try:
            return _checked(by_hand, file, parse, check)
        except _DAMAGE as error:
            raise OSError(
                f"{by_hand} is damaged or not the file it should be ({error}); replace it by a "
                f"fresh copy of {file.urls[0]}, or delete it to have it downloaded"
            ) from error
    failures: list[str] = []
    cause: Exception | None = None
    folder.mkdir(parents=True, exist_ok=True)
    for url in file.urls:
        with tempfile.TemporaryDirectory(prefix=".download-", dir=folder) as temporary:
            try:
                path = _download(url, Path(temporary) / file.name)
                return _checked(path, file, parse, check)
            except _DAMAGE as error:
                failures.append(f"{url}: {error}")
                cause = error
    raise OSError(
        f"could not download {file.name}; nothing was kept. Tried\n  "
        + "\n  ".join(failures)
        + f"\nTry again later, or put the file by hand at {by_hand}"
    ) from cause


def _checked(
    path: Path, file: RemoteFile, parse: Callable[[Path], _T], check: Callable[[_T], object]
) -> _T:
    if file.sha256 is not None:
        found = hashlib.sha256(path.read_bytes()).hexdigest()
        if found != file.sha256:
            raise ValueError(f"its SHA-256 is {found}, not {file.sha256}")
    content = parse(path)
    check(content)
    return content


def _download(url: str, path: Path) -> Path:
    pooch = _pooch()
    pooch.get_logger().info("Downloading %s", url)
    # Not streamed: the files are small, and pooch leaves a stream open if the server refuses.
    pooch.HTTPDownloader(timeout=60, stream=False)(url, str(path), None)
    return path


def _pooch() -> Any:
    try:
        import pooch
    except ImportError as error:
        raise ImportError(
            "downloading data sets needs pooch: pip install pooch (the extra 'data' of hierclf)"
        ) from error
    return pooch


def check_rows(rows: Rows, part: str, collection: Collection) -> None:
    """Refuse rows that cannot be the whole part of the collection."""
    classes = {label for _, label in rows}
    strangers = classes - set(collection.hierarchy.leaves)
    if strangers:
        raise ValueError(f"{min(strangers)!r} is not a class of {collection.name}")
    found = len(rows), len(classes)
    expected = collection.n_rows[part], collection.n_classes[part]
    if found != expected:
        raise ValueError(
            f"the {part} part of {collection.name} has {found[0]} rows in {found[1]} classes, "
            f"expected {expected[0]} rows in {expected[1]} classes"
        )


def write_parts(parts: Mapping[str, Rows], folder: Path) -> None:
    """Write each part as CSV; a file appears under its name only when it is complete."""
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".write-", dir=folder) as temporary:
        names = [f"{part}.csv.gz" for part in parts]
        for name, rows in zip(names, parts.values(), strict=True):
            _write_rows(rows, Path(temporary) / name)
        for name in names:
            os.replace(Path(temporary) / name, folder / name)


def _write_rows(rows: Iterable[tuple[str, str]], file: Path) -> None:
    with gzip.open(file, "wt", encoding="utf-8", newline="") as lines:
        writer = csv.writer(lines, lineterminator="\n")
        writer.writerow(("text", "label"))
        writer.writerows(rows)


@contextmanager
def _long_fields() -> Iterator[None]:
    """Let the csv module read texts of more than 128 KiB, its limit for the whole process."""
    limit = csv.field_size_limit(2**31 - 1)
    try:
        yield
    finally:
        csv.field_size_limit(limit)
