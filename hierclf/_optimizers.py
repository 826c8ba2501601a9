"""Which optimiser moves the weights of a network, and with which options."""

from __future__ import annotations

from typing import Any

import torch

from hierclf.nn import LazyAdamW, LazyNovoGrad, LeanAdamW

OPTIMIZERS: dict[str, type[torch.optim.Optimizer]] = {
    "auto": LeanAdamW,
    "adamw": LeanAdamW,
    "adam": torch.optim.Adam,
    "sgd": torch.optim.SGD,
}


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
        Parameters of :class:`hierclf.nn.SoftmaxNetwork`.
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
