"""HiMTL: a head for each branch of the hierarchy, over the same hidden state."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Literal, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from hierclf.hierarchy import Hierarchy
from hierclf.nn._logits import mean_logit
from hierclf.nn._options import check_option
from hierclf.nn.constraint import MaxConstraint
from hierclf.nn.groups import register_derived
from hierclf.nn.linear import CSRRows, Linear
from hierclf.nn.node_head import (
    LinearNodeHead,
    NodeHead,
    NodeScores,
    OutputRows,
    TrainedOutput,
)

METHODS = ("projection", "masking")
WEIGHTINGS = ("branch", "label")
COMBINATIONS = ("max", "sum", "mean")


class Branch(NamedTuple):
    """Some nodes of a hierarchy, as one of their own.

    Attributes
    ----------
    hierarchy : Hierarchy
        The nodes, and the edges between them.
    columns : ndarray of shape (n_nodes,), dtype intp
        Their positions in the nodes of the whole hierarchy.
    """

    hierarchy: Hierarchy
    columns: NDArray[np.intp]


def split_hierarchy(
    hierarchy: Hierarchy, split_depth: int = 1
) -> tuple[Branch | None, list[Branch]]:
    """Divide a hierarchy into the branches that start at one depth.

    Parameters
    ----------
    hierarchy : Hierarchy
        A tree or a directed acyclic graph.
    split_depth : int
        Depth of the nodes that the branches start with; that of the top level is 1. In a DAG
        depth is the longest way from the root.

    Returns
    -------
    above : Branch or None
        The nodes less deep, if there are any.
    branches : list of Branch
        For each node at the depth, itself and all that is below it. In a DAG a node may be in
        several branches.

    Raises
    ------
    ValueError
        If no node is as deep.

    Examples
    --------
    >>> from hierclf import Hierarchy
    >>> from hierclf.nn.himtl import split_hierarchy
    >>> tree = Hierarchy.from_dict({"animal": ["cat", "dog"], "plant": []})
    >>> above, branches = split_hierarchy(tree)
    >>> [branch.hierarchy.nodes for branch in branches]
    [('animal', 'cat', 'dog'), ('plant',)]
    >>> branches[0].columns
    array([0, 2, 3])
    """
    if not 1 <= split_depth <= hierarchy.n_levels:
        raise ValueError(
            f"split_depth must be from 1 to the {hierarchy.n_levels} levels of the hierarchy, "
            f"got {split_depth}"
        )
    depths = hierarchy.arrays.depths
    starts = np.flatnonzero(depths == split_depth)
    # Which nodes are at or below which of the starts.
    node, start = hierarchy.ancestor_pairs(np.arange(len(depths)))
    is_start = depths[start] == split_depth
    node, start = node[is_start], start[is_start]
    order = np.argsort(start, kind="stable")
    bounds = np.searchsorted(start[order], starts)
    inside = np.split(node[order], bounds[1:])
    higher = np.flatnonzero(depths < split_depth)
    above = _branch(hierarchy, higher) if len(higher) else None
    return above, [_branch(hierarchy, members) for members in inside]


def _branch(hierarchy: Hierarchy, members: NDArray[np.intp]) -> Branch:
    """Make a hierarchy of some nodes; those whose parents are not among them are at its top."""
    arrays, nodes = hierarchy.arrays, hierarchy.nodes
    kept = np.zeros(len(nodes) + 1, dtype=bool)
    kept[members] = True  # the last item is the root, at -1, which is no member
    inner = kept[arrays.edge_parents] & kept[arrays.edge_children]
    parents, children = arrays.edge_parents[inner], arrays.edge_children[inner]
    tops = np.setdiff1d(members, children)
    edges = [(Hierarchy.ROOT, nodes[i]) for i in tops.tolist()]
    pairs = zip(parents.tolist(), children.tolist(), strict=True)
    edges += [(nodes[parent], nodes[child]) for parent, child in pairs]
    part = Hierarchy(edges, root=Hierarchy.ROOT)
    position = {nodes[i]: i for i in members.tolist()}
    return Branch(part, np.array([position[node] for node in part.nodes], dtype=np.intp))


def check_combination(hierarchy: Hierarchy, split_depth: int, combine: str) -> None:
    """Refuse to add up the probabilities of a node that several branches hold.

    Parameters
    ----------
    hierarchy : Hierarchy
        The classes.
    split_depth, combine
        As for :class:`HiMTLHead`.

    Raises
    ------
    ValueError
        If a node is in several branches. The message names it.
    """
    if combine != "sum":
        return
    _, branches = split_hierarchy(hierarchy, split_depth)
    owners = np.bincount(
        np.concatenate([branch.columns for branch in branches]), minlength=len(hierarchy)
    )
    if owners.max() > 1:
        node = hierarchy.nodes[int(owners.argmax())]
        raise ValueError(
            f"combine='sum' adds up the probabilities of {node!r}, which is in {owners.max()} "
            "branches, to more than 1: use 'max' or 'mean'"
        )


class HiMTLHead(NodeHead):
    r"""A head for each branch, each trained on the nodes of its branch alone [1]_.

    A branch is a node at the depth ``split_depth`` and all that is below it. A sample without
    a label in a branch is one on which all nodes of it are wrong, and is trained on as any
    other one. Nodes above the branches have a linear head of their own, which counts as a branch.

    With "projection" the head of a branch is over its nodes. With "masking" each head is over
    all nodes, and those outside of its branch count neither in training nor in prediction. So
    with "masking" the layers of a head may use the whole graph, and there are as many times more
    weights as there are branches.

    .. math:: L = \sum_i \frac{w_i}{|V_i|} \sum_{v \in V_i} l_{iv}

    with ``w_i = 1`` weights each branch the same ("branch"), as a sum of the means of projected
    heads does, and with ``w_i = |V_i| / N`` each node ("label"), as a sum of the means of masked
    heads does.

    Parameters
    ----------
    in_features : int
        Size of the hidden state.
    hierarchy : Hierarchy
        A tree or a directed acyclic graph, of N nodes.
    heads : sequence of callable
        For each branch, in node order, what makes its head, called as :class:`LinearNodeHead`
        is: with the hierarchy of the branch, or with the whole one if the
        method is "masking".
    split_depth : int
        Depth of the nodes that the branches start with.
    method : {"projection", "masking"}
        What the heads are over.
    weighting : {"branch", "label"}
        What counts the same. None is as in [1]_: "branch" with "projection", and "label" with
        "masking".
    combine : {"max", "sum", "mean"}
        What is predicted of a node that is in several branches, as it may be in a DAG: the
        largest of its probabilities, or their mean. "sum" is refused there. In a tree they are
        the same.
    linear, generator, dtype, coherent
        As for :class:`LinearNodeHead`.

    Raises
    ------
    ValueError
        If there are not as many heads as branches, no node is as deep as ``split_depth``, or
        ``combine`` is "sum" and a node is in several branches.

    References
    ----------
    .. [1] "HiMTL: Hierarchy-aware Multi-Task Learning for Hierarchical Text Classification",
       ACL Rolling Review 2025, https://openreview.net/forum?id=5BKM5QdnWw, equation 5.

    Examples
    --------
    >>> import torch
    >>> from hierclf import Hierarchy
    >>> from hierclf.nn import HiMTLHead, LinearNodeHead
    >>> tree = Hierarchy.from_dict({"animal": ["cat", "dog"], "plant": []})
    >>> head = HiMTLHead(4, tree, heads=[LinearNodeHead, LinearNodeHead])
    >>> [output.columns.tolist() for output in head.scores(torch.zeros(1, 4)).trained]
    [[0, 2, 3], [1]]
    """

    owners: Tensor
    log_shares: Tensor
    parts: Sequence[_Part]
    heads: Sequence[NodeHead]

    def __init__(
        self,
        in_features: int,
        hierarchy: Hierarchy,
        *,
        heads: Sequence[Callable[..., NodeHead]],
        split_depth: int = 1,
        method: Literal["projection", "masking"] = "projection",
        weighting: Literal["branch", "label"] | None = None,
        combine: Literal["max", "sum", "mean"] = "max",
        linear: type[Linear] = Linear,
        generator: torch.Generator | None = None,
        dtype: torch.dtype | None = None,
        coherent: bool = False,
    ) -> None:
        super().__init__(hierarchy, coherent=coherent)
        check_option("method", method, METHODS)
        if weighting is None:
            weighting = "branch" if method == "projection" else "label"
        check_option("weighting", weighting, WEIGHTINGS)
        check_option("combine", combine, COMBINATIONS)
        check_combination(hierarchy, split_depth, combine)
        above, branches = split_hierarchy(hierarchy, split_depth)
        if len(heads) != len(branches):
            raise ValueError(f"there are {len(branches)} branches, and {len(heads)} heads")
        self.n_nodes, self.weighting, self.combine = len(hierarchy), weighting, combine
        parts, makers = list(branches), list(heads)
        masked = [method == "masking"] * len(parts)
        if above is not None:
            parts, makers, masked = [above, *parts], [LinearNodeHead, *makers], [False, *masked]
        self.parts = nn.ModuleList(  # type: ignore[assignment]
            _Part(part, hierarchy if is_masked else None)
            for part, is_masked in zip(parts, masked, strict=True)
        )
        self.heads = nn.ModuleList(  # type: ignore[assignment]
            make(
                in_features,
                hierarchy if is_masked else part.hierarchy,
                linear=linear,
                generator=generator,
                dtype=dtype,
            )
            for make, part, is_masked in zip(makers, parts, masked, strict=True)
        )
        self._register_owners([part.columns for part in parts])

    def _register_owners(self, columns: list[NDArray[np.intp]]) -> None:
        """Keep where in the scores of all parts, side by side, those of each node are."""
        node = np.concatenate(columns)
        order = np.argsort(node, kind="stable")
        counts = np.bincount(node, minlength=self.n_nodes)
        starts = np.cumsum(counts) - counts
        slot = np.arange(len(node)) - starts[node[order]]
        owners = np.zeros((self.n_nodes, counts.max()), dtype=np.intp)
        log_shares = np.full(owners.shape, -math.inf)
        owners[node[order], slot] = order
        log_shares[node[order], slot] = -np.log(counts[node[order]])
        register_derived(self, "owners", owners)
        # In float32, which widens no logits.
        register_derived(self, "log_shares", log_shares.astype(np.float32))

    def scores(self, hidden: Tensor | CSRRows) -> NodeScores:  # noqa: D102, inherited
        logits: list[Tensor] = []
        trained: list[TrainedOutput] = []
        penalty: Tensor | None = None
        for part, head in self._both():
            found: NodeScores = head.scores(hidden)
            logits.append(part.of_part(found.logits))
            factor = self._factor(part)
            outputs = (part.as_trained(output, factor) for output in found.trained)
            trained += [output for output in outputs if output is not None]
            if found.penalty is not None:
                if part.masked:
                    raise ValueError(
                        f"the penalty of {type(head).__name__} looks at all nodes, and "
                        "method='masking' hides those outside of a branch: use 'projection'"
                    )
                own = found.penalty * factor
                penalty = own if penalty is None else penalty + own
        return NodeScores(self._combined(logits), tuple(trained), penalty)

    def logits(self, hidden: Tensor | CSRRows) -> Tensor:  # noqa: D102, inherited
        return self._combined([part.of_part(head.logits(hidden)) for part, head in self._both()])

    def _both(self) -> Iterator[tuple[_Part, NodeHead]]:
        return zip(self.parts, self.heads, strict=True)

    def _factor(self, part: _Part) -> float:
        """Return what the mean over the outputs of a head counts."""
        n_part = len(part.columns)
        if self.weighting == "label":
            return 1.0 if part.masked else n_part / self.n_nodes
        return self.n_nodes / n_part if part.masked else 1.0

    def _combined(self, logits: list[Tensor]) -> Tensor:
        """Put the logits of all parts together: (batch, N)."""
        both = torch.cat(logits, dim=1)
        if self.owners.shape[1] == 1:
            return both.index_select(1, self.owners.flatten())
        of_nodes = both.index_select(1, self.owners.flatten()).view(len(both), *self.owners.shape)
        if self.combine == "mean":
            return mean_logit(of_nodes, self.log_shares, 2)
        return of_nodes.masked_fill(self.log_shares == -math.inf, -math.inf).amax(2)

    def output_rows(self) -> tuple[OutputRows, ...]:  # noqa: D102, inherited
        return tuple(rows for _, head in self._both() for rows in head.output_rows())


class _Part(nn.Module):
    """A part of the hierarchy that has a head of its own.

    Parameters
    ----------
    part : Branch
        The part.
    whole : Hierarchy or None
        What the head is over, if it is masked; None: the part.
    """

    columns: Tensor
    is_inside: Tensor

    def __init__(self, part: Branch, whole: Hierarchy | None) -> None:
        super().__init__()
        self.masked = whole is not None
        register_derived(self, "columns", part.columns)
        if whole is not None:
            self.constraint = MaxConstraint(part.hierarchy)
            is_inside = np.zeros(len(whole), dtype=bool)
            is_inside[part.columns] = True
            register_derived(self, "is_inside", is_inside)

    def of_part(self, logits: Tensor) -> Tensor:
        """Take the columns of the part from what its head predicts."""
        return logits.index_select(1, self.columns) if self.masked else logits

    def as_trained(self, output: TrainedOutput, factor: float) -> TrainedOutput | None:
        """Turn an output of the head into one over the whole hierarchy, if anything of it is."""
        logits, columns, weight, constraint = output
        n_outputs = logits.shape[1]
        if self.masked:
            kept = self.columns
            if columns is not None:
                kept = self.is_inside.index_select(0, columns).nonzero().flatten()
            if not len(kept):
                return None
            logits = logits.index_select(1, kept)
            weight = weight if weight is None else weight.index_select(0, kept)
            columns = kept if columns is None else columns.index_select(0, kept)
            # What is left of a part of the nodes may not be closed.
            constraint = self.constraint if constraint and kept is self.columns else None
        else:
            columns = self.columns if columns is None else self.columns.index_select(0, columns)
        share = factor * logits.shape[1] / n_outputs
        if weight is not None:
            weight = weight * factor
        elif not math.isclose(share, 1):
            weight = logits.new_full((logits.shape[1],), factor / n_outputs)
        return TrainedOutput(logits, columns, weight, constraint)
