"""Two heads: a softmax at every inner node of a tree, and one softmax over all leaves.

All arithmetic is in log space and runs over real children only. The hierarchical head
holds logits node by sample: a group of siblings is then a block of contiguous rows, and
a softmax over the first axis runs at the full width of the processor however small the
group.
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import nll_loss

from hierclf.nn._search import SMALL_TREE, TreeSearch
from hierclf.nn.dag import WaysUp
from hierclf.nn.groups import PathSteps, RaggedGroups, leaves_under, register_derived
from hierclf.nn.growth import map_edges, map_leaves
from hierclf.nn.head import SoftmaxHead, TopLeaves
from hierclf.nn.linear import CSRRows, Linear

if TYPE_CHECKING:
    from hierclf.hierarchy import Hierarchy
    from hierclf.nn.growth import RowMap
    from hierclf.nn.path import PathGroups


class HierarchicalSoftmax(SoftmaxHead):
    r"""One softmax at every inner node, trained together.

    .. math::

        P(m \mid p) = \frac{\exp(w_{pm} \cdot h)}{\sum_j \exp(w_{pj} \cdot h)},
        \qquad P(n) = \prod_{(p, m) \text{ on the path to } n} P(m \mid p),

    equations 1 to 3 of [1]_, with :math:`h` the hidden state with a 1 appended.
    It has one row of weights for each node but the root, which is
    :math:`(P - 1)(d + 1)` parameters more than a flat softmax for :math:`P` inner
    nodes (the root included) and hidden states of size :math:`d`.

    Parameters
    ----------
    in_features : int
        Size of the hidden state.
    hierarchy : Hierarchy
        A tree.
    linear : type
        Class of the affine map to logits: :class:`Linear`, or :class:`FeatureLinear`
        where the hidden state is the features themselves.
    **kwargs
        Passed to ``linear``.

    Attributes
    ----------
    linear : torch.nn.Module
        Maps a hidden state to one logit for each of ``hierarchy.nodes``.

    Raises
    ------
    ValueError
        If the hierarchy is not a tree.

    References
    ----------
    .. [1] J. Schuurmans and F. Frasincar, "Global Hierarchical Neural Networks using
       Hierarchical Softmax", arXiv:2308.01210.

    Examples
    --------
    Zero weights give each of the children of a node the same probability:

    >>> import torch
    >>> from hierclf import Hierarchy
    >>> tree = Hierarchy.from_dict({"root": ["a", "b"], "b": ["c", "d", "e"]})
    >>> softmax = HierarchicalSoftmax(4, tree)
    >>> for parameter in softmax.parameters():
    ...     _ = torch.nn.init.zeros_(parameter)
    >>> log_proba = softmax(torch.randn(1, 4))
    >>> print(dict(zip(tree.nodes, log_proba.exp()[0].tolist())))  # doctest: +ELLIPSIS
    {'a': 0.5, 'b': 0.5, 'c': 0.16..., 'd': 0.16..., 'e': 0.16...}
    """

    gives_steps: ClassVar[bool] = True

    leaf_indices: Tensor
    above: Tensor

    def __init__(
        self,
        in_features: int,
        hierarchy: Hierarchy,
        *,
        linear: type[Linear] = Linear,
        **kwargs: Any,
    ) -> None:
        super().__init__()
        if not hierarchy.is_tree:
            raise ValueError(
                "this hierarchy is a DAG, in which a node has several parents: use DAGSoftmax"
            )
        self.linear = linear(in_features, self._count_rows(hierarchy), **kwargs)
        nodes = np.arange(len(hierarchy))
        self.siblings = RaggedGroups(np.split(nodes, hierarchy.arrays.group_offsets[1:-1]))
        self.steps = self._build_steps(hierarchy)
        # Nodes come level by level, so every level is a slice, and a parent is a row of the last.
        arrays = hierarchy.arrays
        self.level_offsets = arrays.depth_offsets.tolist()
        starts = arrays.depth_offsets[np.maximum(hierarchy.depths - 2, 0)]
        register_derived(self, "leaf_indices", hierarchy.leaf_indices)
        register_derived(self, "above", arrays.edge_parents - starts)
        self.search = TreeSearch(hierarchy) if len(hierarchy) >= SMALL_TREE else None

    def _build_steps(self, hierarchy: Hierarchy) -> PathSteps | PathGroups:
        """Make what knows the softmaxes on the path to each node, and ``levels``."""
        return PathSteps(hierarchy)

    def _count_rows(self, hierarchy: Hierarchy) -> int:
        """Return how many logits ``linear`` has."""
        return len(hierarchy)

    def map_rows(self, before: Hierarchy, after: Hierarchy) -> dict[str, RowMap]:  # noqa: D102, inherited
        return {"linear": map_edges(before, after)}

    def edge_rows(self) -> tuple[Tensor, ...]:  # noqa: D102, inherited
        return (self.linear.by_output(),)

    def forward(self, hidden: Tensor | CSRRows, *, log_prior: Tensor | None = None) -> Tensor:  # noqa: D102, inherited
        return self._node_log_proba(hidden, log_prior).t()

    def leaf_log_proba(self, hidden: Tensor | CSRRows) -> Tensor:  # noqa: D102, inherited
        return self._node_log_proba(hidden).index_select(0, self.leaf_indices).t()

    def path_log_proba(  # noqa: D102, inherited
        self,
        hidden: Tensor | CSRRows,
        target: Tensor,
        *,
        label_smoothing: float = 0.0,
        log_prior: Tensor | None = None,
    ) -> Tensor:
        steps: Tensor = self.steps(self._logits(hidden, log_prior), target, label_smoothing)
        return steps

    @property
    def step_levels(self) -> Tensor:  # noqa: D102, inherited
        return self.steps.levels

    def searches(self, k: int) -> bool:  # noqa: D102, inherited
        return self.search is not None and self.search.pays(k, self.linear.weight)

    def topk_leaves(self, hidden: Tensor | CSRRows, k: int) -> TopLeaves:  # noqa: D102, inherited
        search, weight = self.search, self.linear.weight
        is_turned = bool(self.linear.row_dim)
        if (
            search is None
            or not isinstance(hidden, Tensor)
            or not search.pays(k, weight)
            or not search.pays_for(len(hidden), weight, is_turned=is_turned)
        ):
            return super().topk_leaves(hidden, k)
        with torch.no_grad():
            found = search(hidden, *self._by_node(), k)
        left = (~found.is_exact).nonzero().flatten()
        if len(left):
            rest = super().topk_leaves(hidden[left], k)
            found.leaves[left], found.log_proba[left] = rest.positions, rest.log_proba
        return TopLeaves(found.leaves, found.log_proba, len(left))

    def descend(self, hidden: Tensor) -> TopLeaves:
        """Go from the root to the likeliest child, and on to a leaf.

        No group of siblings off the way is read. For heads that search.

        Parameters
        ----------
        hidden : Tensor of shape (batch, in_features)
            Hidden states.

        Returns
        -------
        TopLeaves
            One leaf for each sample, which need not be the likeliest.
        """
        assert self.search is not None
        with torch.no_grad():
            found = self.search.descend(hidden, *self._by_node())
        return TopLeaves(found.leaves, found.log_proba, 0)

    def _by_node(self) -> tuple[Tensor, Tensor]:
        """Return the weights with a row for each node, and the biases."""
        weight, bias = self.linear.weight.detach(), self.linear.bias.detach()
        return weight.t().contiguous() if self.linear.row_dim else weight, bias

    def _logits(self, hidden: Tensor | CSRRows, log_prior: Tensor | None) -> Tensor:
        return add_prior(self.linear(hidden).t(), log_prior)

    def _node_log_proba(self, hidden: Tensor | CSRRows, log_prior: Tensor | None = None) -> Tensor:
        steps = self.siblings.log_softmax(self._logits(hidden, log_prior))
        levels = [steps[: self.level_offsets[1]]]
        for start, stop in pairwise(self.level_offsets[1:]):
            above = levels[-1].index_select(0, self.above[start:stop])
            levels.append(steps[start:stop] + above)
        return torch.cat(levels) if len(levels) > 1 else levels[0]


def add_prior(logits: Tensor, log_prior: Tensor | None) -> Tensor:
    """Add what is known of each node beforehand to logits (nodes, batch)."""
    return logits if log_prior is None else logits + log_prior.unsqueeze(1)


class FlatSoftmax(SoftmaxHead):
    """One softmax over all leaves; an inner node is the sum of its leaves.

    The baseline of :class:`HierarchicalSoftmax`, with the same methods: it knows the
    hierarchy only to add up probabilities.

    Parameters
    ----------
    in_features, hierarchy, linear, **kwargs
        As for :class:`HierarchicalSoftmax`.

    Attributes
    ----------
    linear : torch.nn.Module
        Maps a hidden state to one logit for each of ``hierarchy.leaves``.

    Examples
    --------
    >>> import torch
    >>> from hierclf import Hierarchy
    >>> tree = Hierarchy.from_dict({"root": ["a", "b"], "b": ["c", "d", "e"]})
    >>> softmax = FlatSoftmax(4, tree)
    >>> for parameter in softmax.parameters():
    ...     _ = torch.nn.init.zeros_(parameter)
    >>> log_proba = softmax(torch.randn(1, 4))
    >>> print({node: round(p, 2) for node, p in zip(tree.nodes, log_proba.exp()[0].tolist())})
    {'a': 0.25, 'b': 0.75, 'c': 0.25, 'd': 0.25, 'e': 0.25}
    """

    leaf_indices: Tensor
    leaf_column: Tensor
    node_order: Tensor

    def __init__(
        self,
        in_features: int,
        hierarchy: Hierarchy,
        *,
        linear: type[Linear] = Linear,
        **kwargs: Any,
    ) -> None:
        super().__init__()
        leaves, inner = hierarchy.leaf_indices, hierarchy.arrays.inner_indices[1:]
        self.linear = linear(in_features, len(leaves), **kwargs)
        self.leaves_under = RaggedGroups(leaves_under(hierarchy))
        self.ways = None if hierarchy.is_tree else WaysUp(hierarchy)
        leaf_column = np.full(len(hierarchy), -1)
        leaf_column[leaves] = np.arange(len(leaves))
        register_derived(self, "leaf_indices", leaves)
        register_derived(self, "leaf_column", leaf_column)
        register_derived(self, "node_order", np.argsort(np.concatenate([leaves, inner])))

    def map_rows(self, before: Hierarchy, after: Hierarchy) -> dict[str, RowMap]:  # noqa: D102, inherited
        return {"linear": map_leaves(before, after)}

    def forward(self, hidden: Tensor | CSRRows, *, log_prior: Tensor | None = None) -> Tensor:  # noqa: D102, inherited
        return self._nodes(self._log_softmax(hidden, log_prior))

    def leaf_log_proba(self, hidden: Tensor | CSRRows) -> Tensor:  # noqa: D102, inherited
        return self._log_softmax(hidden)

    def leaf_scores(self, hidden: Tensor | CSRRows) -> Tensor:  # noqa: D102, inherited
        logits: Tensor = self.linear(hidden)
        return logits

    def path_log_proba(  # noqa: D102, inherited
        self,
        hidden: Tensor | CSRRows,
        target: Tensor,
        *,
        label_smoothing: float = 0.0,
        log_prior: Tensor | None = None,
    ) -> Tensor:
        log_proba = self._log_softmax(hidden, log_prior)
        leaf = self.leaf_column.index_select(0, target)
        has_inner = bool((leaf < 0).any())
        step = log_proba.gather(1, (leaf.clamp(min=0) if has_inner else leaf).unsqueeze(1))
        if has_inner:
            inner = (leaf < 0).nonzero().flatten()
            nodes = self._nodes(log_proba.index_select(0, inner))
            sums = nodes.gather(1, target.index_select(0, inner).unsqueeze(1))
            step = step.index_copy(0, inner, sums)
        if label_smoothing:
            step = torch.lerp(step, log_proba.mean(1, keepdim=True), label_smoothing)
        return step

    def path_nll(  # noqa: D102, inherited
        self,
        hidden: Tensor | CSRRows,
        target: Tensor,
        *,
        label_smoothing: float = 0.0,
        log_prior: Tensor | None = None,
    ) -> Tensor:
        leaf = self.leaf_column.index_select(0, target)
        if label_smoothing or (leaf < 0).any():
            return super().path_nll(
                hidden, target, label_smoothing=label_smoothing, log_prior=log_prior
            )
        # One kernel each way: a tenth off a step of a small network.
        return nll_loss(self._log_softmax(hidden, log_prior), leaf, reduction="sum")

    def likeliest_path(self, hidden: Tensor | CSRRows, target: Tensor) -> Tensor:  # noqa: D102, inherited
        if self.ways is None:
            return super().likeliest_path(hidden, target)
        edges = self.ways.from_likeliest_parents(self.forward(hidden).t())
        return self.ways.climb(edges, target)

    def _log_softmax(self, hidden: Tensor | CSRRows, log_prior: Tensor | None = None) -> Tensor:
        logits: Tensor = self.linear(hidden)
        if log_prior is not None:
            logits = logits + log_prior.index_select(0, self.leaf_indices)
        return logits.log_softmax(1)

    def _nodes(self, leaves: Tensor) -> Tensor:
        """Add up the log-probabilities of leaves (batch, leaves) for all nodes (batch, nodes)."""
        by_row = leaves.t()
        nodes = torch.cat([by_row, self.leaves_under.logsumexp(by_row)])
        return nodes.index_select(0, self.node_order).t()
