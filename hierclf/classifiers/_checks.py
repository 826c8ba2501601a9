"""Checks of what a user gives to ``fit``, and the estimator as it was if one fails."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from numbers import Integral
from typing import Any
from warnings import warn

import numpy as np
import torch
from sklearn.base import BaseEstimator
from sklearn.exceptions import DataConversionWarning


@contextmanager
def unchanged_on_failure(estimator: BaseEstimator) -> Iterator[Callable[[], None]]:
    """Put the attributes of an estimator back if anything is raised.

    What is yielded is to be called where what they are by then is to stay.
    """
    before = vars(estimator).copy()

    def keep() -> None:
        nonlocal before
        before = vars(estimator).copy()

    try:
        yield keep
    except BaseException:
        vars(estimator).clear()
        vars(estimator).update(before)
        raise


@contextmanager
def train_or_restore(estimator: BaseEstimator) -> Iterator[Callable[[], None]]:
    """As :func:`unchanged_on_failure`, with gradients.

    Whoever calls may have switched them off, as around predictions.
    """
    with (
        unchanged_on_failure(estimator) as keep,
        torch.inference_mode(False),
        torch.enable_grad(),
    ):
        yield keep


def resolve_device(device: str) -> str:
    """Return the device that ``device`` names, once it is there.

    Parameters
    ----------
    device : {"cpu", "cuda", "mps", "auto"} or str
        A name that torch knows, with an optional index; "auto" is the first
        accelerator found, else the processor.

    Returns
    -------
    str
        A name for :class:`torch.device`.

    Raises
    ------
    ValueError
        If torch does not know the device or does not find it here.
    """
    available = {
        "cuda": torch.cuda.is_available(),
        "mps": torch.backends.mps.is_available(),
        "cpu": True,
    }
    if device == "auto":
        return next(kind for kind, is_there in available.items() if is_there)
    kind, _, index = device.partition(":")
    if kind not in available or (index and not index.isdecimal()):
        raise ValueError(
            f"unknown device {device!r}: use 'cpu', 'cuda', 'mps' or 'auto', "
            f"with an index as in 'cuda:0' where there are several"
        )
    if not available[kind] or (kind == "cuda" and int(index or 0) >= torch.cuda.device_count()):
        raise ValueError(
            f"device {device!r} is not available here; use 'auto' for the best there is"
        )
    return device


def check_hidden_layer_sizes(sizes: Any) -> tuple[int, ...] | None:
    if sizes is None:
        return None
    if isinstance(sizes, np.ndarray) and not sizes.ndim:
        sizes = sizes.item()
    sizes = tuple(sizes) if isinstance(sizes, Iterable) else (sizes,)
    for size in sizes:
        if not isinstance(size, Integral) or isinstance(size, bool) or size < 1:
            raise ValueError(
                f"hidden_layer_sizes must hold integers of at least 1, got {size!r} in {sizes!r}"
            )
    return tuple(int(size) for size in sizes)


def check_callbacks(callbacks: Iterable[Any] | None) -> list[Any]:
    items = list(callbacks or ())
    for item in items:
        callback = item[1] if isinstance(item, tuple) and len(item) == 2 else item
        if not hasattr(callback, "on_epoch_end"):
            raise ValueError(
                f"callbacks must hold skorch callbacks or (name, callback) pairs, got {item!r}"
            )
    return items


def warn_of_column(stacklevel: int) -> None:
    """Warn that y is a column, where whoever called ``fit`` or ``partial_fit`` did so."""
    warn(
        "A column-vector y was passed when a 1d array was expected: each sample has one "
        "label. Give it as y.ravel().",
        DataConversionWarning,
        stacklevel=stacklevel,
    )
