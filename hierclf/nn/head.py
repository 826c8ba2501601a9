"""What every head has: the contract between a head, the network, its loss and predictions."""

from __future__ import annotations

from abc import ABC, abstractmethod
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, ClassVar, NamedTuple

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

if TYPE_CHECKING:
    from hierclf.hierarchy import Hierarchy
    from hierclf.nn.growth import RowMap
    from hierclf.nn.linear import CSRRows, Linear

# Values of all leaves that are held at once while the likeliest are looked for, and the fewest
# rows whose they are.
_VALUES, _LEAST_ROWS = 1 << 18, 16


class TopLeaves(NamedTuple):
    """The likeliest leaves of some samples.

    Attributes
    ----------
    positions : Tensor of shape (batch, k), int64
        Positions in ``hierarchy.leaves``, the likeliest first.
    log_proba : Tensor of shape (batch, k)
        Their log-probabilities.
    n_dense : int
        For how many of the samples all leaves were looked at.
    """

    positions: Tensor
    log_proba: Tensor
    n_dense: int


class Head(nn.Module, ABC):
    """Turns the last hidden state into probabilities of the nodes of a hierarchy.

    A head is made by ``Head(in_features, hierarchy, linear=..., generator=..., dtype=...)``,
    where ``linear`` is the class of an affine map that can read what the hidden state is. This
    is all that every head has. A :class:`SoftmaxHead` is for one label per sample, and a
    :class:`~hierclf.nn.NodeHead` for several.

    Attributes
    ----------
    one_label : bool
        Whether a sample has one label, so that the probabilities of the leaves sum to 1.
    """

    one_label: ClassVar[bool]

    @property
    def training_weights(self) -> float | None:
        """How many weights training multiplies with a sample; None: with all."""
        return None

    def moved_by(self, optimizer: Optimizer) -> AbstractContextManager[None]:
        """Let backward passes move the weights themselves, where head and optimiser can.

        Parameters
        ----------
        optimizer : torch.optim.Optimizer
            What moves the weights. It is asked to as always, but may find nothing left to do.

        Returns
        -------
        context manager
            Within it nobody looks at the gradients of the head.
        """
        return nullcontext()

    @abstractmethod
    def forward(self, hidden: Tensor | CSRRows) -> Tensor:
        """Compute the log-probability of every node.

        Parameters
        ----------
        hidden : Tensor of shape (batch, in_features) or CSRRows
            Hidden states.

        Returns
        -------
        Tensor of shape (batch, nodes)
            Columns in the order of ``hierarchy.nodes``.
        """


