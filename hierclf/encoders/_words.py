"""Encoders that learn a vector for each word, and read a text as a sequence of them."""

from __future__ import annotations

from numbers import Integral
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from hierclf._utils.blocks import row_blocks
from hierclf._utils.sklearn_private import StrOptions
from hierclf.encoders._base import LEARNING_RATE, PRECISION, PROBABILITY, SIZE, BaseEncoder
from hierclf.nn.text import (
    CELLS,
    EMBEDDING_BOUND,
    PADDING,
    UNKNOWN,
    ConvGRU,
    RecurrentEncoder,
    WordEmbedding,
)


class _WordEncoder(BaseEncoder):
    """An encoder that learns a vector for each token id."""

    input_kind = "tokens"
    embedding_dim: int
    word_vectors: Any
    freeze: bool

    def _embedding(
        self, X: NDArray[Any], dtype: torch.dtype, generator: torch.Generator
    ) -> WordEmbedding:
        n_ids = max(int(X.max()) + 1, 2)
        if self.word_vectors is None:
            if self.freeze:
                raise ValueError(
                    "freeze=True keeps the word vectors as they are, and without "
                    "word_vectors they are random: pass word_vectors"
                )
            weight = torch.empty(n_ids, self.embedding_dim, dtype=dtype)
            weight.uniform_(-EMBEDDING_BOUND, EMBEDDING_BOUND, generator=generator)
            return WordEmbedding(weight, known=_occurring(X, n_ids))
        vectors = self.word_vectors
        if hasattr(vectors, "matrix"):
            raise TypeError(
                "word_vectors must be an array with a row for each token id, and "
                f"{type(vectors).__name__} knows words, not ids: pass "
                "word_vectors.matrix(vectorizer), with the fitted vectorizer"
            )
        vectors = np.array(vectors)  # a copy: training changes it
        if vectors.ndim != 2 or vectors.dtype.kind != "f":
            raise ValueError(
                "word_vectors must be a 2-D array of floats, one row for each token id, got "
                f"shape {vectors.shape} of dtype {vectors.dtype}"
            )
        if not np.isfinite(vectors).all():
            row = int(np.isfinite(vectors).all(axis=1).argmin())
            raise ValueError(f"row {row} of word_vectors holds NaN or infinity")
        if len(vectors) < n_ids:
            raise ValueError(
                f"word_vectors has rows for the token ids below {len(vectors)}, and X holds "
                f"{n_ids - 1}: make both with the same vectorizer"
            )
        return WordEmbedding(torch.from_numpy(vectors).to(dtype), trainable=not self.freeze)


def _occurring(X: NDArray[Any], n_ids: int) -> torch.Tensor | None:
    """Return which ids occur, the two that are no words included; None if all do."""
    occurs = np.zeros(n_ids, dtype=bool)
    occurs[[PADDING, UNKNOWN]] = True
    for rows in row_blocks(*X.shape):  # numpy makes a wider copy of ids that it indexes with
        occurs[X[rows]] = True
    return None if occurs.all() else torch.from_numpy(occurs)


