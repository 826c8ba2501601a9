"""Which words have an id: those that the user gives, or the most frequent words."""

from __future__ import annotations

from collections.abc import Collection, Mapping, MappingView
from numbers import Real

import numpy as np
from numpy.typing import NDArray

from hierclf.nn.text import PADDING, UNKNOWN

SPECIAL_NAMES = {PADDING: "<pad>", UNKNOWN: "<unk>"}
FIRST_WORD = len(SPECIAL_NAMES)

_BLOCK = 10_000  # texts whose words are counted at a time, for memory


def count_words(
    rows: list[NDArray[np.int32]], n_words: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Count how often each word number occurs, and in how many rows."""
    counts, n_rows = np.zeros((2, n_words), np.int64)
    for start in range(0, len(rows), _BLOCK):
        block = rows[start : start + _BLOCK]
        words = np.concatenate(block)
        counts += np.bincount(words, minlength=n_words)
        # One number for each pair of row and word. np.unique hashes in newer versions of
        # numpy, and takes thirty times as long.
        pairs = np.repeat(np.arange(len(block), dtype=np.int64), list(map(len, block)))
        pairs *= n_words
        pairs += words
        pairs.sort()
        pairs = pairs[np.diff(pairs, prepend=-1) != 0]
        n_rows += np.bincount(pairs % n_words, minlength=n_words)
    return counts, n_rows


def number_words(given: Collection[str]) -> dict[str, int]:
    """Return the ids of the words of a vocabulary that the user gives, once it is checked."""
    if isinstance(given, str):
        raise ValueError(f"vocabulary must be a collection of words, got the string {given!r}")
    if isinstance(given, MappingView):
        raise TypeError(
            f"vocabulary is a {type(given).__name__}, which can be neither cloned nor pickled: "
            "give the mapping itself, or list(...) of its words"
        )
    words = list(given)
    if not words:
        raise ValueError("vocabulary is empty: give at least one word")
    for word in words:
        if not isinstance(word, str):
            raise TypeError(f"vocabulary must hold words, got {word!r}")
    if isinstance(given, Mapping):
        # What is no number cannot be sorted; it comes first, and is refused there.
        ids = {word: i if isinstance(i, Real) else -np.inf for word, i in given.items()}
        words.sort(key=ids.__getitem__)
        for i, word in enumerate(words, FIRST_WORD):
            if ids[word] != i:
                raise ValueError(
                    f"vocabulary must give the words the ids {FIRST_WORD} to "
                    f"{len(words) + FIRST_WORD - 1}, each once, got {given[word]!r} for "
                    f"{word!r}; give a list of words to have them numbered"
                )
    elif isinstance(given, (set, frozenset)):  # no other collection is without an order
        words.sort()
    vocabulary: dict[str, int] = {}
    for i, word in enumerate(words, FIRST_WORD):
        if vocabulary.setdefault(str(word), i) != i:
            raise ValueError(f"vocabulary holds {str(word)!r} more than once")
    return vocabulary
