"""A head over compact tables: each group of siblings has weights for the features of its own rows.

With thousands of classes a table of all features by all nodes is large, and nearly all of it is 0:
below most nodes few features ever occur.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, cast

import numpy as np
import scipy.sparse as sp
import torch
from torch import Tensor, nn

from hierclf.nn._compact_fit import Tables
from hierclf.nn._fast import loops_for
from hierclf.nn._search import Found, TreeSearch
from hierclf.nn.head import SoftmaxHead, TopLeaves
from hierclf.nn.linear import CSRRows, Linear
from hierclf.nn.softmax import HierarchicalSoftmax

if TYPE_CHECKING:
    from hierclf.hierarchy import Hierarchy
    from hierclf.nn.growth import RowMap


# A row is given up when it has read this share of the nodes.
_SHARE = 1 / 2
# Rows that are searched side by side in torch.
_ROWS = 2048


class CompactSoftmax(HierarchicalSoftmax):
    """A :class:`HierarchicalSoftmax` whose groups have weights for a few features each.

    The features that have none in a group say nothing there. It predicts, and is not trained by
    gradients: :class:`hierclf.HierarchicalLinearClassifier` fits its tables.

    Parameters
    ----------
    in_features : int
        Number of features.
    hierarchy : Hierarchy
        A tree.
    tables : Tables
        The weights and biases.

    Attributes
    ----------
    linear : torch.nn.Module
        Maps rows to one logit for each of ``hierarchy.nodes``.

    Raises
    ------
    ValueError
        If the hierarchy is not a tree.
    """

    descends_sparse: ClassVar[bool] = True

    linear: CompactLinear  # type: ignore[assignment]

    def __init__(self, in_features: int, hierarchy: Hierarchy, *, tables: Tables) -> None:
        def linear(n_in: int, n_out: int) -> CompactLinear:
            return CompactLinear(n_in, n_out, tables, hierarchy)

        super().__init__(in_features, hierarchy, linear=cast("type[Linear]", linear))
        # What HierarchicalSoftmax searches in is a table without gaps.
        self.search = None
        self.compact_search = None
        if len(hierarchy.leaf_indices) > 1:
            self.compact_search = CompactSearch(hierarchy, self.linear)

    def map_rows(self, before: Hierarchy, after: Hierarchy) -> dict[str, RowMap]:  # noqa: D102, inherited
        raise ValueError("compact tables cannot be carried over to another hierarchy: fit anew")

    def edge_rows(self) -> tuple[Tensor, ...]:  # noqa: D102, inherited
        return ()

    def searches(self, k: int) -> bool:  # noqa: D102, inherited
        search = self.compact_search
        return search is not None and search.pays(k, self.linear.weight)

    def topk_leaves(self, hidden: Tensor | CSRRows, k: int) -> TopLeaves:  # noqa: D102, inherited
        if not self.searches(k):
            return SoftmaxHead.topk_leaves(self, hidden, k)
        assert self.compact_search is not None
        rows = as_csr(hidden)
        with torch.no_grad():
            found = self.compact_search.find(rows, k)
        left = (~found.is_exact).nonzero().flatten()
        for row in left.tolist():
            rest = SoftmaxHead.topk_leaves(self, rows.rows(slice(row, row + 1)), k)
            found.leaves[row], found.log_proba[row] = rest.positions[0], rest.log_proba[0]
        return TopLeaves(found.leaves, found.log_proba, len(left))

    def descend(self, hidden: Tensor | CSRRows) -> TopLeaves:  # noqa: D102, inherited
        assert self.compact_search is not None
        rows = _SparseHidden(as_csr(hidden))
        with torch.no_grad():
            found = self.compact_search.descend(
                cast("Tensor", rows), self.linear.weight, self.linear.bias
            )
        return TopLeaves(found.leaves, found.log_proba, 0)


class CompactLinear(nn.Module):
    """The affine map of compact tables: a logit for each node, from sparse or dense rows.

    Parameters
    ----------
    in_features, out_features : int
        Numbers of features and of nodes.
    tables : Tables
        The weights and biases.
    hierarchy : Hierarchy
        A tree, whose groups of siblings have the tables.

    Attributes
    ----------
    weight : Tensor of shape (n_weights,)
        The weights of all groups, a line for each feature and group.
    bias : Parameter of shape (nodes,)
        The biases.
    """

    weight: Tensor
    features: Tensor
    offsets: Tensor
    places: Tensor

    def __init__(
        self, in_features: int, out_features: int, tables: Tables, hierarchy: Hierarchy
    ) -> None:
        super().__init__()
        self.in_features = int(in_features)
        self.sizes = np.diff(hierarchy.arrays.group_offsets)
        for name in ("weight", "features", "offsets", "places"):
            self.register_buffer(name, torch.from_numpy(getattr(tables, name)))
        self.bias = nn.Parameter(torch.from_numpy(tables.bias), requires_grad=False)
        self._by_feature: Any = None
        self._keys: Tensor | None = None

    def forward(self, x: Tensor | CSRRows) -> Tensor:
        """Map rows to logits of shape (batch, nodes)."""
        rows = as_csr(x)
        shape = (len(rows.offsets) - 1, self.in_features)
        parts = (rows.values.numpy(), rows.indices.numpy(), rows.offsets.numpy())
        product: Any = sp.csr_array(parts, shape=shape) @ self.by_feature()
        logits = torch.from_numpy(product.toarray())
        logits += self.bias
        return logits

    def by_feature(self) -> Any:
        """Return the weights as a sparse array of shape (in_features, nodes).

        It is made when all nodes are first asked for, and takes three times the memory of the
        weights: a search needs none.
        """
        if self._by_feature is None:
            n_lines = np.diff(self.offsets.numpy())
            line_sizes = np.repeat(self.sizes, n_lines)
            starts = np.repeat(np.cumsum(self.sizes) - self.sizes, n_lines)
            ends = np.cumsum(line_sizes)
            within = np.arange(len(self.weight)) - np.repeat(ends - line_sizes, line_sizes)
            columns = np.repeat(starts, line_sizes) + within
            rows = np.repeat(self.features.numpy(), line_sizes)
            shape = (self.in_features, len(self.bias))
            table = sp.coo_array((self.weight.numpy(), (rows, columns)), shape=shape)
            self._by_feature = table.tocsr()
        return self._by_feature

    def keys(self) -> Tensor:
        """Return a number for the group and feature of each line, in ascending order.

        It is made when lines are first looked for in torch.
        """
        if self._keys is None:
            tables = Tables(*(getattr(self, name).detach().numpy() for name in Tables._fields))
            self._keys = torch.from_numpy(tables.keys(self.in_features))
        return self._keys

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_by_feature": None, "_keys": None}


class CompactSearch(TreeSearch):
    """A :class:`TreeSearch` over compact tables.

    Parameters
    ----------
    hierarchy : Hierarchy
        A tree of two leaves at least.
    linear : CompactLinear
        The tables.
    """

    def __init__(self, hierarchy: Hierarchy, linear: CompactLinear) -> None:
        super().__init__(hierarchy)
        self.linear = linear

    def find(self, rows: CSRRows, k: int) -> Found:
        """Find the k likeliest leaves of each row."""
        weight, bias = self.linear.weight, self.linear.bias
        loops = loops_for("_compact_loops", weight, rows.values)
        n_rows = len(rows.offsets) - 1
        if loops is None:
            parts = []
            for start in range(0, max(n_rows, 1), _ROWS):
                some = _SparseHidden(rows.rows(slice(start, min(start + _ROWS, n_rows))))
                parts.append(self._in_torch(cast("Tensor", some), weight, bias, k))
            return Found(*map(torch.cat, zip(*parts, strict=True)))
        leaves = torch.zeros(n_rows, k, dtype=torch.long)
        log_proba = rows.values.new_empty(n_rows, k)
        is_exact = torch.zeros(n_rows, dtype=torch.bool)
        linear = self.linear
        tensors = (
            *(rows.offsets, rows.indices, rows.values, self.starts, self.sizes, self.ends),
            *(linear.offsets, linear.features, linear.places, weight, bias),
        )
        results = (t.numpy() for t in (leaves, log_proba, is_exact))
        arrays = (t.detach().numpy() for t in tensors)
        loops.search(*arrays, self.top, *results, self._limit(_SHARE), self.widest)
        return Found(leaves, log_proba, is_exact)

    def _limit(self, share: float) -> int:
        # A pass over all leaves first makes a table of all weights by feature.
        return super()._limit(max(share, _SHARE))

    def _top(self, hidden: Tensor, weight: Tensor, bias: Tensor) -> tuple[Tensor, Tensor]:
        rows = torch.arange(len(hidden))
        groups = torch.full_like(rows, self.top)
        start, size = int(self.starts[self.top]), int(self.sizes[self.top])
        steps, _ = self._narrow(hidden, weight, bias, rows, groups, size)
        return steps, self.ends[start : start + size]

    def _wide(
        self, hidden: Tensor, weight: Tensor, bias: Tensor, rows: Tensor, groups: Tensor, size: int
    ) -> tuple[Tensor, Tensor]:
        return self._narrow(hidden, weight, bias, rows, groups, size)

    def _narrow(
        self, hidden: Tensor, weight: Tensor, bias: Tensor, rows: Tensor, groups: Tensor, size: int
    ) -> tuple[Tensor, Tensor]:
        csr = cast("_SparseHidden", hidden).rows
        n_values = csr.offsets.diff().long()[rows]
        pair = torch.arange(len(rows)).repeat_interleave(n_values)
        ends = n_values.cumsum(0)
        entry = torch.arange(len(pair)) + (csr.offsets[rows].long() - ends + n_values)[pair]
        group = groups[pair]
        known = self.linear.keys()
        keys = group * self.linear.in_features + csr.indices[entry]
        members = torch.arange(size)
        nodes = self.starts[groups].unsqueeze(1) + torch.minimum(
            members, self.sizes[groups].unsqueeze(1) - 1
        )
        logits = bias[nodes]
        if len(known):
            line = torch.searchsorted(known, keys).clamp_(max=len(known) - 1)
            is_known = known[line] == keys
            pair, entry, group, line = (t[is_known] for t in (pair, entry, group, line))
            sizes = self.sizes[group]
            first = self.linear.places[group] + (line - self.linear.offsets[group]) * sizes
            taken = first.unsqueeze(1) + torch.minimum(members, sizes.unsqueeze(1) - 1)
            logits = logits.index_add(0, pair, weight[taken] * csr.values[entry].unsqueeze(1))
        logits.masked_fill_(members >= self.sizes[groups].unsqueeze(1), -torch.inf)
        return logits.log_softmax(1), self.ends[nodes]


class _SparseHidden:
    """Sparse rows as :class:`TreeSearch` looks at hidden states: how many, and of which type."""

    def __init__(self, rows: CSRRows) -> None:
        self.rows = rows
        self.device = rows.values.device
        self.new_full, self.new_zeros = rows.values.new_full, rows.values.new_zeros
        self.new_empty = rows.values.new_empty

    def __len__(self) -> int:
        return len(self.rows.offsets) - 1


def as_csr(rows: Tensor | CSRRows) -> CSRRows:
    """Return rows in CSR format, with the features of each in ascending order."""
    if isinstance(rows, Tensor):
        row, indices = rows.nonzero(as_tuple=True)
        offsets = torch.zeros(len(rows) + 1, dtype=torch.long)
        offsets[1:] = torch.bincount(row, minlength=len(rows)).cumsum(0)
        return CSRRows(indices, offsets, rows[row, indices])
    parts = (rows.values.numpy(), rows.indices.numpy(), rows.offsets.numpy())
    n_features = int(rows.indices.max()) + 1 if len(rows.indices) else 1
    matrix = sp.csr_array(parts, shape=(len(rows.offsets) - 1, n_features))
    if matrix.has_sorted_indices:
        return rows
    matrix = matrix.copy()
    matrix.sort_indices()
    indices, offsets, values = (
        torch.from_numpy(part) for part in (matrix.indices, matrix.indptr, matrix.data)
    )
    return CSRRows(indices, offsets, values)
