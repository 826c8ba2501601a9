"""The max-constraint: no node is likelier than the nodes above it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn

from hierclf.hierarchy._arrays import gather
from hierclf.nn.groups import register_derived

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from hierclf.hierarchy import Hierarchy

# Cells of a table that are cheaper to fill than a second table is to look at.
_SMALL = 2048


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

    cells: Tensor
    above: Tensor
    inner: Tensor

    def __init__(self, hierarchy: Hierarchy) -> None:
        super().__init__()
        tables = _tables(hierarchy)
        self.shapes = [table.shape for table in tables]
        cells = [table.ravel() for table in tables]
        above = [np.repeat(table[:, 0], table.shape[1]) for table in tables]
        none = np.empty(0, dtype=np.intp)
        register_derived(self, "cells", np.concatenate([none, *cells]))
        register_derived(self, "above", np.concatenate([none, *above]))
        register_derived(self, "inner", np.concatenate([none, *(t[:, 0] for t in tables)]))

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
        by_node = logits.t()
        largest = self.largest(by_node.detach(), None if target is None else target.t())
        # To gather, and to scatter on the way back, takes a fraction of what gradients through
        # every level would.
        return by_node.gather(0, largest).t()

    @torch.no_grad()
    def largest(self, values: Tensor, target: Tensor | None) -> Tensor:
        """Find where each largest value comes from, node by sample; see :meth:`forward`.

        Each level is one or a few steps over its inner nodes and their children, from the
        deepest level up: that is several times less work than all pairs of ancestors.
        """
        values = values.clone(memory_format=torch.contiguous_format)
        nodes = torch.arange(len(values), device=values.device)
        sources = nodes.unsqueeze(1).repeat(1, values.shape[1])
        is_other = None
        if target is not None and len(self.cells):
            target = target.contiguous()
            is_other = target.index_select(0, self.cells) < target.index_select(0, self.above)
        cell = row = 0
        for n_rows, width in self.shapes:
            cells = self.cells[cell : cell + n_rows * width]
            inner = self.inner[row : row + n_rows]
            candidates = values.index_select(0, cells)
            if is_other is not None:
                others = is_other[cell : cell + n_rows * width]
                candidates = candidates.masked_fill_(others, -torch.inf)
            best, which = candidates.view(n_rows, width, -1).max(1, keepdim=True)
            values.index_copy_(0, inner, best.squeeze(1))
            below = sources.index_select(0, cells).view(n_rows, width, -1)
            sources.index_copy_(0, inner, below.gather(1, which).squeeze(1))
            cell, row = cell + n_rows * width, row + n_rows
        return sources


def _tables(hierarchy: Hierarchy) -> list[NDArray[np.intp]]:
    """Lay the children of each inner node beside it, the deepest nodes first.

    A table has a row for each of some inner nodes of one depth: the node, its children, and the
    node again as often as it takes to fill the row. Nodes with about as many children share a
    table, unless one for all of the depth is small.
    """
    arrays = hierarchy.arrays
    offsets, children = arrays.down
    inner = arrays.inner_indices[1:]
    widths = offsets[inner + 2] - offsets[inner + 1] + 1
    tables = []
    for depth in range(arrays.n_levels, 0, -1):
        at_depth = inner[arrays.depths[inner] == depth]
        width = widths[arrays.depths[inner] == depth]
        if not len(at_depth):
            continue
        sizes = np.ceil(np.log2(width)).astype(int)
        if len(at_depth) * width.max() <= _SMALL:
            sizes[:] = 0
        for size in np.unique(sizes):
            nodes, widest = at_depth[sizes == size], width[sizes == size].max()
            table = np.repeat(nodes[:, None], widest, axis=1)
            below, counts = gather(offsets, children, nodes + 1)
            table[:, 1:][np.arange(widest - 1) < counts[:, None]] = below - 1
            tables.append(table)
    return tables
