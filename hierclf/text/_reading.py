"""Word vectors from text files, compressed or not, from npz files and from gensim's objects."""

from __future__ import annotations

import gzip
import os
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from itertools import chain, islice
from pathlib import Path
from typing import IO, Any, Protocol

import numpy as np
from numpy.typing import DTypeLike, NDArray

from hierclf.text._sequences import cut_repr
from hierclf.text._word_vectors import WordVectors


class KeyedVectors(Protocol):
    """What is read of gensim's class of this name."""

    key_to_index: Any
    vectors: Any


_DAMAGE = (zipfile.BadZipFile, gzip.BadGzipFile, zlib.error, EOFError)


def load_word_vectors(
    source: str | os.PathLike[str] | KeyedVectors,
    words: Iterable[str] | None = None,
    *,
    dtype: DTypeLike = np.float32,
    member: str | None = None,
) -> WordVectors:
    r"""Read word vectors.

    Parameters
    ----------
    source : path or KeyedVectors
        One of

        * a text file in UTF-8 with one line for each word: the word and its values,
          separated by single spaces. GloVe, fastText (``.vec``) and word2vec write such
          files. The first line may hold the numbers of words and of values, as word2vec
          writes it. The file may be compressed: ``.gz`` or ``.zip``.
        * an ``.npz`` file with the arrays ``words`` and ``vectors``.
        * gensim's ``KeyedVectors``, or another object with ``key_to_index`` and
          ``vectors``.
    words : iterable of str, optional
        The words to keep, such as the ``vocabulary_`` of a vectorizer. None keeps all words.
        A text file is read line by line, so that only these words need memory.
    dtype : dtype, default=numpy.float32
        Type of the vectors.
    member : str, optional
        The name of the file to read from a ``.zip`` that holds several.

    Returns
    -------
    WordVectors
        The words that were found, in the order of the source, and their vectors. If a text
        file or npz holds a word twice, its first vector is taken.

    Raises
    ------
    ValueError
        If a file is damaged, incomplete or not in one of these formats. The message names
        the file and, in a text file, the line.
    TypeError
        If ``source`` is none of these, or ``words`` holds anything but words.

    See Also
    --------
    SequenceVectorizer : Chooses a vocabulary from texts.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> from hierclf.text import load_word_vectors
    >>> path = Path(tempfile.mkdtemp()) / "vectors.txt"
    >>> _ = path.write_text("moon 0.5 1.0\njupiter 2.0 -1.0\n")
    >>> load_word_vectors(path).words
    ('moon', 'jupiter')
    >>> load_word_vectors(path, words=["jupiter", "iliad"])["jupiter"]
    array([ 2., -1.], dtype=float32)
    """
    wanted = None if words is None else _wanted(words)
    dtype = np.dtype(dtype)
    if dtype.kind != "f":
        raise ValueError(f"dtype must be a floating type, got {dtype}")
    if hasattr(source, "key_to_index") and hasattr(source, "vectors"):
        return _select(source.key_to_index.items(), source.vectors, wanted, dtype)
    if not isinstance(source, (str, os.PathLike)):
        raise TypeError(
            "source must be a path or an object with key_to_index and vectors (of a gensim "
            f"model, its .wv), got {type(source).__name__}"
        )
    path = Path(source)
    suffix = path.suffix.lower()
    if member is not None and suffix != ".zip":
        raise ValueError(f"member={member!r} is for .zip files, got {path}")
    if suffix == ".bin":
        raise ValueError(
            f"{path}: binary files are not read here; give what gensim's "
            "KeyedVectors.load_word2vec_format(path, binary=True) returns"
        )
    try:
        if suffix == ".npz":
            found, vectors = _read_npz(path)
            return _select(((w, i) for i, w in enumerate(found)), vectors, wanted, dtype)
        with _open(path, suffix, member) as (file, name):
            return _read_text(file, name, wanted, dtype)
    except _DAMAGE as error:
        raise ValueError(f"{path}: the file is damaged or incomplete: {error}") from error


def _wanted(words: Any) -> set[str]:
    if isinstance(words, str):
        raise ValueError(f"words must be a collection of words, got the string {words!r}")
    if not isinstance(words, Iterable):
        cure = ": give words=vectorizer.vocabulary_, once it is fitted"
        raise TypeError(
            f"words must be a collection of words, got {type(words).__name__}"
            f"{cure if hasattr(words, 'fit') else ''}"
        )
    words = list(words)
    for word in words:
        if not isinstance(word, str):
            raise TypeError(f"words must hold words, got {cut_repr(word)}")
    return set(words)


def _select(
    rows: Iterable[tuple[str, int]],
    vectors: Any,
    wanted: set[str] | None,
    dtype: np.dtype[Any],
) -> WordVectors:
    """Return the wanted words with their rows of ``vectors``, the first row of each word."""
    kept: dict[str, int] = {}
    for word, row in rows:
        if wanted is None or word in wanted:
            kept.setdefault(word, row)
    chosen = np.asarray(vectors)[np.array(list(kept.values()), np.intp)]
    return WordVectors(kept, chosen.astype(dtype, copy=False))


