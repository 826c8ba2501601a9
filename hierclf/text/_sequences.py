"""Texts to rows of token ids, the input of a network that reads words in their order."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Set
from numbers import Integral
from typing import Any, ClassVar
from warnings import warn

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils.validation import check_is_fitted

from hierclf._utils.sklearn_private import Interval, RealNotInt, fit_context
from hierclf.nn.text import PADDING, UNKNOWN
from hierclf.text._vocabulary import FIRST_WORD, SPECIAL_NAMES, count_words, number_words


# The output is not wrapped in the container that scikit-learn is configured to give: its
# columns are positions, whose number differs from call to call.
class SequenceVectorizer(TransformerMixin, BaseEstimator, auto_wrap_output_keys=None):  # type: ignore[misc, call-arg]
    r"""Turn texts into rows of token ids, in the order of the words.

    It reads texts as :class:`~sklearn.feature_extraction.text.CountVectorizer` does, and
    chooses its vocabulary alike, but keeps the order of the words instead of counting
    them. Row i of the output holds the ids of the words of text i, then zeros.

    The id 0 is padding and 1 is any word outside the vocabulary. The words follow from
    2 on, from the most frequent down; equally frequent ones in alphabetical order.

    Parameters
    ----------
    lowercase : bool
        Whether to change texts to lower case first.
    token_pattern : str
        A regular expression that matches one word. With a capturing group, what the
        group matches is the word. The default keeps words of one letter ("I", "a"),
        which the default of ``CountVectorizer`` drops: they tell little in a bag of
        words, but in a sequence their absence would change the phrases around them.
    min_df : int or float
        Words that occur in fewer texts are left out: a number of texts, or, if a float,
        a share of them in [0, 1]. With 1 no word of the training texts is unknown, so
        that a network never learns what to make of the id 1; from 2 on it does.
    max_features : int, optional
        Keep only that many words, the most frequent; of equally frequent ones the first
        in alphabetical order. None keeps all.
    max_length : int, optional
        Texts are cut after that many words. None cuts nothing. The vocabulary is
        chosen from whole texts.
    vocabulary : mapping or collection of str, optional
        The words to use instead of choosing them from the texts: a collection, whose
        words get their ids in its order (of a set, in alphabetical order), or a mapping
        from words to the ids 2 and up, such as the ``vocabulary_`` of another
        vectorizer (itself, or a list of its words: its ``keys()`` cannot be cloned). It
        goes with the defaults of ``min_df`` and ``max_features`` only.

    Attributes
    ----------
    vocabulary_ : dict
        The id of each word, in the order of the ids.

    See Also
    --------
    load_word_vectors : Vectors for the words of the vocabulary.

    Notes
    -----
    The output is as wide as the longest row of the call: transforming other texts gives
    another width. It is never narrower than one column.

    Examples
    --------
    >>> from hierclf.text import SequenceVectorizer
    >>> vectorizer = SequenceVectorizer()
    >>> vectorizer.fit_transform(["Who was Galileo?", "Who wrote the Iliad, and who the Odyssey?"])
    array([[2, 8, 5, 0, 0, 0, 0, 0],
           [2, 9, 3, 6, 4, 2, 3, 7]], dtype=int32)
    >>> list(vectorizer.vocabulary_.items())[:3]
    [('who', 2), ('the', 3), ('and', 4)]
    >>> vectorizer.transform(["Who was Odysseus?"])
    array([[2, 8, 1]], dtype=int32)
    """

    _parameter_constraints: ClassVar[dict[str, Any]] = {
        "lowercase": ["boolean"],
        "token_pattern": [str],
        "min_df": [
            Interval(Integral, 1, None, closed="left"),
            Interval(RealNotInt, 0, 1, closed="both"),
        ],
        "max_features": [Interval(Integral, 1, None, closed="left"), None],
        "max_length": [Interval(Integral, 1, None, closed="left"), None],
        "vocabulary": [Collection, None],
    }

    def __init__(
        self,
        *,
        lowercase: bool = True,
        token_pattern: str = r"(?u)\b\w+\b",
        min_df: float = 1,
        max_features: int | None = None,
        max_length: int | None = 512,
        vocabulary: Mapping[str, int] | Collection[str] | None = None,
    ) -> None:
        self.lowercase = lowercase
        self.token_pattern = token_pattern
        self.min_df = min_df
        self.max_features = max_features
        self.max_length = max_length
        self.vocabulary = vocabulary

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.string = True
        tags.input_tags.two_d_array = False
        tags.transformer_tags.preserves_dtype = []
        return tags

    @fit_context(prefer_skip_nested_validation=True)  # type: ignore[untyped-decorator]
    def fit(self, X: Iterable[str], y: Any = None) -> SequenceVectorizer:
        """Choose the vocabulary.

        Parameters
        ----------
        X : iterable of str of length n_texts
            Texts.
        y : object
            Not used, present because scikit-learn passes it.

        Returns
        -------
        SequenceVectorizer
            The fitted vectorizer.

        Raises
        ------
        ValueError
            If a parameter is out of its range, if no word is left, or if ``X`` is a
            single string or has more than one dimension.
        TypeError
            If ``X`` holds anything but strings.
        """
        self._learn(X)
        return self

    @fit_context(prefer_skip_nested_validation=True)  # type: ignore[untyped-decorator]
    def fit_transform(self, X: Iterable[str], y: Any = None) -> NDArray[np.int32]:
        """Choose the vocabulary and return the token ids, reading each text once.

        Parameters
        ----------
        X : iterable of str of length n_texts
            Texts.
        y : object
            Not used, present because scikit-learn passes it.

        Returns
        -------
        ndarray of shape (n_texts, longest), dtype int32
            What ``fit(X).transform(X)`` returns.
        """
        return pad(self._learn(X))

    def transform(self, X: Iterable[str]) -> NDArray[np.int32]:
        """Return the token ids of texts.

        Parameters
        ----------
        X : iterable of str of length n_texts
            Texts.

        Returns
        -------
        ndarray of shape (n_texts, longest), dtype int32
            Token ids: 0 pads the end of the rows, 1 is a word outside the vocabulary.
            ``longest`` is the number of words of the longest text of this call, at
            most ``max_length`` and at least 1.
        """
        check_is_fitted(self, "vocabulary_")
        return pad(self._encode(X, self.vocabulary_))

    def inverse_transform(self, X: ArrayLike) -> list[list[str]]:
        """Return the words that token ids stand for.

        Parameters
        ----------
        X : array-like of shape (n_texts, length)
            Token ids.

        Returns
        -------
        list of list of str
            The words of each row, without the padding. Unknown words are ``"<unk>"``.

        Raises
        ------
        ValueError
            If ``X`` is not a 2-D array of integers or holds an id that is none.
        """
        names = self.get_feature_names_out()
        ids = np.asarray(X)
        if ids.ndim != 2 or not np.issubdtype(ids.dtype, np.integer):
            raise ValueError(
                f"X must be a 2-D array of token ids, got shape {ids.shape} of dtype {ids.dtype}"
            )
        outside = np.argwhere((ids < 0) | (ids >= len(names)))
        if len(outside):
            row, column = outside[0].tolist()
            raise ValueError(
                f"row {row} of X holds the id {ids[row, column]}: ids are 0 to {len(names) - 1}"
            )
        return [names[row[row != PADDING]].tolist() for row in ids]

    def get_feature_names_out(self, input_features: Any = None) -> NDArray[np.object_]:
        """Return the word of every id.

        Parameters
        ----------
        input_features : None
            Must be None: from names of columns, none of these names follows.

        Returns
        -------
        ndarray of shape (n_ids,), dtype object
            Names in the order of the ids: ``"<pad>"``, ``"<unk>"``, then the words. They
            are the names of the values in the output, not of its columns.

        Raises
        ------
        AttributeError
            If ``input_features`` is given, as by a ``ColumnTransformer`` that asks for
            names of columns: they are positions in a text and have none.
        """
        check_is_fitted(self, "vocabulary_")
        if input_features is not None:
            # At these words a ColumnTransformer numbers the columns of the table it makes.
            raise AttributeError(
                "SequenceVectorizer does not provide get_feature_names_out for columns: they are "
                "positions in a text and have no names; without input_features, it gives the "
                "names of the ids"
            )
        return np.array([*SPECIAL_NAMES.values(), *self.vocabulary_], dtype=object)

    def set_output(self, *, transform: str | None = None) -> SequenceVectorizer:
        """Change nothing: the output is always an array.

        Its columns are positions in a text, not features of a table. The method is there
        so that ``set_output`` of a pipeline can configure the other steps.

        Parameters
        ----------
        transform : {"default", "pandas", "polars"}, optional
            Not used, present because scikit-learn passes it.

        Returns
        -------
        SequenceVectorizer
            The vectorizer.
        """
        return self

    def build_analyzer(self) -> Callable[[str], list[str]]:
        """Return the function that turns a text into its words.

        Returns
        -------
        callable
            Function of a text. The list of words that it returns is the whole text's.

        Raises
        ------
        ValueError
            If ``token_pattern`` is no regular expression, or has several groups.
        """
        try:
            pattern = re.compile(self.token_pattern)
        except re.error as error:
            raise ValueError(
                f"token_pattern={self.token_pattern!r} is not a regular expression: {error}"
            ) from error
        if pattern.groups > 1:
            raise ValueError(
                f"token_pattern={self.token_pattern!r} has {pattern.groups} capturing groups: "
                "at most one can be the word; write the others as (?:...)"
            )
        if self.lowercase:
            return lambda text: pattern.findall(text.lower())
        return pattern.findall

    def _learn(self, X: Iterable[str]) -> list[NDArray[np.int32]]:
        """Set the vocabulary, and return the ids of the texts."""
        if self.vocabulary is not None:
            vocabulary = self._given_vocabulary(self.vocabulary)
            rows = self._encode(X, vocabulary)
            self.vocabulary_ = vocabulary
            return rows

        # Words are numbered as they come, and renumbered once their frequencies are known.
        numbers: defaultdict[str, int] = defaultdict()
        numbers.default_factory = numbers.__len__
        analyze = self.build_analyzer()
        rows = [
            np.fromiter(map(numbers.__getitem__, words), np.int32, len(words))
            for words in map(analyze, iterate_texts(X))
        ]
        if not rows:
            raise ValueError("X holds no texts: there is nothing to choose a vocabulary from")
        if not numbers:
            raise ValueError(
                f"X holds no words: nothing in {len(rows)} texts matches "
                f"token_pattern={self.token_pattern!r}"
            )
        counts, n_texts = count_words(rows, len(numbers))
        needed = (
            self.min_df if isinstance(self.min_df, Integral) else float(self.min_df) * len(rows)
        )
        words, frequencies = list(numbers), counts.tolist()
        chosen = np.flatnonzero(n_texts >= needed).tolist()
        chosen = sorted(chosen, key=lambda number: (-frequencies[number], words[number]))
        chosen = chosen[: self.max_features]
        if not chosen:
            raise ValueError(
                f"min_df={self.min_df!r} leaves no words: no word occurs in more than "
                f"{n_texts.max()} of the {len(rows)} texts"
            )
        ids = np.full(len(words), UNKNOWN, np.int32)
        ids[chosen] = np.arange(FIRST_WORD, FIRST_WORD + len(chosen))
        self.vocabulary_ = {words[number]: i for i, number in enumerate(chosen, FIRST_WORD)}
        return [ids[row[: self.max_length]] for row in rows]

    def _encode(self, X: Iterable[str], vocabulary: Mapping[str, int]) -> list[NDArray[np.int32]]:
        analyze, get, end = self.build_analyzer(), vocabulary.get, self.max_length
        return [
            np.array([get(word, UNKNOWN) for word in analyze(text)[:end]], np.int32)
            for text in iterate_texts(X)
        ]

    def _given_vocabulary(self, given: Collection[str]) -> dict[str, int]:
        if self.min_df != 1 or self.max_features is not None:
            raise ValueError(
                "with a vocabulary there are no words to choose: leave min_df at 1 and "
                f"max_features at None, got min_df={self.min_df!r} and "
                f"max_features={self.max_features!r}"
            )
        vocabulary = number_words(given)
        if self.lowercase:
            upper = next((word for word in vocabulary if word != word.lower()), None)
            if upper is not None:
                warn(
                    f"vocabulary has words with capital letters, such as {upper!r}, which no "
                    "text can match while lowercase=True",
                    stacklevel=5,
                )
        return vocabulary


def iterate_texts(X: Any) -> Iterator[str]:
    """Yield the texts in X once they are known to be texts."""
    if isinstance(X, (str, bytes)):
        raise ValueError(
            f"X must be a list or a 1-D array of texts, got a single {type(X).__name__}: "
            "put it in a list"
        )
    if getattr(X, "ndim", 1) != 1:
        raise ValueError(
            f"X must be a list or a 1-D array of texts, got {type(X).__name__} of shape "
            f"{tuple(X.shape)}: pass the column that holds the texts"
        )
    # A set has no order, and from a mapping one would get the keys.
    if isinstance(X, (Set, Mapping)) or not isinstance(X, Iterable):
        raise TypeError(f"X must be a list or a 1-D array of texts, got {type(X).__name__}")
    for i, text in enumerate(X):
        if not isinstance(text, str):
            cure = ": decode it first" if isinstance(text, bytes) else ""
            kind = type(text).__name__
            raise TypeError(f"item {i} of X must be a str, got {kind} {cut_repr(text)}{cure}")
        yield text


def cut_repr(value: Any) -> str:
    """Return the repr of a value, cut to 60 characters."""
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def pad(rows: list[NDArray[np.int32]]) -> NDArray[np.int32]:
    """Put rows of ids into one array, padding after their ends."""
    padded = np.full((len(rows), max(map(len, rows), default=0) or 1), PADDING, np.int32)
    for out, row in zip(padded, rows, strict=True):
        out[: len(row)] = row
    return padded
