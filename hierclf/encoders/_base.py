"""What every encoder has, and how the size of its output is found."""

from __future__ import annotations

from collections.abc import Callable
from numbers import Integral, Real
from typing import Any

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
    """What every encoder has.

    A torch module needs none: give it as ``encoder=``, or wrap it in :class:`ModuleEncoder`. For
    an encoder with parameters of its own, which can be searched, subclass this one, and define
    ``input_kind`` and :meth:`build`.

    Attributes
    ----------
    input_kind : {"tokens", "texts", "array"}
        What X is: rows of token ids, raw texts, or an array of two dimensions or more.
    is_frozen : bool
        Whether nothing in it is trained; a classifier then runs each row through it
        once, not once per epoch.
    learning_rate : float or None
        Learning rate of the encoder; None is that of the classifier.

    Examples
    --------
    A convolution over series, which are given as an array of shape (n_samples, n_channels,
    n_steps). The weights are drawn from the seed that :meth:`build` is given.

    >>> import torch
    >>> from hierclf import HierarchicalSoftmaxClassifier
    >>> from hierclf.datasets import load_digits_hierarchy
    >>> from hierclf.encoders import BaseEncoder
    >>> class SeriesEncoder(BaseEncoder):
    ...     input_kind = "array"
    ...
    ...     def __init__(self, n_filters=8):
    ...         self.n_filters = n_filters
    ...
    ...     def build(self, X, *, dtype, seed):
    ...         with torch.random.fork_rng():
    ...             torch.manual_seed(seed)
    ...             filters = torch.nn.Conv1d(X.shape[1], self.n_filters, 3, dtype=dtype)
    ...         return torch.nn.Sequential(filters, torch.nn.ReLU(), torch.nn.Flatten())
    >>> digits = load_digits_hierarchy()
    >>> X, y = digits.data.reshape(-1, 8, 8) / 16, digits.target  # each row of an image a channel
    >>> clf = HierarchicalSoftmaxClassifier(
    ...     digits.hierarchy, encoder=SeriesEncoder(), learning_rate_init=0.01, max_iter=5,
    ...     n_iter_no_change=5, random_state=0,
    ... )
    >>> clf = clf.set_params(encoder__n_filters=16).fit(X[:1000], y[:1000])
    >>> clf.score(X[1000:], y[1000:]) > 0.8
    True
    """

    input_kind: str
    is_frozen: bool = False
    learning_rate: float | None = None

    def build(self, X: NDArray[Any], *, dtype: torch.dtype, seed: int) -> nn.Module:
        """Make the network.

        Parameters
        ----------
        X : ndarray
            What it will read: token ids, or the array.
        dtype : torch.dtype
            Type of its parameters.
        seed : int
            Seed of its initial weights.

        Returns
        -------
        torch.nn.Module
            Takes a batch of rows and returns one vector for each.
        """
        raise NotImplementedError

    def build_tokenizer(self) -> Callable[[list[str]], NDArray[np.int32]]:
        """Return the function from texts to token ids, for ``input_kind="texts"``."""
        raise NotImplementedError


def output_size(module: nn.Module, rows: Tensor, seed: int) -> int:
    """Find the size of what a module returns by running it on a few rows.

    Parameters
    ----------
    module : torch.nn.Module
        An encoder. Lazy layers get their size and their weights.
    rows : Tensor
        A batch of its input.
    seed : int
        Seed of what lazy layers draw.

    Returns
    -------
    int
        Length of the vector that it returns for each row.

    Raises
    ------
    ValueError
        If it returns anything but one vector of floats for each row.
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
