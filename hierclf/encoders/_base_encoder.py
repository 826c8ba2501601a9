"""The base class of encoders, and how the size of their output is found."""

from __future__ import annotations

from collections.abc import Callable
from numbers import Integral, Real
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from hierclf._utils.param_object import ParamObject
from hierclf._utils.rng import seeded
from hierclf._utils.sklearn_private import Interval, StrOptions
from hierclf.nn.text import PRECISIONS

# What parameters may be, for scikit-learn's validation.
SIZE = [Interval(Integral, 1, None, closed="left")]
PROBABILITY = [Interval(Real, 0, 1, closed="left")]
PRECISION = [StrOptions(set(PRECISIONS))]
LEARNING_RATE = [Interval(Real, 0, None, closed="neither"), None]


class BaseEncoder(ParamObject):
    """Describes how a sample becomes a vector.

    For an encoder of your own, subclass it, set ``input_kind`` and define :meth:`build`, which
    makes the torch module. The parameters are those of ``__init__``, as in any scikit-learn
    estimator. A torch module that needs no more than X can be given to a classifier directly; see
    :class:`ModuleEncoder`.

    Attributes
    ----------
    input_kind : {"tokens", "texts", "array"}
        What X is: token ids, raw texts, or an array of two dimensions or more.
    is_frozen : bool
        Whether no part of the encoder is trained. A classifier then runs each sample through
        it once, not once per epoch.
    learning_rate : float or None
        Learning rate of the encoder. None is that of the classifier.

    Examples
    --------
    The mean of the word vectors of a text. :meth:`build` sees the token ids, so it knows how
    many vectors there are to learn:

    >>> import torch
    >>> from sklearn.pipeline import make_pipeline
    >>> from hierclf import HierarchicalSoftmaxClassifier
    >>> from hierclf.encoders import BaseEncoder
    >>> from hierclf.text import SequenceVectorizer
    >>> class MeanEncoder(BaseEncoder):
    ...     input_kind = "tokens"
    ...
    ...     def __init__(self, size=16):
    ...         self.size = size
    ...
    ...     def build(self, X, *, dtype, seed):
    ...         generator = torch.Generator().manual_seed(seed)
    ...         vectors = torch.randn(X.max() + 1, self.size, dtype=dtype, generator=generator)
    ...         return torch.nn.EmbeddingBag.from_pretrained(vectors, freeze=False, padding_idx=0)
    >>> texts = ["who wrote it", "who is she", "how many moons", "how far is it"]
    >>> y = ["person", "person", "count", "distance"]
    >>> classifier = HierarchicalSoftmaxClassifier(
    ...     {"question": ["person", "number"], "number": ["count", "distance"]},
    ...     encoder=MeanEncoder(size=8),
    ...     learning_rate_init=0.03, max_iter=30, n_iter_no_change=30, random_state=0,
    ... )
    >>> pipeline = make_pipeline(SequenceVectorizer(), classifier).fit(texts, y)
    >>> pipeline.predict(["how many", "who was she"]).tolist()
    ['count', 'person']
    >>> classifier.set_params(encoder__size=32).encoder
    MeanEncoder(size=32)
    """

    input_kind: Literal["tokens", "texts", "array"]
    is_frozen: bool = False
    learning_rate: float | None = None

    def build(self, X: NDArray[Any], *, dtype: torch.dtype, seed: int) -> nn.Module:
        """Make the network.

        Parameters
        ----------
        X : ndarray
            The training samples: token ids, or the array.
        dtype : torch.dtype
            Type of the parameters of the network.
        seed : int
            Seed of the initial weights. Draw them from a generator with this seed, so that
            torch's global generator is left alone.

        Returns
        -------
        torch.nn.Module
            The network. It takes a batch of samples and returns a tensor of shape
            (batch, size), one vector for each sample.
        """
        raise NotImplementedError

    def build_tokenizer(self) -> Callable[[list[str]], NDArray[np.int32]]:
        """Make the tokenizer, which only encoders with ``input_kind="texts"`` have.

        Returns
        -------
        callable
            Takes a list of texts and returns token ids, an array of shape (n_texts, length)
            and dtype int32. 0 is padding at the end of a row.
        """
        raise NotImplementedError


def output_size(module: nn.Module, rows: Tensor, seed: int) -> int:
    """Find the size of the output of a module: run it on a few samples.

    Parameters
    ----------
    module : torch.nn.Module
        An encoder. Its lazy layers get their size and their weights.
    rows : Tensor
        A batch of samples.
    seed : int
        Seed of the weights that lazy layers draw.

    Returns
    -------
    int
        Length of the vector that it returns for each sample.

    Raises
    ------
    ValueError
        If it returns anything but one vector of floats for each sample.
    """
    module.eval()
    with seeded(seed), torch.no_grad():
        try:
            output = module(rows)
        except Exception as error:
            raise ValueError(
                f"the encoder {type(module).__name__} cannot read a batch of shape "
                f"{tuple(rows.shape)} and type {rows.dtype}: {error}"
            ) from error
    is_tensor = isinstance(output, Tensor)
    if (
        not is_tensor
        or output.ndim != 2
        or len(output) != len(rows)
        or not output.is_floating_point()
    ):
        got = f"shape {tuple(output.shape)} of {output.dtype}" if is_tensor else repr(type(output))
        raise ValueError(
            f"the encoder {type(module).__name__} must return a tensor of floats of shape "
            f"({len(rows)}, size) for {len(rows)} rows, got {got}; end it with "
            "torch.nn.Flatten() if it returns more dimensions"
        )
    return int(output.shape[1])