class SoftmaxHead(Head):
    """A head whose leaves are alternatives: a sample has one label, and all leaves sum to 1.

    Network, losses and predictions ask a head what it can do, and never which class it is of.

    **Training** calls :meth:`path_log_proba` or its sum, :meth:`path_nll`, and
    :meth:`forward` for losses that look at all nodes, with a batch of targets. A target is
    the position of a node in ``hierarchy.nodes``, one int64 for each sample.

    **Prediction** calls :meth:`forward` for all nodes, :meth:`leaf_log_proba` for the
    leaves, :meth:`leaf_scores` where only their order counts, :meth:`topk_leaves` for
    the likeliest, and in a DAG :meth:`likeliest_path`. Everything is a natural logarithm,
    and samples are rows.

    **Growing** asks :meth:`map_rows`, and carries the weights of the affine maps over.

    Attributes
    ----------
    linear : torch.nn.Module
        The affine map that reads the hidden state. As a rule it has all the parameters of the
        head.
    gives_steps : bool
        Whether the columns of :meth:`path_log_proba` are the steps of the path,
        ``log P(child | parent)``. If not, there is one column, ``log P(target)``.
    smooths_labels : bool
        Whether :meth:`path_log_proba` takes ``label_smoothing``, whatever the hierarchy.
    descends_sparse : bool
        Whether a head that searches can go from the root to a leaf with sparse rows, too.
    step_levels : Tensor of shape (n_steps,) or None
        The level into which each column is a step, where ``gives_steps``.
    """

    one_label: ClassVar[bool] = True

    linear: Linear

    gives_steps: ClassVar[bool] = False
    smooths_labels: ClassVar[bool] = True
    descends_sparse: ClassVar[bool] = False

    @property
    def step_levels(self) -> Tensor | None:
        """The level into which each column of :meth:`path_log_proba` is a step."""
        return None

    @abstractmethod
    def map_rows(self, before: Hierarchy, after: Hierarchy) -> dict[str, RowMap]:
        """Tell from which rows of a head over another hierarchy those of this one start.

        Parameters
        ----------
        before, after : Hierarchy
            The hierarchies of the other head and of this one.

        Returns
        -------
        dict of str to RowMap
            One of ``hierclf.nn.growth`` for each affine map, by the name of its attribute.

        Raises
        ------
        ValueError
            If there are rows that cannot be carried over.
        """

    def edge_rows(self) -> tuple[Tensor, ...]:
        """Return the weights with a row for each edge of the hierarchy, less the biases.

        Returns
        -------
        tuple of Tensors
            One after another their rows are those of ``hierarchy.edges``, in a tree those of
            ``hierarchy.nodes``; no softmax is divided among them. Empty where no rows stand for
            edges.
        """
        return ()

    @abstractmethod
    def forward(self, hidden: Tensor | CSRRows, *, log_prior: Tensor | None = None) -> Tensor:
        """Compute the log-probability of every node.

        Parameters
        ----------
        hidden : Tensor of shape (batch, in_features) or CSRRows
            Hidden states.
        log_prior : Tensor of shape (nodes,), optional
            Added to the logits of the nodes that have one.

        Returns
        -------
        Tensor of shape (batch, nodes)
            Columns in the order of ``hierarchy.nodes``.
        """

    @abstractmethod
    def leaf_log_proba(self, hidden: Tensor | CSRRows) -> Tensor:
        """Compute the log-probability of every leaf.

        Parameters
        ----------
        hidden : Tensor of shape (batch, in_features) or CSRRows
            Hidden states.

        Returns
        -------
        Tensor of shape (batch, leaves)
            Columns in the order of ``hierarchy.leaves``.
        """

    def leaf_scores(self, hidden: Tensor | CSRRows) -> Tensor:
        """Rank the leaves of each sample: :meth:`leaf_log_proba`, up to a constant per sample.

        Parameters
        ----------
        hidden : Tensor of shape (batch, in_features) or CSRRows
            Hidden states.

        Returns
        -------
        Tensor of shape (batch, leaves)
            Columns in the order of ``hierarchy.leaves``.
        """
        return self.leaf_log_proba(hidden)

    def searches(self, k: int) -> bool:
        """Tell whether :meth:`topk_leaves` finds k leaves without a look at all, as a rule.

        Parameters
        ----------
        k : int
            How many leaves.

        Returns
        -------
        bool
            If not, :meth:`leaf_scores` is as good a way to the likeliest leaf.
        """
        return False

    def topk_leaves(self, hidden: Tensor | CSRRows, k: int) -> TopLeaves:
        """Find the k likeliest leaves of each sample.

        Parameters
        ----------
        hidden : Tensor of shape (batch, in_features) or CSRRows
            Hidden states; the batch may be large, and is cut where that is needed.
        k : int
            How many leaves.

        Returns
        -------
        TopLeaves
            Positions in ``hierarchy.leaves`` and log-probabilities, both (batch, k), and for
            how many samples all leaves were looked at. Of equally likely leaves any may come
            first. No gradient goes back from the log-probabilities.

        Raises
        ------
        ValueError
            If ``k`` is less than 1 or more than there are leaves.
        """
        n_rows = len(hidden) if isinstance(hidden, Tensor) else len(hidden.offsets) - 1
        parts: list[tuple[Tensor, Tensor]] = []
        start, step = 0, _LEAST_ROWS
        while start < n_rows or not parts:
            some = slice(start, start + step)
            with torch.no_grad():
                log_proba = self.leaf_log_proba(
                    hidden[some] if isinstance(hidden, Tensor) else hidden.rows(some)
                )
                log_proba = log_proba.contiguous()  # to sort another takes twice as long
                n_leaves = log_proba.shape[1]
                if not 1 <= k <= n_leaves:
                    raise ValueError(f"k={k}, and there are {n_leaves} leaves to choose from")
                best = log_proba.max(1, keepdim=True) if k == 1 else log_proba.topk(k)
            parts.append((best[1], best[0]))
            start, step = some.stop, max(_LEAST_ROWS, _VALUES // n_leaves)
        positions, values = (torch.cat(part) for part in zip(*parts, strict=True))
        return TopLeaves(positions, values, n_rows)

    @abstractmethod
    def path_log_proba(
        self,
        hidden: Tensor | CSRRows,
        target: Tensor,
        *,
        label_smoothing: float = 0.0,
        log_prior: Tensor | None = None,
    ) -> Tensor:
        """Compute what training needs: the log-probability of the path to each target.

        Parameters
        ----------
        hidden : Tensor of shape (batch, in_features) or CSRRows
            Hidden states.
        target : Tensor of shape (batch,), int64
            Node of each sample, as a position in ``hierarchy.nodes``.
        label_smoothing : float
            Share of the mean over all nodes of the softmax in each column.
        log_prior : Tensor of shape (nodes,), optional
            Added to the logits of the nodes that have one.

        Returns
        -------
        Tensor of shape (batch, n_steps)
            The steps into the levels ``step_levels`` where the head ``gives_steps``, 0
            below the target; else one column. Its sum over a row is ``log P(target)``.

        Raises
        ------
        ValueError
            If asked for ``label_smoothing`` that the head has no form of.
        """

    def path_nll(
        self,
        hidden: Tensor | CSRRows,
        target: Tensor,
        *,
        label_smoothing: float = 0.0,
        log_prior: Tensor | None = None,
    ) -> Tensor:
        """Sum :meth:`path_log_proba` over steps and samples, and change its sign.

        A head may know a faster way to the sum than by its terms.

        Parameters
        ----------
        hidden, target, label_smoothing, log_prior
            As for :meth:`path_log_proba`.

        Returns
        -------
        Tensor
            A scalar, in nats.

        Raises
        ------
        ValueError
            If asked for ``label_smoothing`` that the head has no form of.
        """
        steps = self.path_log_proba(
            hidden, target, label_smoothing=label_smoothing, log_prior=log_prior
        )
        return -steps.sum()

    def likeliest_path(self, hidden: Tensor | CSRRows, target: Tensor) -> Tensor:
        """Find the likeliest of the paths to a target in a DAG.

        Parameters
        ----------
        hidden : Tensor of shape (batch, in_features) or CSRRows
            Hidden states.
        target : Tensor of shape (batch,), int64
            Node of each sample, as a position in ``hierarchy.nodes``.

        Returns
        -------
        Tensor of shape (batch, depth), int64
            Positions from the top to the target, then -1.

        Raises
        ------
        ValueError
            If the hierarchy is a tree.
        """
        raise ValueError(
            "in a tree there is one path to a node, whatever its probability: "
            "see Hierarchy.path_indices"
        )
