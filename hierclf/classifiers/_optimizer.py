"""Which optimiser moves the weights, how fast and how long: what "auto" stands for."""

from __future__ import annotations

import inspect
import math
import warnings
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch

from hierclf.nn import (
    LazyAdamW,
    LazyNovoGrad,
    LazyRowwiseAdagrad,
    LeanAdamW,
    NewtonCG,
    PathSoftmax,
)

OPTIMIZERS: dict[str, type[torch.optim.Optimizer]] = {
    "auto": LeanAdamW,
    "adamw": LeanAdamW,
    "adagrad": LazyRowwiseAdagrad,
    "adam": torch.optim.Adam,
    "sgd": torch.optim.SGD,
}
# Takes all samples at a step, and softmaxes that read X. For one label per sample.
NEWTON = "newton"
# Those that move only the rows of a sparse gradient, where there is one.
LAZY = ("auto", "adamw", "adagrad")


def check_optimizer(optimizer: Any, lr: float, weight_decay: float) -> None:
    """Refuse an optimiser of the user's that a network cannot be trained with.

    Parameters
    ----------
    optimizer : str or callable
        A name is not looked at.
    lr, weight_decay : float
        What it will be called with.

    Raises
    ------
    ValueError
        If it does not take them or vectors beside matrices, is no optimiser, or needs a
        closure for a step.
    """
    if isinstance(optimizer, str):
        return
    weights = [torch.nn.Parameter(torch.zeros(shape)) for shape in ((1, 1), (1,))]
    try:
        made = optimizer([{"params": weights}], lr=lr, weight_decay=weight_decay)
        if not isinstance(made, torch.optim.Optimizer):
            raise TypeError(f"it returns {made!r}")
        closure = inspect.signature(made.step).parameters.get("closure")
        if closure is not None and closure.default is inspect.Parameter.empty:
            raise TypeError("its step needs a closure")
    except Exception as error:
        raise ValueError(
            f"optimizer={optimizer!r} cannot train a network here: {error}. Give the class of an "
            "optimizer that takes lr and weight_decay, and whose step needs no closure, such as "
            "torch.optim.AdamW; functools.partial binds other parameters"
        ) from error


def check_takes_sparse(optimizer: Any, lr: float, weight_decay: float, *, with_dense: bool) -> None:
    """Refuse an optimiser that has no form for the sparse gradients of ``computation="path"``.

    Parameters
    ----------
    optimizer : str or callable
        As the user gave it, and :func:`check_optimizer` let it pass.
    lr, weight_decay : float
        What it will be called with.
    with_dense : bool
        Whether there are layers besides the head, whose gradients are dense.

    Raises
    ------
    ValueError
        If it has none. The message names those that have.
    """
    if isinstance(optimizer, str):
        if optimizer in LAZY:
            return
        reason = ""
    else:
        shapes = [(2, 1), (2,)] + with_dense * [(2, 2)]
        weights = [torch.nn.Parameter(torch.ones(shape)) for shape in shapes]
        for i, weight in enumerate(weights):
            weight.grad = torch.ones_like(weight)
            if i < 2:
                weight.grad = weight.grad.to_sparse(1)
        try:
            with warnings.catch_warnings():  # of the state of torch's sparse tensors, once
                warnings.simplefilter("ignore")
                optimizer([{"params": weights}], lr=lr, weight_decay=weight_decay).step()
        except Exception as error:
            reason = f" ({error})"
        else:
            return
    raise ValueError(
        f"optimizer={optimizer!r} cannot move weights by the sparse gradients of "
        f"computation='path'{reason}: give 'auto', 'adamw' or 'adagrad', or, with weight_decay=0, "
        "torch.optim.Adagrad or torch.optim.SGD; or computation='dense'"
    )


def check_newton(
    *,
    hidden_layer_sizes: tuple[int, ...],
    has_encoder: bool,
    gradient_callback: Any,
) -> None:
    """Refuse what ``optimizer="newton"`` has no form for.

    Parameters
    ----------
    hidden_layer_sizes : tuple of int
        Those of the network.
    has_encoder : bool
        Whether the softmaxes read what an encoder returns.
    gradient_callback : object or None
        A callback that looks at gradients.

    Raises
    ------
    ValueError
        The message names the parameter.
    """
    reason = None
    if hidden_layer_sizes:
        reason = f"softmaxes that read X, and not hidden_layer_sizes={hidden_layer_sizes}: give ()"
    elif has_encoder:
        reason = "softmaxes that read X, and not an encoder: give encoder=None"
    elif gradient_callback is not None:
        reason = f"without gradients of weights, which {gradient_callback!r} looks at"
    if reason:
        raise ValueError(f"optimizer='newton' trains {reason}; or give another optimizer")


class Pace(NamedTuple):
    """A learning rate, and the most epochs of a fit.

    ``is_limit`` is whether a fit that comes to ``max_iter`` has been cut short. It has not where
    the number of epochs regularises, as with LazyNovoGrad.
    """

    learning_rate: float
    max_iter: int
    is_limit: bool = True


