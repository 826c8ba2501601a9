"""Which optimiser moves the weights of a network, and with which options."""

from __future__ import annotations

import inspect
from typing import Any

import torch

from hierclf.nn import LazyAdamW, LazyNovoGrad

OPTIMIZERS: dict[str, type[torch.optim.Optimizer]] = {
    "auto": torch.optim.AdamW,
    "adamw": torch.optim.AdamW,
    "adam": torch.optim.Adam,
    "sgd": torch.optim.SGD,
}


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


def choose_optimizer(
    optimizer: str | type[torch.optim.Optimizer],
    network: dict[str, Any],
    *,
    is_sparse: bool,
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
    if encoder is not None and any(True for _ in encoder.parameters()):
        options["param_groups"] = [("encoder.*", {"lr": encoder_lr})]
    if not isinstance(optimizer, str):
        return optimizer, options
    # One kernel for all parameters: a quarter off a step of a small network.
    options["fused"] = torch.device(device).type in ("cpu", "cuda")
    if optimizer == "sgd":
        options |= {"momentum": 0.9, "nesterov": True}
    looks_up = encoder is not None and any(
        hasattr(module, "sparse_grad") for module in encoder.modules()
    )
    if is_sparse and optimizer == "auto" and not network["hidden_layer_sizes"]:
        return LazyNovoGrad, options
    if (is_sparse or looks_up) and optimizer in ("auto", "adamw"):
        return LazyAdamW, options
    return OPTIMIZERS[optimizer], options
