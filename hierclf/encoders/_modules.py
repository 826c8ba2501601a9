"""Any torch module as an encoder, and what else a user may give as one."""

from __future__ import annotations

import inspect
from copy import deepcopy
from typing import Any, ClassVar

import torch
from numpy.typing import NDArray
from torch import nn

from hierclf._utils.rng import seeded
from hierclf._utils.sklearn_private import StrOptions
from hierclf.encoders._base import LEARNING_RATE, BaseEncoder


class ModuleEncoder(BaseEncoder):
    """Any torch module as an encoder.

    A classifier wraps a module that it is given as ``encoder`` in one of these.

    Parameters
    ----------
    module : type, callable or torch.nn.Module
        A class or a function that returns a module, called without arguments for each
        ``fit``; or a module, whose weights are where each ``fit`` starts. Either way
        what is trained is a copy. It must return a vector for each row: a tensor of
        shape (batch, size), of any size.
    input_kind : {"array", "tokens"}, default="array"
        What it reads: arrays of floats, of two dimensions or more; or rows of token
        ids, which are cut to the longest row of a batch and padded with 0 at the end.
    learning_rate : float, optional
        Learning rate of the module at the start. None is that of the classifier.

    Notes
    -----
    Training puts the whole module into training mode, parts that were in ``eval()``
    included: of a part that is to stay in it, such as a batch norm whose statistics are
    to be kept, override ``train(mode)`` to do ``super().train(False)``. Parameters
    without ``requires_grad`` stay as they are.

    Examples
    --------
    >>> from torch import nn
    >>> from hierclf import HierarchicalSoftmaxClassifier
    >>> from hierclf.datasets import load_digits_hierarchy
    >>> digits = load_digits_hierarchy()
    >>> images = digits.data.reshape(-1, 1, 8, 8) / 16
    >>> def make_network():
    ...     return nn.Sequential(nn.Conv2d(1, 8, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten())
    >>> classifier = HierarchicalSoftmaxClassifier(
    ...     digits.hierarchy, encoder=make_network,
    ...     learning_rate_init=0.01, max_iter=5, n_iter_no_change=5, random_state=0,
    ... )
    >>> classifier.fit(images[:1500], digits.target[:1500])  # doctest: +ELLIPSIS
    HierarchicalSoftmaxClassifier(...)
    >>> classifier.predict(images[1500:1505]).tolist() == digits.target[1500:1505].tolist()
    True
    """

    _parameter_constraints: ClassVar[dict[str, Any]] = {
        "module": [callable, nn.Module],
        "input_kind": [StrOptions({"array", "tokens"})],
        "learning_rate": LEARNING_RATE,
    }

    def __init__(
        self, module: Any, *, input_kind: str = "array", learning_rate: float | None = None
    ) -> None:
        self.module = module
        self.input_kind = input_kind
        self.learning_rate = learning_rate

    def build(self, X: NDArray[Any], *, dtype: torch.dtype, seed: int) -> nn.Module:
        """Make the network; see :meth:`BaseEncoder.build`."""
        module = self.module
        if not isinstance(module, nn.Module):
            with seeded(seed):
                try:
                    module = self.module()
                except TypeError as error:
                    raise TypeError(
                        f"the encoder {self.module!r} is called without arguments, and that "
                        f"failed: {error}. Bind them with functools.partial, or pass a module."
                    ) from error
            if not isinstance(module, nn.Module):
                raise TypeError(
                    f"the encoder {self.module!r} must return a torch.nn.Module, "
                    f"got {type(module).__name__}"
                )
        # What a function returns need not be new: it may be, or hold, a module of the user's.
        return _copy(module).to(dtype)


def _copy(module: nn.Module) -> nn.Module:
    try:
        return deepcopy(module)
    except RuntimeError as error:
        raise ValueError(
            f"the encoder {type(module).__name__} cannot be copied, as each fit does. If that is "
            "for torch.nn.utils.weight_norm, take torch.nn.utils.parametrizations.weight_norm. "
            f"{error}"
        ) from error


def as_encoder(encoder: Any) -> BaseEncoder | None:
    """Return what a user gives as ``encoder`` as an encoder.

    Parameters
    ----------
    encoder : BaseEncoder, torch.nn.Module, callable or None
        None is no encoder: the network reads the features themselves.

    Returns
    -------
    BaseEncoder or None
        Its parameters are valid.

    Raises
    ------
    TypeError, ValueError
        If it is none of these, or a parameter of it is out of its range.
    """
    if encoder is None:
        return None
    if inspect.isclass(encoder) and issubclass(encoder, BaseEncoder):
        raise TypeError(f"encoder is the class {encoder.__name__}: pass {encoder.__name__}(...)")
    if not isinstance(encoder, BaseEncoder):
        if not isinstance(encoder, nn.Module) and not callable(encoder):
            raise TypeError(
                "encoder must be an encoder of hierclf.encoders, a torch.nn.Module or a function "
                f"that returns one, got {encoder!r}"
            )
        encoder = ModuleEncoder(encoder)
    valid: BaseEncoder = encoder
    valid.check()
    return valid