PACE = Pace(learning_rate=1e-3, max_iter=200)
# Adagrad's steps shrink from the first on, so that they have to start long.
_ADAGRAD_RATE = 0.1
# For LazyNovoGrad, whose steps are all of about one length: their number limits how far the
# weights can go, as a penalty would. ``benchmarks/first_models.py --study`` compares numbers.
_LINEAR_RATE, _LINEAR_STEPS, _LINEAR_EPOCHS = 0.1, 200, 3
# Where classes have fewer samples than this, that rate is too long, in proportion: a few steps fit
# the samples, and the next ones go astray. Not where a batch has them all. Tried on held-out rows
# of five sets of texts, with 1 to 20 samples for each class.
_ENOUGH, _LEAST_SHARE = 20, 0.1
# So few steps leave rare classes behind. The study chose this, too: over eight sets of texts it has
# two points of macro-F1 more than no adjustment, and no less accuracy.
LINEAR_LOGIT_ADJUSTMENT = 0.5


def is_lazy_linear(
    optimizer: str | type[torch.optim.Optimizer],
    layer_sizes: Sequence[int],
    *,
    is_sparse: bool,
) -> bool:
    """Tell whether "auto" is LazyNovoGrad: for sparse features and no layers but the softmaxes."""
    return is_sparse and optimizer == "auto" and not layer_sizes


def choose_pace(
    learning_rate: float | str,
    max_iter: int | str,
    *,
    optimizer: str | type[torch.optim.Optimizer],
    is_lazy_linear: bool,
    early_stopping: bool,
    n_batches: int,
    n_per_class: float,
) -> Pace:
    """Resolve a learning rate and a number of epochs that are "auto".

    Parameters
    ----------
    learning_rate, max_iter
        As the user gave them.
    optimizer : str or class
        As the user gave it.
    is_lazy_linear : bool
        What the function of that name says.
    early_stopping : bool
        Whether held-out rows decide when training ends. Then it may go on for long.
    n_batches : int
        Batches of an epoch.
    n_per_class : float
        Samples of a class, on average.

    Returns
    -------
    Pace
        Numbers.
    """
    auto = PACE
    if optimizer == "adagrad":
        auto = auto._replace(learning_rate=_ADAGRAD_RATE)
    if optimizer == NEWTON:
        auto = auto._replace(learning_rate=1.0)
    if is_lazy_linear:
        share = min(max(n_per_class / _ENOUGH, _LEAST_SHARE), 1.0) if n_batches > 1 else 1.0
        auto = auto._replace(learning_rate=_LINEAR_RATE * share, is_limit=False)
        if not early_stopping:
            n_epochs = max(_LINEAR_EPOCHS, math.ceil(_LINEAR_STEPS / n_batches))
            auto = auto._replace(max_iter=n_epochs)
    if not isinstance(learning_rate, str):
        auto = auto._replace(learning_rate=learning_rate)
    if not isinstance(max_iter, str):
        auto = auto._replace(max_iter=max_iter)
    return auto


def choose_optimizer(
    optimizer: str | type[torch.optim.Optimizer],
    network: dict[str, Any],
    *,
    is_sparse: bool,
    is_lazy_linear: bool,
    device: str,
    encoder_lr: float,
) -> tuple[type[torch.optim.Optimizer], dict[str, Any]]:
    """Choose the class of an optimiser, a lazy one where gradients can be sparse.

    Parameters
    ----------
    optimizer : str or class
        One of ``OPTIMIZERS``, or the user's own, which is left as it is.
    network : dict
        Parameters of :class:`hierclf.nn.HierarchyNetwork`.
    is_sparse : bool
        Whether the features are, and so the gradient of the layer that reads them can be.
    is_lazy_linear : bool
        What the function of that name says.
    device : str
        Where the network is.
    encoder_lr : float
        Learning rate of the encoder, where there is one.

    Returns
    -------
    class, dict
        The optimiser, and what it is given besides parameters, learning rate and decay.
    """
    options: dict[str, Any] = {}
    encoder = network.get("encoder")
    groups: list[tuple[str, dict[str, Any]]] = []
    if encoder is not None and any(True for _ in encoder.parameters()):
        groups.append(("encoder.*", {"lr": encoder_lr}))
    is_path = network["head"] is PathSoftmax
    is_adamw = optimizer in ("auto", "adamw")
    if is_path and is_adamw:  # the groups on the paths are visited at very different rates
        groups.append(("head.*", {"row_steps": True}))
    if groups:
        options["param_groups"] = groups
    if optimizer == "adagrad":
        return LazyRowwiseAdagrad, options
    if optimizer == NEWTON:
        return NewtonCG, options
    if not isinstance(optimizer, str):
        return optimizer, options
    # One kernel for all parameters: a quarter off a step of a small network.
    options["fused"] = torch.device(device).type in ("cpu", "cuda")
    if optimizer == "sgd":
        options |= {"momentum": 0.9, "nesterov": True}
    looks_up = encoder is not None and any(
        hasattr(module, "sparse_grad") for module in encoder.modules()
    )
    if is_lazy_linear:
        return LazyNovoGrad, options
    if (is_sparse or looks_up or is_path) and is_adamw:
        return LazyAdamW, options
    return OPTIMIZERS[optimizer], options
