"""The loss of several labels per sample: one yes or no for each node."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch.nn.functional as F  # noqa: N812, torch's own convention
from torch import Tensor, nn

if TYPE_CHECKING:
    from hierclf.nn.linear import CSRRows
    from hierclf.nn.node_head import NodeHead, TrainedOutput


class NodeLoss(nn.Module):
    r"""Binary cross-entropy of each node, on the values that the max-constraint leaves.

    .. math::

        L = \frac{1}{N} \sum_A -y_A \ln \max_{B \in \mathrm{desc}(A)} y_B p_B
            - (1 - y_A) \ln \bigl(1 - \max_{B \in \mathrm{desc}(A)} p_B\bigr),

    averaged over the samples of the batch: the MCLoss of [1]_. A node that is no label is held
    against the likeliest node below it, and a label may borrow from the labels below it alone.
    Without the constraint the maxima are :math:`p_A`. A head may compare several outputs with the
    labels, and weigh its nodes.

    Parameters
    ----------
    constrained : bool
        Whether the max-constraint is in the loss.
    recursive_regularization : float
        The factor :math:`\lambda` of
        :math:`\sum_{(p, c)} \frac{1}{2} \lVert w_p - w_c \rVert^2`, where :math:`w` are the rows
        of the last affine map for a parent and its child [2]_. The root has no row, and biases
        are left out.

    References
    ----------
    .. [1] E. Giunchiglia and T. Lukasiewicz, "Coherent Hierarchical Multi-Label Classification
       Networks", NeurIPS 2020.
    .. [2] S. Gopal and Y. Yang, "Recursive Regularization for Large-scale Classification with
       Hierarchical and Graphical Dependencies", KDD 2013.

    Examples
    --------
    Zero weights make every node as likely as not, whatever the labels are:

    >>> import torch
    >>> from hierclf import Hierarchy
    >>> from hierclf.nn import LinearNodeHead, NodeLoss
    >>> tree = Hierarchy.from_dict({"animal": ["cat", "dog"], "plant": []})
    >>> head = LinearNodeHead(4, tree)
    >>> for parameter in head.parameters():
    ...     _ = torch.nn.init.zeros_(parameter)
    >>> target = torch.from_numpy(tree.to_indicator([["cat"]]))
    >>> print(round(NodeLoss(constrained=True)(head, torch.zeros(1, 4), target).item(), 4))  # log 2
    0.6931
    """

    def __init__(self, *, constrained: bool, recursive_regularization: float = 0.0) -> None:
        super().__init__()
        self.constrained = constrained
        self.recursive_regularization = recursive_regularization

    def forward(
        self,
        head: NodeHead,
        hidden: Tensor | CSRRows,
        target: Tensor,
        sample_weight: Tensor | None = None,
    ) -> Tensor:
        """Compute the loss of a batch.

        Parameters
        ----------
        head : NodeHead
            The head.
        hidden : Tensor of shape (batch, in_features) or CSRRows
            What it reads.
        target : Tensor of shape (batch, nodes)
            1 for the labels of each sample, closed under ancestors, and 0 elsewhere, of any type.
        sample_weight : Tensor of shape (batch,), optional
            Weight of each sample. The weighted sum is divided by the number of samples,
            not by the sum of the weights, so that a heavy batch counts for more.

        Returns
        -------
        Tensor
            A scalar, in nats.

        Raises
        ------
        ValueError
            If ``recursive_regularization`` is not 0, and the head has no rows that stand for
            nodes.
        """
        scores = head.scores(hidden)
        rows = sum(self._of(output, target) for output in scores.trained)
        if scores.penalty is not None:
            rows = rows + scores.penalty
        rows = rows if sample_weight is None else rows * sample_weight
        loss: Tensor = rows.mean()  # type: ignore[union-attr]
        if self.recursive_regularization:
            loss = loss + self.recursive_regularization * _distances(head)
        return loss

    def _of(self, output: TrainedOutput, target: Tensor) -> Tensor:
        """Return the loss of each sample, (batch,)."""
        logits, columns, weight, constraint = output
        if columns is not None:
            target = target.index_select(1, columns)
        if self.constrained and constraint is not None:
            logits = constraint(logits, target)
        losses = F.binary_cross_entropy_with_logits(
            logits, target.to(logits.dtype), reduction="none"
        )
        return losses.mean(1) if weight is None else losses @ weight


def _distances(head: NodeHead) -> Tensor:
    """Return half the sum of the squared distances between parents and children."""
    total: Tensor | None = None
    for weight, edges in head.output_rows():
        apart = weight.index_select(0, edges[0]) - weight.index_select(0, edges[1])
        half = apart.square().sum() / 2
        total = half if total is None else total + half
    if total is None:
        raise ValueError(
            "recursive_regularization draws the weights of a child to those of its parent, and "
            f"{type(head).__name__} has no rows of weights for nodes: set it to 0"
        )
    return total
