"""Losses: log-probabilities of the targets' paths -> a scalar."""

from __future__ import annotations

from torch import Tensor, nn


class PathCrossEntropy(nn.Module):
    r"""Cross-entropy summed over the softmaxes on the path to the target.

    .. math:: L = -\frac{1}{B} \sum_{b=1}^{B} w_b \sum_{q} \log P(m_q \mid q),

    where :math:`q` runs over the parents on the path to the target of row
    :math:`b` and :math:`m_q` is the child of :math:`q` on that path: equation 7
    of [1]_, averaged over the rows of the batch. For a flat softmax the path is a
    single step and this is the usual cross-entropy.

    References
    ----------
    .. [1] J. Schuurmans and F. Frasincar, "Global Hierarchical Neural Networks using
       Hierarchical Softmax", arXiv:2308.01210.

    Examples
    --------
    >>> import torch
    >>> halves = torch.full((2, 3), 0.5).log()  # two rows, three steps of probability 1/2
    >>> loss = PathCrossEntropy()
    >>> print(round(loss(halves).item(), 4))  # 3 log 2
    2.0794
    >>> print(round(loss(halves, torch.tensor([2.0, 0.0])).item(), 4))
    2.0794
    """

    def forward(self, path_log_proba: Tensor, sample_weight: Tensor | None = None) -> Tensor:
        """Compute the loss of a batch.

        Parameters
        ----------
        path_log_proba : Tensor of shape (batch, depth)
            Log-probability of every step on the path to the target, 0 where the
            path is shorter than ``depth``.
        sample_weight : Tensor of shape (batch,), optional
            Weight of each row. The weighted sum is divided by the number of rows,
            not by the sum of the weights, so that a heavy batch counts for more.

        Returns
        -------
        Tensor
            A scalar, in nats.
        """
        rows = path_log_proba.shape[0]
        if sample_weight is None:
            return path_log_proba.sum() / -rows
        return (path_log_proba.sum(dim=1) @ sample_weight) / -rows
