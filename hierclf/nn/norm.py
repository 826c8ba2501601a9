"""Batch normalisation that a batch of one row does not break."""

from __future__ import annotations

import torch
import torch.nn.functional as F  # noqa: N812, torch's own convention
from torch import Tensor, nn


class BatchNorm(nn.BatchNorm1d):
    """Batch normalisation over rows; of a single row by what was seen before.

    A row by itself has no spread, so that torch refuses it in training. It comes as the last
    batch of an epoch. It is normalised by the running mean and variance, as in prediction, and
    leaves them as they are.

    Parameters
    ----------
    num_features : int
        Number of columns.
    dtype : torch.dtype, optional
        Type of the parameters.

    Examples
    --------
    >>> import torch
    >>> from hierclf.nn import BatchNorm
    >>> norm = BatchNorm(2)
    >>> print(norm(torch.tensor([[1.0, 3.0]])).detach().round(decimals=3))
    tensor([[1., 3.]])
    """

    def __init__(self, num_features: int, *, dtype: torch.dtype | None = None) -> None:
        super().__init__(num_features, dtype=dtype)

    def forward(self, x: Tensor) -> Tensor:
        """Normalise rows of shape (n_rows, num_features)."""
        if len(x) > 1:
            return super().forward(x)
        return F.batch_norm(
            x, self.running_mean, self.running_var, self.weight, self.bias, eps=self.eps
        )