def _read_npz(path: Path) -> tuple[list[str], NDArray[Any]]:
    try:
        # np.load leaves a file open that it cannot read.
        with path.open("rb") as raw, np.load(raw, allow_pickle=False) as file:
            arrays = {name: file[name] for name in ("words", "vectors") if name in file}
            names = list(file)
    except (ValueError, AttributeError, TypeError) as error:
        raise ValueError(f"{path}: cannot be read as an .npz of plain arrays: {error}") from error
    if len(arrays) < 2:
        raise ValueError(f"{path}: needs the arrays 'words' and 'vectors', has {names!r}")
    words, vectors = arrays["words"], arrays["vectors"]
    if words.ndim != 1 or words.dtype.kind != "U":
        raise ValueError(
            f"{path}: 'words' must be a 1-D array of strings, got shape {words.shape} of "
            f"dtype {words.dtype}"
        )
    if vectors.ndim != 2 or len(vectors) != len(words) or vectors.dtype.kind not in "fiu":
        raise ValueError(
            f"{path}: 'vectors' must hold a row of numbers for each of the {len(words)} words, "
            f"got shape {vectors.shape} of dtype {vectors.dtype}"
        )
    return words.tolist(), vectors


@contextmanager
def _open(path: Path, suffix: str, member: str | None) -> Iterator[tuple[IO[bytes], str]]:
    """Open a text file that may be compressed; also give its name for messages."""
    if suffix == ".gz":
        with gzip.open(path, "rb") as file:
            yield file, str(path)  # type: ignore[misc]
    elif suffix == ".zip":
        with zipfile.ZipFile(path) as archive:
            # What macOS adds to the archives it makes is no content.
            members = [
                name
                for name in archive.namelist()
                if not name.endswith("/") and not name.startswith("__MACOSX/")
            ]
            if member is None and len(members) == 1:
                member = members[0]
            if member not in members:
                ask = "choose a member" if member is None else f"no member is called {member!r}"
                raise ValueError(f"{path}: {ask}; it holds {members!r}")
            assert member is not None
            with archive.open(member) as file:
                yield file, f"{path}, {member}"
    else:
        with path.open("rb") as file:
            yield file, str(path)


def _read_text(
    lines: Iterable[bytes], name: str, wanted: set[str] | None, dtype: np.dtype[Any]
) -> WordVectors:
    # Lines stay bytes: there are words that str would take for white space or line ends.
    keep = None if wanted is None else {word.encode("utf-8", "surrogatepass") for word in wanted}
    numbered = _contents(lines)
    head = list(islice(numbered, 2))
    if not head:
        raise ValueError(f"{name}: the file is empty")
    number, content = head[0]
    header = _header(content) if number == 1 else None
    announced, dimension = header or (0, _dimension(*(line for _, line in head)))
    if not dimension:
        raise ValueError(
            f"{name}, line {number}: expected a word and its values, separated by single spaces, "
            f"got {_shown(content)}"
        )
    if header:
        del head[0]
    found: dict[bytes, str] = {}
    values = bytearray()
    n_vectors = 0
    for number, content in chain(head, numbered):
        n_vectors += 1
        word, *numbers = content.rsplit(b" ", dimension)
        if len(numbers) < dimension or not _is_word(word):
            raise ValueError(
                f"{name}, line {number}: expected {dimension} values as in the lines before, "
                f"got {len(content.split(b' ')) - 1}: {_shown(content)}"
            )
        if word in found or (keep is not None and word not in keep):
            continue
        try:
            found[word] = word.decode("utf-8")
        except UnicodeDecodeError as error:
            raise ValueError(f"{name}, line {number}: the word is not UTF-8: {error}") from error
        try:
            row = np.array([float(value) for value in numbers], dtype)
        except ValueError as error:
            raise ValueError(f"{name}, line {number}, word {found[word]!r}: {error}") from error
        if not np.isfinite(row).all():
            raise ValueError(
                f"{name}, line {number}: the vector of {found[word]!r} holds NaN or infinity"
            )
        values += row.tobytes()
    if n_vectors < announced:
        raise ValueError(
            f"{name}: the first line announces {announced} words, but {n_vectors} follow: the "
            "file is incomplete"
        )
    vectors = np.frombuffer(values, dtype) if values else np.empty(0, dtype)
    return WordVectors(found.values(), vectors.reshape(len(found), dimension))


def _contents(lines: Iterable[bytes]) -> Iterator[tuple[int, bytes]]:
    """Yield the number and the content of each line that is not empty."""
    for number, line in enumerate(lines, 1):
        content = line.rstrip(b" \r\n")
        if number == 1:
            content = content.removeprefix(b"\xef\xbb\xbf")  # a byte order mark
        if content:
            yield number, content


def _header(content: bytes) -> tuple[int, int] | None:
    """Return the numbers of words and of values, if this is the first line of word2vec."""
    fields = content.split(b" ")
    if len(fields) == 2 and fields[0].isdigit() and fields[1].isdigit():
        return int(fields[0]), int(fields[1])
    return None


def _dimension(first: bytes, second: bytes = b"") -> int:
    """Return the number of values in the first line, whose word may hold spaces."""
    at_most, other = first.count(b" "), second.count(b" ")
    if 0 < other < at_most and _is_word(first.rsplit(b" ", other)[0]):
        return other
    return at_most


def _is_word(field: bytes) -> bool:
    """Say whether this may be a word: it is not if numbers follow its first space."""
    parts = field.split(b" ")[1:]
    return not parts or not all(map(_is_number, parts))


def _is_number(field: bytes) -> bool:
    try:
        float(field)
    except ValueError:
        return False
    return True


def _shown(line: bytes) -> str:
    return cut_repr(line.decode("utf-8", "replace"))
