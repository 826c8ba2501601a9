"""The max-constraint: no node is likelier than the nodes above it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn

from hierclf.nn.groups import register_derived

if TYPE_CHECKING:
    from hierclf.hierarchy import Hierarchy


class MaxConstraint(nn.Module):
    r"""Gives each node the largest value that it or a node below it has.

    .. math:: m_A = \max_{B \in \mathrm{desc}(A)} z_B,

    where :math:`\mathrm{desc}(A)` includes :math:`A` itself [1]_. A sigmoid keeps the order of
    its arguments, so that the maximum of logits is that of probabilities. The gradient goes to
    the node that has the largest value.

    Parameters
    ----------
    hierarchy : Hierarchy
        A tree or a directed acyclic graph.

    References
    ----------
    .. [1] E. Giunchiglia and T. Lukasiewicz, "Coherent Hierarchical Multi-Label Classification
       Networks", NeurIPS 2020.

    Examples
    --------
    >>> import torch
    >>> from hierclf import Hierarchy
    >>> from hierclf.nn import MaxConstraint
    >>> tree = Hierarchy.from_dict({"animal": ["cat", "dog"], "plant": []})
    >>> tree.nodes
    ('animal', 'plant', 'cat', 'dog')
    >>> MaxConstraint(tree)(torch.tensor([[0.5, -1.0, 2.0, 3.0]]))
    tensor([[ 3., -1.,  2.,  3.]])

    Where the cat is the only label, the animal may borrow from the cat alone:

    >>> MaxConstraint(tree)(
    ...     torch.tensor([[0.5, -1.0, 2.0, 3.0]]), torch.tensor([[1.0, 0.0, 1.0, 0.0]])
    ... )
    tensor([[ 2., -1.,  2.,  3.]])
    """

    ancestors: Tensor
    descendants: Tensor

    def __init__(self, hierarchy: Hierarchy) -> None:
        super().__init__()
        descendants, ancestors = hierarchy.ancestor_pairs(np.arange(len(hierarchy)))
        register_derived(self, "descendants", descendants)
        register_derived(self, "ancestors", ancestors)

    def forward(self, logits: Tensor, target: Tensor | None = None) -> Tensor:
        """Replace the value of each node by the largest at or below it.

        Parameters
        ----------
        logits : Tensor of shape (batch, nodes)
            Any values, columns in the order of ``hierarchy.nodes``.
        target : Tensor of shape (batch, nodes), optional
            1 for the labels of each sample, closed under ancestors, and 0 elsewhere. A label
            then has the largest value of the *labels* at or below it, which is what the loss
            of [1]_ takes; other nodes have no labels below them.

        Returns
        -------
        Tensor of shape (batch, nodes)
            The largest values.
        """
        values = logits.index_select(1, self.descendants)
        if target is not None:
            above = target.index_select(1, self.ancestors)
            differs = target.index_select(1, self.descendants) != above
            values = values.masked_fill(differs, -torch.inf)
        index = self.ancestors.expand_as(values)
        empty = torch.full_like(logits, -torch.inf)
        return empty.scatter_reduce(1, index, values, "amax")
