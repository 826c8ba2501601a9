"""Probabilities on the scale of logits, where none is rounded to 0 or 1."""

from __future__ import annotations

import torch.nn.functional as F  # noqa: N812, torch's own convention
from torch import Tensor


def mean_logit(logits: Tensor, log_weight: Tensor, dim: int) -> Tensor:
    """Return the logit of a weighted mean of probabilities.

    Parameters
    ----------
    logits : Tensor
        Logits of the probabilities.
    log_weight : Tensor
        Logarithms of their weights, which sum to 1 along ``dim``. -inf leaves one out.
    dim : int
        The dimension along which the mean is taken.

    Returns
    -------
    Tensor
        The shape of ``logits`` without ``dim``.
    """
    yes = (F.logsigmoid(logits) + log_weight).logsumexp(dim)
    no = (F.logsigmoid(-logits) + log_weight).logsumexp(dim)
    return yes - no
