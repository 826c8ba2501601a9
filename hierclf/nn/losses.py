"""Losses: the probabilities that a head gives to the targets -> a scalar."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn

from hierclf.nn.groups import PathSteps, register_derived
from hierclf.nn.head import SoftmaxHead
from hierclf.nn.linear import CSRRows

if TYPE_CHECKING:
    from hierclf.hierarchy import Hierarchy


class PathLoss(nn.Module):
    r"""Cross-entropy summed over the softmaxes on the path to the target.

    .. math:: L = -\frac{1}{B} \sum_{b=1}^{B} w_b \sum_{q} v_q \log P(m_q \mid q),

    where :math:`q` runs over the parents on the path to the target of sample
    :math:`b` and :math:`m_q` is the child of :math:`q` on that path: equation 7
    of [1]_, averaged over the samples of the batch. The weights of the levels :math:`v` are
    1 if not given. For a flat softmax the path is a single step and this is the usual
    cross-entropy.

    Parameters
    ----------
    level_weights : Tensor of shape (n_levels,), optional
        Weight of the step into each level, the top level first.
    steps : PathSteps, optional
        What divides the probabilities of nodes into steps, P(child | parent): for
        ``level_weights`` over a head that gives no steps of its own.
    label_smoothing : float
        Share of each step that is spread evenly over the group that the target is
        chosen from: its siblings and itself, or all leaves of a flat softmax.
    log_prior : Tensor of shape (nodes,), optional
        Added to the logits, so that the head itself learns what remains [2]_.

    References
    ----------
    .. [1] J. Schuurmans and F. Frasincar, "Global Hierarchical Neural Networks using
       Hierarchical Softmax", arXiv:2308.01210.
    .. [2] R. Plaud, M. Labeau, A. Saillenfest and T. Bonald, "Revisiting Hierarchical
       Text Classification: Inference and Metrics", CoNLL 2024.

    Examples
    --------
    Zero weights give each of the three siblings a third, and each of the two top nodes a
    half:

    >>> import torch
    >>> from hierclf import Hierarchy
    >>> from hierclf.nn import HierarchicalSoftmax
    >>> tree = Hierarchy.from_dict({"root": ["a", "b"], "b": ["c", "d", "e"]})
    >>> head = HierarchicalSoftmax(4, tree)
    >>> for parameter in head.parameters():
    ...     _ = torch.nn.init.zeros_(parameter)
    >>> hidden, target = torch.zeros(1, 4), torch.tensor(tree.node_indices(["d"]))
    >>> print(round(PathLoss()(head, hidden, target).item(), 4))  # log 2 + log 3
    1.7918
    >>> loss = PathLoss(level_weights=torch.tensor([1.0, 0.0]))
    >>> print(round(loss(head, hidden, target).item(), 4))  # log 2
    0.6931
    """

    level_weights: Tensor | None
    log_prior: Tensor | None
    steps: PathSteps | None

    def __init__(
        self,
        *,
        level_weights: Tensor | None = None,
        steps: PathSteps | None = None,
        label_smoothing: float = 0.0,
        log_prior: Tensor | None = None,
    ) -> None:
        super().__init__()
        if steps is not None and level_weights is None:
            raise ValueError("`steps` are what `level_weights` weigh: give both, or neither")
        self.steps = steps
        self.label_smoothing = label_smoothing
        self.register_buffer("level_weights", level_weights)
        self.register_buffer("log_prior", log_prior)

    def forward(
        self,
        head: SoftmaxHead,
        hidden: Tensor | CSRRows,
        target: Tensor,
        sample_weight: Tensor | None = None,
    ) -> Tensor:
        """Compute the loss of a batch.

        Parameters
        ----------
        head : SoftmaxHead
            The softmax.
        hidden : Tensor of shape (batch, in_features) or CSRRows
            What it reads.
        target : Tensor of shape (batch,), int64
            Node of each sample, as a position in ``hierarchy.nodes``.
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
            If the head has no steps for the weights of the levels, or cannot smooth
            labels.
        """
        if sample_weight is None and self.level_weights is None:
            nll = head.path_nll(
                hidden, target, label_smoothing=self.label_smoothing, log_prior=self.log_prior
            )
            return nll / len(target)
        log_proba = self._path_log_proba(head, hidden, target)
        if sample_weight is None:
            return log_proba.sum() / -len(target)
        return (log_proba.sum(dim=1) @ sample_weight) / -len(target)

    def _path_log_proba(
        self, head: SoftmaxHead, hidden: Tensor | CSRRows, target: Tensor
    ) -> Tensor:
        """Return the terms of each sample, (batch, steps)."""
        if self.level_weights is not None and self.steps is not None:
            # Siblings sum to their parent, so a softmax over them turns P(node), which
            # is all that a flat head gives, into P(node | parent).
            nodes = head(hidden, log_prior=self.log_prior).t()
            steps: Tensor = self.steps(nodes, target, self.label_smoothing)
            return steps * self.level_weights.index_select(0, self.steps.levels)
        steps = head.path_log_proba(
            hidden, target, label_smoothing=self.label_smoothing, log_prior=self.log_prior
        )
        if self.level_weights is None:
            return steps
        if head.step_levels is None:
            raise ValueError(
                f"level_weights weigh the steps of a path, and {type(head).__name__} gives the "
                "target in one: give `steps`, which PathSteps(hierarchy) makes of a tree"
            )
        return steps * self.level_weights.index_select(0, head.step_levels)


class SoftLabelLoss(nn.Module):
    r"""Cross-entropy to labels that are spread over the leaves near the target.

    .. math::

        L = -\sum_C y_A(C) \log P(C), \qquad y_A(C) \propto \exp(-\beta \, d(A, C)),

    where :math:`d` is the height of the lowest common ancestor of the target :math:`A`
    and the leaf :math:`C`, divided by that of the root [1]_. A target that is an inner
    node counts as one class beside the leaves that are not below it, at distance 0.

    Parameters
    ----------
    hierarchy : Hierarchy
        A tree.
    beta : float
        How fast the weight of a leaf falls with its distance; infinite is the usual
        cross-entropy.

    References
    ----------
    .. [1] L. Bertinetto et al., "Making Better Mistakes: Leveraging Class Hierarchies
       with Deep Networks", CVPR 2020.

    Examples
    --------
    >>> import torch
    >>> from hierclf import Hierarchy
    >>> from hierclf.nn import FlatSoftmax
    >>> tree = Hierarchy.from_dict({"root": ["a", "b"], "b": ["c", "d"]})
    >>> head = FlatSoftmax(1, tree)
    >>> for parameter in head.parameters():
    ...     _ = torch.nn.init.zeros_(parameter)
    >>> hidden, target = torch.zeros(1, 1), torch.tensor(tree.node_indices(["d"]))
    >>> loss = SoftLabelLoss(tree, beta=1.0)
    >>> print(round(loss(head, hidden, target).item(), 4))  # log 3, however it is spread
    1.0986
    """

    decay: Tensor
    total: Tensor
    parents: Tensor
    leaf_indices: Tensor

    def __init__(self, hierarchy: Hierarchy, beta: float) -> None:
        super().__init__()
        if not hierarchy.is_tree:
            raise ValueError(
                "SoftLabelLoss needs a tree, in which a label has one path; this hierarchy is a DAG"
            )
        # Seen from a node, the leaves that leave its path one step up weigh `decay`. What was
        # farther already weighs that much less than seen from the parent.
        parents = hierarchy.arrays.edge_parents
        heights = np.append(hierarchy.heights, hierarchy.depth)  # the last is the root's, at -1
        decay = np.exp(-beta * ((heights[parents] - heights[:-1]) / hierarchy.depth))
        n_below = np.append(hierarchy.leaf_counts, len(hierarchy.leaf_indices))
        beside = np.zeros(len(hierarchy) + 1)  # the summed weights of the leaves beside each node
        self.level_offsets = hierarchy.arrays.depth_offsets.tolist()
        for start, stop in pairwise(self.level_offsets):
            above = parents[start:stop]
            leaving = n_below[above] - n_below[start:stop]
            beside[start:stop] = decay[start:stop] * (beside[above] + leaving)
        register_derived(self, "decay", decay[:, None])
        register_derived(self, "total", 1 + beside[:-1])
        register_derived(self, "leaf_indices", hierarchy.leaf_indices)
        register_derived(self, "parents", parents)

    def forward(
        self,
        head: SoftmaxHead,
        hidden: Tensor | CSRRows,
        target: Tensor,
        sample_weight: Tensor | None = None,
    ) -> Tensor:
        """Compute the loss of a batch; see :meth:`PathLoss.forward`."""
        log_proba: Tensor = head(hidden).t()
        at_target = log_proba.gather(0, target.unsqueeze(0)).squeeze(0)
        beside = self._beside(log_proba).gather(0, target.unsqueeze(0)).squeeze(0)
        rows = (at_target + beside) / self.total.index_select(0, target)
        if sample_weight is not None:
            rows = rows * sample_weight
        loss: Tensor = rows.sum() / -len(target)
        return loss

    def _beside(self, log_proba: Tensor) -> Tensor:
        """Sum the weighted log-probabilities of the leaves beside each node, (nodes, batch).

        Once up the tree for the sums of the leaves below, and once down it.
        """
        leaves = log_proba.index_select(0, self.leaf_indices)
        own = torch.zeros_like(log_proba).index_copy(0, self.leaf_indices, leaves)
        sizes = [stop - start for start, stop in pairwise(self.level_offsets)]
        below = list(torch.split(own, sizes))
        for depth in range(len(below) - 1, 0, -1):
            above = below[depth - 1]
            below[depth - 1] = above.index_add(0, self._above(depth), below[depth])
        found: list[Tensor] = []
        for depth, sums in enumerate(below):
            start, stop = self.level_offsets[depth : depth + 2]
            if depth == 0:
                leaving = leaves.sum(0) - sums
            else:
                seen = found[-1] + below[depth - 1]  # from the parent, and at or below it
                leaving = seen.index_select(0, self._above(depth)) - sums
            found.append(self.decay[start:stop] * leaving)
        return torch.cat(found)

    def _above(self, depth: int) -> Tensor:
        """Return the places of the parents of the nodes of a level in the level above."""
        start, stop = self.level_offsets[depth : depth + 2]
        above: Tensor = self.parents[start:stop] - self.level_offsets[depth - 1]
        return above
