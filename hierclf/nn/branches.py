"""The hierarchical softmax with an independent hidden layer for each branch of a tree."""

from __future__ import annotations

from itertools import accumulate
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from hierclf.nn.dropout import Dropout
from hierclf.nn.groups import RaggedGroups, ancestors_by_level, register_derived
from hierclf.nn.growth import RowMap, map_edges
from hierclf.nn.linear import CSRRows, Linear
from hierclf.nn.network import ACTIVATIONS
from hierclf.nn.softmax import HierarchicalSoftmax, add_prior

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from hierclf.hierarchy import Hierarchy

    _Indices = NDArray[np.intp]

_NONE = np.zeros(0, dtype=np.intp)


class BranchedSoftmax(HierarchicalSoftmax):
    r"""A :class:`HierarchicalSoftmax` with a hidden layer of its own for each top-level branch.

    The softmax under the root reads the shared hidden state :math:`h`. The softmaxes below a
    node :math:`b` of the top level read the layer of its branch,

    .. math:: h_b = a(V_b h + v_b),

    where :math:`a` is the activation function. Probabilities are multiplied along the path as
    ever. A sample trains what is shared, the softmax under the root, and the layer and the
    softmaxes of its own branch; no other branch has a gradient from it. This is to a softmax at
    every inner node what HiMTL [1]_ is to several labels per sample: one task for each branch,
    over a shared encoder.

    A node of the top level that has no children has no layer, so that over a hierarchy of one
    level this is the :class:`HierarchicalSoftmax`, of the same initial weights.

    Parameters
    ----------
    in_features : int
        Size of the hidden state.
    hierarchy : Hierarchy
        A tree.
    branch_size : int
        Units of the layer of each branch.
    activation : {"identity", "logistic", "tanh", "relu", "gelu"}
        Follows the layer of each branch.
    dropout : float
        Probability with which each unit of these layers is dropped in training.
    linear : type
        Class of the affine maps that read the hidden state: :class:`Linear`, or
        :class:`FeatureLinear` where that is the features themselves.
    **kwargs
        Passed to it.

    Attributes
    ----------
    linear : torch.nn.Module
        Maps a hidden state to one logit for each node of the top level.
    branches : torch.nn.Module
        Maps a hidden state to the units of all branches, branch after branch, before the
        activation.
    below : Linear
        Has a row for each node below the top level, which reads the units of its branch.

    Raises
    ------
    ValueError
        If the hierarchy is not a tree.

    References
    ----------
    .. [1] "HiMTL: Hierarchy-aware Multi-Task Learning for Hierarchical Text Classification",
       ACL Rolling Review, February 2025, https://openreview.net/forum?id=5BKM5QdnWw.

    Examples
    --------
    A sample of the branch "a" has no gradient for the units of the branch "b":

    >>> import torch
    >>> from hierclf import Hierarchy
    >>> from hierclf.nn import BranchedSoftmax
    >>> tree = Hierarchy.from_dict({"a": ["c", "d"], "b": ["e", "f"]})
    >>> head = BranchedSoftmax(4, tree, branch_size=2, activation="tanh")
    >>> target = torch.tensor(tree.node_indices(["c"]))
    >>> head.path_nll(torch.randn(1, 4), target).backward()
    >>> (head.branches.weight.grad != 0).any(dim=1).tolist()
    [True, True, False, False]
    """

    branch: Tensor

    def __init__(
        self,
        in_features: int,
        hierarchy: Hierarchy,
        *,
        branch_size: int,
        activation: str = "relu",
        dropout: float = 0.0,
        linear: type[Linear] = Linear,
        **kwargs: Any,
    ) -> None:
        check_has_branches(hierarchy)
        super().__init__(in_features, hierarchy, linear=linear, **kwargs)
        self.search = None  # it reads one matrix of weights, and one hidden state
        n_top, self.branch_size = self._count_rows(hierarchy), int(branch_size)
        roots = branch_roots(hierarchy)
        # The nodes of the top level without children have none: any number will do.
        branch = np.searchsorted(roots, _top_nodes(hierarchy)).clip(max=max(len(roots) - 1, 0))
        self.n_branches = len(roots)
        self.branches = linear(in_features, self.n_branches * self.branch_size, **kwargs)
        self.below = Linear(self.branch_size, len(hierarchy) - n_top, **kwargs)
        drop = [Dropout(dropout)] if dropout else []
        self.activation = nn.Sequential(ACTIVATIONS[activation](), *drop)
        by_branch = np.argsort(branch[n_top:], kind="stable")
        ends = np.cumsum(np.bincount(branch[n_top:], minlength=self.n_branches))
        self.members = RaggedGroups(np.split(by_branch, ends[:-1]) if self.n_branches else [])
        register_derived(self, "branch", branch)

    @property
    def training_weights(self) -> float | None:  # noqa: D102, inherited
        weight = self.linear.weight
        if self.linear.row_dim:  # what sparse rows are multiplied with depends on them
            return None
        return weight.shape[1] * (len(weight) + self.branch_size) + self.below.weight.numel()

    def _count_rows(self, hierarchy: Hierarchy) -> int:
        return int(hierarchy.arrays.depth_offsets[1])

    def path_log_proba(  # noqa: D102, inherited
        self,
        hidden: Tensor | CSRRows,
        target: Tensor,
        *,
        label_smoothing: float = 0.0,
        log_prior: Tensor | None = None,
    ) -> Tensor:
        if not self.n_branches:
            return super().path_log_proba(
                hidden, target, label_smoothing=label_smoothing, log_prior=log_prior
            )
        # All that is read of a column are the softmaxes on the path to its target, and those
        # belong to the branch whose units the column is computed of.
        units = self.activation(self._own_units(hidden, self.branch.index_select(0, target)))
        logits = torch.cat([self.linear(hidden).t(), self.below(units).t()])
        steps: Tensor = self.steps(add_prior(logits, log_prior), target, label_smoothing)
        return steps

    def map_rows(self, before: Hierarchy, after: Hierarchy) -> dict[str, RowMap]:
        """Map the rows as every softmax at inner nodes does, and the branches by their names.

        A new branch has a layer as it is drawn.

        Parameters
        ----------
        before, after : Hierarchy
            The hierarchies of the other head and of this one.

        Returns
        -------
        dict of str to RowMap

        Raises
        ------
        ValueError
            If a node is in another branch than it was, whose units mean something else to its
            weights.
        """
        tops = [dict(zip(h.nodes, _top_nodes(h).tolist(), strict=True)) for h in (before, after)]
        for node, top in tops[1].items():
            was, now = before.nodes[tops[0].get(node, 0)], after.nodes[top]
            if node in tops[0] and was != now:
                raise ValueError(
                    f"each branch has a hidden layer of its own, and {node!r} was in the branch "
                    f"{was!r} and is now in {now!r}, whose layer its weights do not know: keep "
                    "each node in its branch, or fit anew"
                )
        rows = map_edges(before, after)
        ends, ends_before = self._count_rows(after), self._count_rows(before)
        old = {before.nodes[i]: number for number, i in enumerate(branch_roots(before).tolist())}
        new = [after.nodes[i] for i in branch_roots(after).tolist()]
        carried = [(number, old[name]) for number, name in enumerate(new) if name in old]
        numbers, sources = np.array(carried, dtype=np.intp).reshape(-1, 2).T
        return {
            "linear": rows.part(slice(0, ends), slice(0, ends_before)),
            "branches": RowMap(
                len(new) * self.branch_size,
                self._units_of(numbers),
                self._units_of(sources),
                _NONE,
                _NONE,
                _NONE,
                _NONE,
                is_drawn=True,
            ),
            "below": rows.part(slice(ends, len(after)), slice(ends_before, len(before))),
        }

    def _units_of(self, branches: _Indices) -> _Indices:
        return (branches[:, None] * self.branch_size + np.arange(self.branch_size)).ravel()

    def edge_rows(self) -> tuple[Tensor, ...]:  # noqa: D102, inherited
        return self.linear.by_output(), self.below.by_output()

    def _logits(self, hidden: Tensor | CSRRows, log_prior: Tensor | None) -> Tensor:
        logits: Tensor = self.linear(hidden).t()
        if self.n_branches:
            units = self.activation(self.branches(hidden))
            units = torch.unflatten(units, 1, (self.n_branches, self.branch_size))
            below = self.members.multiply(self.below.weight, units.permute(1, 2, 0))
            logits = torch.cat([logits, below + self.below.bias.unsqueeze(1)])
        return add_prior(logits, log_prior)

    def _own_units(self, hidden: Tensor | CSRRows, branch: Tensor) -> Tensor:
        """Compute the units of one branch for each sample, before the activation.

        For dense rows the others are not computed. A sparse row is looked up once, whatever the
        width of what is found.
        """
        shape = (self.n_branches, self.branch_size)
        if not isinstance(hidden, Tensor):
            units = torch.unflatten(self.branches(hidden), 1, shape)
            return units[torch.arange(len(branch), device=branch.device), branch]
        weight = torch.unflatten(self.branches.by_output(), 0, shape)
        bias = self.branches.bias.view(shape)
        own: Tensor = _BranchProduct.apply(hidden, weight, bias, branch)  # type: ignore[no-untyped-call]
        return own