class LSTMEncoder(_WordEncoder):
    """The last states of a recurrent network over word vectors.

    With its defaults this is the text encoder of [1]_: what a bidirectional LSTM has
    read at both ends of a text, side by side. Its input is what
    :class:`~hierclf.text.SequenceVectorizer` returns.

    Parameters
    ----------
    hidden_size : int, default=100
        Size of the state of each direction.
    bidirectional : bool, default=True
        Whether to read from the end to the beginning as well.
    num_layers : int, default=1
        Number of layers.
    embedding_dim : int, default=300
        Size of the word vectors. Not used with ``word_vectors``.
    word_vectors : ndarray of shape (n_ids, dimension), optional
        The word vectors at the start, row i for the token id i, as
        :meth:`hierclf.text.WordVectors.matrix` returns them. None draws them.
    freeze : bool, default=False
        Keep ``word_vectors`` as they are.
    dropout : float, default=0.0
        Probability with which each unit of the output, and of the states that go from a
        layer to the next, is dropped in training; in [0, 1).
    cell : {"lstm", "gru"}, default="lstm"
        Kind of cell.
    learning_rate : float, optional
        Learning rate of the encoder at the start. None is that of the classifier.
    precision : {"float32", "bfloat16"}, default="float32"
        What the recurrent layer computes in. "bfloat16" is faster where the processor has
        instructions for it; weights and their updates stay as they are.

    See Also
    --------
    ConvGRUEncoder : Looks for phrases anywhere in a text.

    Notes
    -----
    Token ids that ``fit`` has not seen are read as the unknown word, 1; with
    ``word_vectors``, only those that have no row in it. The vector of the unknown word is
    learnt like any other where rows hold the id 1, as from
    ``SequenceVectorizer(min_df=2)``; otherwise it stays as it was drawn or given, save
    for the weight decay. A later fit with ``warm_start`` learns ids that are new to it up
    to the largest of the first; larger ones stay unknown.

    Word vectors that are drawn come from the uniform distribution in plus or minus 0.245,
    all other weights as torch draws them.

    References
    ----------
    .. [1] J. Schuurmans and F. Frasincar, "Global Hierarchical Neural Networks using
       Hierarchical Softmax", arXiv:2308.01210.

    Examples
    --------
    >>> from sklearn.pipeline import make_pipeline
    >>> from hierclf import HierarchicalSoftmaxClassifier
    >>> from hierclf.encoders import LSTMEncoder
    >>> from hierclf.text import SequenceVectorizer
    >>> texts = ["who wrote it", "who is she", "how many moons", "how far is it"]
    >>> y = ["person", "person", "count", "distance"]
    >>> classifier = HierarchicalSoftmaxClassifier(
    ...     {"question": ["person", "number"], "number": ["count", "distance"]},
    ...     encoder=LSTMEncoder(hidden_size=8, embedding_dim=16),
    ...     learning_rate_init=0.03, max_iter=30, n_iter_no_change=30, random_state=0,
    ... )
    >>> pipeline = make_pipeline(SequenceVectorizer(), classifier).fit(texts, y)
    >>> pipeline.predict(["how many", "who was it"]).tolist()
    ['count', 'person']
    """

    _parameter_constraints: ClassVar[dict[str, Any]] = {
        "hidden_size": SIZE,
        "bidirectional": ["boolean"],
        "num_layers": SIZE,
        "embedding_dim": SIZE,
        "word_vectors": "no_validation",
        "freeze": ["boolean"],
        "dropout": PROBABILITY,
        "cell": [StrOptions(set(CELLS))],
        "learning_rate": LEARNING_RATE,
        "precision": PRECISION,
    }

    def __init__(
        self,
        hidden_size: int = 100,
        *,
        bidirectional: bool = True,
        num_layers: int = 1,
        embedding_dim: int = 300,
        word_vectors: Any = None,
        freeze: bool = False,
        dropout: float = 0.0,
        cell: str = "lstm",
        learning_rate: float | None = None,
        precision: str = "float32",
    ) -> None:
        self.hidden_size = hidden_size
        self.bidirectional = bidirectional
        self.num_layers = num_layers
        self.embedding_dim = embedding_dim
        self.word_vectors = word_vectors
        self.freeze = freeze
        self.dropout = dropout
        self.cell = cell
        self.learning_rate = learning_rate
        self.precision = precision

    def build(self, X: NDArray[Any], *, dtype: torch.dtype, seed: int) -> nn.Module:
        """Make the network; see :meth:`BaseEncoder.build`."""
        generator = torch.Generator().manual_seed(seed)
        embedding = self._embedding(X, dtype, generator)
        return RecurrentEncoder(
            embedding,
            self.hidden_size,
            cell=self.cell,
            bidirectional=self.bidirectional,
            num_layers=self.num_layers,
            dropout=self.dropout,
            precision=self.precision,
            generator=generator,
        )


