"""Pretrained word vectors, and an embedding made of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted

from hierclf.nn.text import EMBEDDING_BOUND, PADDING
from hierclf.text._sequences import SequenceVectorizer, iterate_texts


@dataclass(frozen=True)
class Coverage:
    """The share of the words of some texts that have a word vector.

    Attributes
    ----------
    types : float
        The share of the distinct words.
    running_words : float
        The share of all words, each counted as often as it occurs.
    missing : list of (str, int)
        The most frequent words without a vector, no more than ten, with their counts.
    """

    types: float
    running_words: float
    missing: list[tuple[str, int]]


class WordVectors:
    """Words and a vector for each.

    The object never changes, so that ``clone`` and a grid search share one copy.

    Parameters
    ----------
    words : iterable of str
        The words, each once.
    vectors : array-like of shape (n_words, dimension)
        The vectors of the words. An array of floats is not copied.

    Attributes
    ----------
    words : tuple of str
        The words.
    vectors : ndarray of shape (n_words, dimension)
        The vectors of the words, read-only.

    Raises
    ------
    ValueError
        If a word occurs twice, the numbers of words and vectors differ, or a vector holds
        NaN or infinity.

    See Also
    --------
    load_word_vectors : Reads word vectors from a file.

    Examples
    --------
    >>> from hierclf.text import WordVectors
    >>> vectors = WordVectors(["moon", "jupiter"], [[0.5, 1.0], [2.0, -1.0]])
    >>> vectors
    WordVectors(2 words, dimension 2)
    >>> vectors["jupiter"]
    array([ 2., -1.])
    >>> "iliad" in vectors
    False
    """

    words: tuple[str, ...]
    vectors: NDArray[np.floating[Any]]

    def __init__(self, words: Iterable[str], vectors: ArrayLike) -> None:
        # Words of a numpy array would each carry their own numpy header.
        self.words = tuple(map(str, words))
        array = np.asarray(vectors)
        array = array.view() if array.dtype.kind == "f" else array.astype(np.float64)
        if array.ndim != 2 or len(array) != len(self.words) or not array.shape[1]:
            raise ValueError(
                f"vectors must have shape (n_words, dimension) with a row for each of the "
                f"{len(self.words)} words, got shape {array.shape}"
            )
        self._rows = {word: row for row, word in enumerate(self.words)}
        if len(self._rows) < len(self.words):
            twice = next(w for row, w in enumerate(self.words) if self._rows[w] != row)
            raise ValueError(f"the word {twice!r} occurs more than once")
        finite = np.isfinite(array).all(axis=1)
        if not finite.all():
            word = self.words[int(np.argmin(finite))]
            raise ValueError(f"the vector of {word!r} holds NaN or infinity")
        array.flags.writeable = False
        self.vectors = array

    def __len__(self) -> int:
        return len(self.words)

    def __contains__(self, word: object) -> bool:
        return word in self._rows

    def __getitem__(self, word: str) -> NDArray[np.floating[Any]]:
        vector: NDArray[np.floating[Any]] = self.vectors[self._rows[word]]
        return vector

    def __repr__(self) -> str:
        return f"WordVectors({len(self)} words, dimension {self.vectors.shape[1]})"

    def __copy__(self) -> WordVectors:
        return self

    def __deepcopy__(self, memo: Any) -> WordVectors:
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        return WordVectors, (self.words, self.vectors)

    def matrix(
        self,
        vocabulary: SequenceVectorizer | Mapping[str, int],
        random_state: int | np.random.RandomState | None = None,
    ) -> NDArray[np.floating[Any]]:
        r"""Return the weights of an embedding of the vocabulary.

        Row 0, the padding, is zero. The row of a word with a vector is that vector. All other
        rows, including that of the unknown word, are drawn from the uniform distribution
        between :math:`\pm\sqrt{0.06}` [1]_.

        Parameters
        ----------
        vocabulary : SequenceVectorizer or mapping
            A fitted vectorizer, or a mapping from words to ids of at least 1.
        random_state : int, RandomState instance or None
            Source of the random rows.

        Returns
        -------
        ndarray of shape (n_ids, dimension)
            Row i belongs to the id i. The dtype is that of ``vectors``.

        Raises
        ------
        ValueError
            If the id of a word is not an integer of at least 1.
        TypeError
            If ``vocabulary`` is neither a vectorizer nor a mapping.

        References
        ----------
        .. [1] J. Schuurmans and F. Frasincar, "Global Hierarchical Neural Networks using
           Hierarchical Softmax", arXiv 2308.01210.

        Examples
        --------
        >>> from hierclf.text import WordVectors
        >>> vectors = WordVectors(["moon", "jupiter"], [[0.5, 1.0], [2.0, -1.0]])
        >>> vectors.matrix({"iliad": 2, "moon": 3}, random_state=0)
        array([[0.        , 0.        ],
               [0.02391364, 0.10542083],
               [0.05034357, 0.02198818],
               [0.5       , 1.        ]])
        """
        if not isinstance(vocabulary, Mapping):
            _check_vectorizer(vocabulary, "vocabulary", "a fitted SequenceVectorizer or a mapping")
            vocabulary = vocabulary.vocabulary_
        for word, i in vocabulary.items():
            if not isinstance(i, (int, np.integer)) or i <= PADDING:
                raise ValueError(
                    f"vocabulary gives {word!r} the id {i!r}: ids are integers above 0, "
                    "which is the padding's"
                )
        # At least two rows: padding and the unknown word.
        shape = (max(vocabulary.values(), default=1) + 1, self.vectors.shape[1])
        matrix = np.zeros(shape, self.vectors.dtype)
        known = [(i, self._rows[word]) for word, i in vocabulary.items() if word in self._rows]
        ids, rows = np.array(known, np.intp).reshape(-1, 2).T
        drawn = np.ones(len(matrix), bool)
        drawn[PADDING] = False
        drawn[ids] = False
        matrix[ids] = self.vectors[rows]
        rng = check_random_state(random_state)
        matrix[drawn] = rng.uniform(-EMBEDDING_BOUND, EMBEDDING_BOUND, size=(drawn.sum(), shape[1]))
        return matrix

    def coverage(self, vectorizer: SequenceVectorizer, texts: Iterable[str]) -> Coverage:
        """Count the words of texts that have a vector.

        A word counts if it is in the vocabulary of the vectorizer and has a vector. A network
        reads all words outside the vocabulary as the unknown word.

        Parameters
        ----------
        vectorizer : SequenceVectorizer
            A fitted vectorizer. It splits the texts into words.
        texts : iterable of str
            Texts. Words beyond ``max_length`` count as well.

        Returns
        -------
        Coverage
            The shares of distinct and of running words, and the most frequent words without a
            vector.

        Raises
        ------
        ValueError
            If the texts hold no words.
        TypeError
            If ``vectorizer`` is not a vectorizer, or ``texts`` holds anything but strings.

        Examples
        --------
        >>> from hierclf.text import SequenceVectorizer, WordVectors
        >>> texts = ["the moon of the moon", "the moons of Jupiter"]
        >>> vectors = WordVectors(["moon", "jupiter"], [[0.5, 1.0], [2.0, -1.0]])
        >>> vectors.coverage(SequenceVectorizer().fit(texts), texts)
        Coverage(types=0.4, running_words=0.333..., missing=[('the', 3), ('of', 2), ('moons', 1)])
        """
        _check_vectorizer(vectorizer, "vectorizer", "a fitted SequenceVectorizer")
        counts: Counter[str] = Counter()
        for words in map(vectorizer.build_analyzer(), iterate_texts(texts)):
            counts.update(words)
        if not counts:
            raise ValueError("texts hold no words: there is nothing to cover")
        vocabulary = vectorizer.vocabulary_
        missing = {w: n for w, n in counts.items() if w not in vocabulary or w not in self._rows}
        return Coverage(
            types=1 - len(missing) / len(counts),
            running_words=1 - sum(missing.values()) / sum(counts.values()),
            missing=sorted(missing.items(), key=lambda item: (-item[1], item[0]))[:10],
        )


def _check_vectorizer(value: Any, name: str, right: str) -> None:
    if not any(hasattr(value, attribute) for attribute in ("vocabulary_", "build_analyzer")):
        raise TypeError(f"{name} must be {right}, got {type(value).__name__}")
    check_is_fitted(value, "vocabulary_")
