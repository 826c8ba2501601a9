"""Recursive regularisation of the softmaxes of a hierarchy."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn

from hierclf.nn.groups import register_derived
from hierclf.nn.head import SoftmaxHead
from hierclf.nn.linear import CSRRows

if TYPE_CHECKING:
    from hierclf.hierarchy import Hierarchy


class RecursiveRegularization(nn.Module):
    r"""A loss, and in training a penalty on the distance between a parent's row and a child's.

    Recursive regularisation [1]_ adds

    .. math:: \lambda \sum_{(p, c)} \tfrac{1}{2} \lVert w_p - w_c \rVert^2

    over the edges between nodes that both have a row of weights, which the root has not. But a
    softmax does not change if one vector is added to all of its rows, and the sum does. So the
    rows of each softmax are centred first, :math:`\bar w_c = w_c - \frac{1}{|S|} \sum_{s \in S}
    w_s` for the siblings :math:`S` of :math:`c`, itself included.

    **What is left of it.** The rows of the children of :math:`p` then sum to zero. With
    :math:`k_p` children,

    .. math::

        \sum_{c} \tfrac{1}{2} \lVert \bar w_p - \bar w_c \rVert^2
        = \tfrac{1}{2} k_p \lVert \bar w_p \rVert^2
        + \tfrac{1}{2} \sum_{c} \lVert \bar w_c \rVert^2
        - \bar w_p \cdot \sum_c \bar w_c

    and the last term is zero. The penalty is

    .. math:: \lambda \sum_n \tfrac{1}{2} \, a_n \lVert \bar w_n \rVert^2,

    where :math:`a_n` is the number of edges at :math:`n` that count: one for each child, and one
    for the parent if that is not the root. So it draws each softmax to equal probabilities, the
    more the more children a node has, and no child to its parent: what all children of a node
    have in common, their softmax does not see. It differs from a weight decay in that. A softmax
    that no sample reaches has equal probabilities at its minimum, :math:`\bar w_n = 0`, where the
    original model has :math:`w_n = (w_{\pi(n)} + \sum_c w_c) / (k_n + 1)`.

    In a DAG each edge has a row, and the sum is over pairs of an edge into a node and one out of
    it. Where parent and child read different layers (:class:`BranchedSoftmax`), the last formula
    is the definition. Biases are left out.

    Parameters
    ----------
    loss : torch.nn.Module
        Is called with the same arguments, as :class:`PathLoss` is.
    hierarchy : Hierarchy
        A tree or a directed acyclic graph.
    strength : float
        The factor :math:`\lambda`. It is added to the mean loss of each batch.

    References
    ----------
    .. [1] S. Gopal and Y. Yang, "Recursive Regularization for Large-scale Classification with
       Hierarchical and Graphical Dependencies", KDD 2013.

    Examples
    --------
    Rows 0 and 4 of the top level are centred to -2 and 2, and 7 and 9 below it to -1 and 1. With
    :math:`a` = 0, 2, 1, 1 that is (2 * 4 + 1 + 1) / 2:

    >>> import torch
    >>> from hierclf import Hierarchy
    >>> from hierclf.nn import HierarchicalSoftmax, PathLoss, RecursiveRegularization
    >>> tree = Hierarchy.from_dict({"root": ["a", "b"], "b": ["c", "d"]})
    >>> head = HierarchicalSoftmax(1, tree)
    >>> head.linear.weight.data = torch.tensor([[0.0], [4.0], [7.0], [9.0]])
    >>> loss = RecursiveRegularization(PathLoss(), tree, strength=0.1)
    >>> loss.penalty(head).item()
    5.0
    """

    factors: Tensor
    group: Tensor
    sizes: Tensor

    def __init__(self, loss: nn.Module, hierarchy: Hierarchy, strength: float) -> None:
        super().__init__()
        self.loss, self.strength = loss, strength
        arrays, n_nodes = hierarchy.arrays, len(hierarchy)
        n_children = np.bincount(arrays.edge_parents + 1, minlength=n_nodes + 1)[1:]
        n_parents = np.append(np.diff(arrays.parent_offsets), 0)  # the last is the root's, at -1
        factors = n_children[arrays.edge_children] + n_parents[arrays.edge_parents]
        sizes = np.diff(arrays.group_offsets)
        register_derived(self, "factors", factors.astype(np.float64))
        register_derived(self, "sizes", sizes.astype(np.float64)[:, None])
        register_derived(self, "group", np.repeat(np.arange(len(sizes)), sizes))

    def forward(
        self,
        head: SoftmaxHead,
        hidden: Tensor | CSRRows,
        target: Tensor,
        sample_weight: Tensor | None = None,
    ) -> Tensor:
        """Compute the loss of a batch, with the penalty in training; see :class:`PathLoss`."""
        loss: Tensor = self.loss(head, hidden, target, sample_weight)
        return loss + self.strength * self.penalty(head) if self.training else loss

    def penalty(self, head: SoftmaxHead) -> Tensor:
        """Compute the sum over the edges, without its factor.

        Parameters
        ----------
        head : SoftmaxHead
            The softmaxes.

        Returns
        -------
        Tensor
            A scalar.

        Raises
        ------
        ValueError
            If the head has no rows that stand for edges.
        """
        parts = head.edge_rows()
        if not parts:
            raise ValueError(
                "recursive regularisation is of the softmaxes at inner nodes, and "
                f"{type(head).__name__} has none: take the loss without it"
            )
        lengths = [len(part) for part in parts]
        total = self.factors.new_zeros(())
        for rows, group, factors in zip(
            parts, torch.split(self.group, lengths), torch.split(self.factors, lengths), strict=True
        ):
            sums = rows.new_zeros(len(self.sizes), rows.shape[1]).index_add(0, group, rows)
            centred = rows - (sums / self.sizes).index_select(0, group)
            total = total + factors @ centred.square().sum(1)
        return total / 2