class _BranchProduct(torch.autograd.Function):
    """Rows times the weights of their own branches, (branches, size, features).

    A loop over the branches of a batch, each with one product forward and two back. For 100
    branches and 128 rows a training step takes half the time that it takes with one product for
    all branches, and no more for three. As several products that torch differentiates it would
    take several times as long, since each has a gradient of all the weights.
    """

    @staticmethod
    def forward(ctx: Any, hidden: Tensor, weight: Tensor, bias: Tensor, branch: Tensor) -> Tensor:
        order = branch.argsort()
        counts = torch.bincount(branch, minlength=len(weight)).tolist()
        ends = list(accumulate(counts, initial=0))
        parts = [(i, slice(ends[i], ends[i + 1])) for i, count in enumerate(counts) if count]
        rows = hidden.index_select(0, order)
        products = rows.new_empty(len(rows), weight.shape[1])
        for i, part in parts:
            torch.addmm(bias[i], rows[part], weight[i].t(), out=products[part])
        place = torch.empty_like(order)
        place[order] = torch.arange(len(order), device=order.device)
        ctx.save_for_backward(rows, weight, branch, order, place)
        ctx.parts = parts
        return products.index_select(0, place)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, Tensor, Tensor, None]:
        rows, weight, branch, order, place = ctx.saved_tensors
        grad = grads[0].index_select(0, order)
        of_rows = torch.empty_like(rows) if ctx.needs_input_grad[0] else None
        of_weight = torch.zeros_like(weight)
        of_bias = grad.new_zeros(weight.shape[:2]).index_add_(0, branch, grads[0])
        for i, part in ctx.parts:
            torch.mm(grad[part].t(), rows[part], out=of_weight[i])
            if of_rows is not None:
                torch.mm(grad[part], weight[i], out=of_rows[part])
        of_hidden = None if of_rows is None else of_rows.index_select(0, place)
        return of_hidden, of_weight, of_bias, None


def branch_roots(hierarchy: Hierarchy) -> _Indices:
    """List the nodes of the top level that have children, in order."""
    arrays = hierarchy.arrays
    parents = np.unique(arrays.edge_parents)
    roots: _Indices = parents[(parents >= 0) & (parents < arrays.depth_offsets[1])]
    return roots


def check_has_branches(hierarchy: Hierarchy) -> None:
    """Refuse a DAG, whose branches may share nodes.

    Raises
    ------
    ValueError
        If a node has several parents. The message names it.
    """
    if hierarchy.is_tree:
        return
    several = int(np.argmax(np.diff(hierarchy.arrays.parent_offsets) > 1))
    node = hierarchy.nodes[several]
    raise ValueError(
        "each branch has a hidden layer of its own, which the softmaxes in it read, so that a node "
        f"must be in one branch, and {node!r} has the parents "
        f"{', '.join(map(repr, hierarchy.parents(node)))}: give a tree, or branch_hidden_size=None"
    )


def _top_nodes(hierarchy: Hierarchy) -> _Indices:
    """Return the node of the top level that each node of a tree is below, or is."""
    tops: _Indices = ancestors_by_level(hierarchy, np.zeros(1, dtype=np.intp))[0]
    return tops