class ConvGRUEncoder(_WordEncoder):
    """Convolutions over the states of a bidirectional GRU, the largest value of each kept.

    The text encoder of HiAGM [1]_, with its sizes as defaults. Its input is what
    :class:`~hierclf.text.SequenceVectorizer` returns.

    Parameters
    ----------
    hidden_size : int, default=64
        Size of the state of each direction.
    n_filters : int, default=100
        Number of filters of each width.
    kernel_sizes : sequence of int, default=(2, 3, 4)
        Widths of the filters, in words.
    embedding_dim, word_vectors, freeze
        See :class:`LSTMEncoder`.
    embedding_dropout : float, default=0.5
        Probability with which each unit of the word vectors is dropped in training.
    dropout : float, default=0.1
        The same for the states of the GRU.
    learning_rate : float, optional
        Learning rate of the encoder at the start. None is that of the classifier.
    precision : {"float32", "bfloat16"}, default="float32"
        What the recurrent layer computes in. "bfloat16" is faster where the processor has
        instructions for it; weights and their updates stay as they are.

    See Also
    --------
    LSTMEncoder : Reads a text to its end.

    References
    ----------
    .. [1] J. Zhou et al., "Hierarchy-Aware Global Model for Hierarchical Text
       Classification", ACL 2020.

    Examples
    --------
    >>> from hierclf import FlatSoftmaxClassifier
    >>> from hierclf.encoders import ConvGRUEncoder
    >>> from hierclf.text import SequenceVectorizer
    >>> X = SequenceVectorizer().fit_transform(["who is she", "how many moons"])
    >>> classifier = FlatSoftmaxClassifier(
    ...     encoder=ConvGRUEncoder(hidden_size=4, n_filters=8, embedding_dim=16),
    ...     max_iter=20, n_iter_no_change=20, learning_rate_init=0.01, random_state=0,
    ... )
    >>> classifier.fit(X, ["person", "count"]).predict(X).tolist()
    ['person', 'count']
    """

    _parameter_constraints: ClassVar[dict[str, Any]] = {
        "hidden_size": SIZE,
        "n_filters": SIZE,
        "kernel_sizes": ["array-like"],
        "embedding_dim": SIZE,
        "word_vectors": "no_validation",
        "freeze": ["boolean"],
        "embedding_dropout": PROBABILITY,
        "dropout": PROBABILITY,
        "learning_rate": LEARNING_RATE,
        "precision": PRECISION,
    }

    def __init__(
        self,
        hidden_size: int = 64,
        *,
        n_filters: int = 100,
        kernel_sizes: Any = (2, 3, 4),
        embedding_dim: int = 300,
        word_vectors: Any = None,
        freeze: bool = False,
        embedding_dropout: float = 0.5,
        dropout: float = 0.1,
        learning_rate: float | None = None,
        precision: str = "float32",
    ) -> None:
        self.hidden_size = hidden_size
        self.n_filters = n_filters
        self.kernel_sizes = kernel_sizes
        self.embedding_dim = embedding_dim
        self.word_vectors = word_vectors
        self.freeze = freeze
        self.embedding_dropout = embedding_dropout
        self.dropout = dropout
        self.learning_rate = learning_rate
        self.precision = precision

    def build(self, X: NDArray[Any], *, dtype: torch.dtype, seed: int) -> nn.Module:
        """Make the network; see :meth:`BaseEncoder.build`."""
        widths = list(self.kernel_sizes)
        if not widths or not all(isinstance(w, Integral) and int(w) > 0 for w in widths):
            raise ValueError(
                f"kernel_sizes must hold integers of at least 1, got {self.kernel_sizes!r}"
            )
        generator = torch.Generator().manual_seed(seed)
        return ConvGRU(
            self._embedding(X, dtype, generator),
            self.hidden_size,
            n_filters=self.n_filters,
            kernel_sizes=[int(width) for width in widths],
            embedding_dropout=self.embedding_dropout,
            dropout=self.dropout,
            precision=self.precision,
            generator=generator,
        )
