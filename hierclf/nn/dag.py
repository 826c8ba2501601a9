"""A softmax over a hierarchy in which a node may have several parents."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from hierclf.nn.groups import PaddedGroups, RaggedGroups, register_derived
from hierclf.nn.growth import map_edges
from hierclf.nn.head import SoftmaxHead
from hierclf.nn.linear import CSRRows, Linear

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from hierclf.hierarchy import Hierarchy
    from hierclf.nn.growth import RowMap


class DAGSoftmax(SoftmaxHead):
    r"""One softmax at every inner node of a directed acyclic graph.

    A walk starts at the root and chooses a child at every inner node, until it ends in
    a leaf. The probability of a node is that of a walk that visits it, the sum over its
    paths, found parent by parent:

    .. math:: P(n) = \sum_{p \in \mathrm{parents}(n)} P(p) \, P(n \mid p).

    Each edge has a row of weights of its own, so a child of two parents has two. The
    leaves sum to 1; an inner node is not the sum of its children, whose walks may come
    from elsewhere. Of a tree it makes :class:`HierarchicalSoftmax`, more slowly.

    Parameters
    ----------
    in_features : int
        Size of the hidden state.
    hierarchy : Hierarchy
        A tree or a directed acyclic graph.
    linear : type
        Class of the affine map to logits.
    **kwargs
        Passed to ``linear``.

    Attributes
    ----------
    linear : torch.nn.Module
        Maps a hidden state to one logit for each of ``hierarchy.edges``.

    Examples
    --------
    Zero weights give each of the children of a node the same probability; "c" has two
    ways to be reached:

    >>> import torch
    >>> from hierclf import Hierarchy
    >>> dag = Hierarchy([("root", "a"), ("root", "b"), ("a", "c"), ("b", "c"), ("b", "d")])
    >>> softmax = DAGSoftmax(4, dag)
    >>> for parameter in softmax.parameters():
    ...     _ = torch.nn.init.zeros_(parameter)
    >>> print(dict(zip(dag.nodes, softmax(torch.randn(1, 4)).exp()[0].tolist())))
    {'a': 0.5, 'b': 0.5, 'c': 0.75, 'd': 0.25}
    """

    smooths_labels: ClassVar[bool] = False
    leaf_indices: Tensor
    edge_children: Tensor

    def __init__(
        self,
        in_features: int,
        hierarchy: Hierarchy,
        *,
        linear: type[Linear] = Linear,
        **kwargs: Any,
    ) -> None:
        super().__init__()
        n_edges = len(hierarchy.arrays.edge_parents)
        self.linear = linear(in_features, n_edges, **kwargs)
        edges = np.arange(n_edges)
        self.siblings = RaggedGroups(np.split(edges, hierarchy.arrays.group_offsets[1:-1]))
        self.ways = WaysUp(hierarchy)
        register_derived(self, "leaf_indices", hierarchy.leaf_indices)
        register_derived(self, "edge_children", hierarchy.arrays.edge_children)

    def map_rows(self, before: Hierarchy, after: Hierarchy) -> dict[str, RowMap]:  # noqa: D102, inherited
        return {"linear": map_edges(before, after)}

    def edge_rows(self) -> tuple[Tensor, ...]:  # noqa: D102, inherited
        return (self.linear.by_output(),)

    def forward(self, hidden: Tensor | CSRRows, *, log_prior: Tensor | None = None) -> Tensor:  # noqa: D102, inherited
        return self.ways.add_up(self._steps(hidden, log_prior)).t()

    def leaf_log_proba(self, hidden: Tensor | CSRRows) -> Tensor:  # noqa: D102, inherited
        return self.forward(hidden).index_select(1, self.leaf_indices)

    def path_log_proba(  # noqa: D102, inherited
        self,
        hidden: Tensor | CSRRows,
        target: Tensor,
        *,
        label_smoothing: float = 0.0,
        log_prior: Tensor | None = None,
    ) -> Tensor:
        if label_smoothing:
            raise ValueError(
                "label_smoothing needs the steps of one path, and a DAGSoftmax adds up several: "
                "use HierarchicalSoftmax, for a tree"
            )
        return self.forward(hidden, log_prior=log_prior).gather(1, target.unsqueeze(1))

    def likeliest_path(self, hidden: Tensor | CSRRows, target: Tensor) -> Tensor:  # noqa: D102, inherited
        return self.ways.climb(self.ways.likeliest(self._steps(hidden)), target)

    def _steps(self, hidden: Tensor | CSRRows, log_prior: Tensor | None = None) -> Tensor:
        logits = self.linear(hidden).t()
        if log_prior is not None:
            logits = logits + log_prior.index_select(0, self.edge_children).unsqueeze(1)
        return self.siblings.log_softmax(logits)


class WaysUp(nn.Module):
    """The edges that lead into each node, level by level from the top.

    A level holds the nodes of one depth, the longest way from the root, so that all
    parents come before. Values are held edge or node by row.
    """

    levels: Sequence[_Level]
    parents: Tensor

    def __init__(self, hierarchy: Hierarchy) -> None:
        super().__init__()
        children, parents = (
            hierarchy.arrays.edge_children,
            hierarchy.arrays.edge_parents + 1,
        )  # 0 is the root
        by_child = np.argsort(children, kind="stable")
        into = np.split(by_child, hierarchy.arrays.parent_offsets[1:-1])
        ends = hierarchy.arrays.depth_offsets.tolist()
        levels = (_Level(into[start:stop], parents) for start, stop in pairwise(ends))
        self.levels = nn.ModuleList(levels)  # type: ignore[assignment]
        register_derived(self, "parents", parents)

    def add_up(self, steps: Tensor) -> Tensor:
        """Turn log P(child | parent), (edges, batch), into log P(node), (nodes, batch)."""
        log_proba = torch.zeros_like(steps[:1])
        for level in self.levels:
            ways = level(steps) + level.above(log_proba)
            log_proba = torch.cat([log_proba, ways.logsumexp(0)])
        return log_proba[1:]

    def likeliest(self, steps: Tensor) -> Tensor:
        """Choose for each node the edge by which its likeliest path comes: (nodes, batch)."""
        best, chosen = torch.zeros_like(steps[:1]), []
        for level in self.levels:
            score, slot = (level(steps) + level.above(best)).max(0)
            best = torch.cat([best, score])
            chosen.append(level.member(slot))
        return torch.cat(chosen)

    def from_likeliest_parents(self, log_proba: Tensor) -> Tensor:
        """Choose for each node the edge from its likeliest parent: (nodes, batch)."""
        with_root = torch.cat([torch.zeros_like(log_proba[:1]), log_proba])
        of_parents = with_root.index_select(0, self.parents)
        return torch.cat([level.member(level(of_parents).argmax(0)) for level in self.levels])

    def climb(self, chosen: Tensor, target: Tensor) -> Tensor:
        """Follow chosen edges (nodes, batch) up from targets: (batch, depth), then -1."""
        at = target + 1
        path = []
        for _ in self.levels:
            path.append(at)
            edge = chosen.gather(0, (at - 1).clamp(min=0).unsqueeze(0)).squeeze(0)
            at = torch.where(at > 0, self.parents.index_select(0, edge), at)
        # The root fills the front of short paths, and a stable sort takes it to the end.
        paths = torch.stack(path[::-1], dim=1)
        order = (paths == 0).to(torch.int8).argsort(dim=1, stable=True)
        return paths.gather(1, order) - 1


class _Level(PaddedGroups):
    """The edges into each of some nodes, and the parents that they come from."""

    parents: Tensor

    def __init__(self, groups: list[NDArray[np.intp]], parents: NDArray[np.intp]) -> None:
        super().__init__(groups)
        register_derived(self, "parents", parents[self.members.numpy()])

    def above(self, values: Tensor) -> Tensor:
        """Gather values (root and nodes, batch) of the parents: (width, nodes, batch)."""
        return values.index_select(0, self.parents).view(*self.shape, -1)
