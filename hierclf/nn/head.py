"""What every head has: the contract between a head, the network, its loss and predictions."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, ClassVar

from torch import Tensor, nn

if TYPE_CHECKING:
    from hierclf.hierarchy import Hierarchy
    from hierclf.nn.growth import RowMap
    from hierclf.nn.linear import CSRRows, Linear


class Head(nn.Module, ABC):
    """Turns the last hidden state into probabilities of the nodes of a hierarchy.

    A head is made by ``Head(in_features, hierarchy, linear=..., generator=..., dtype=...)``,
    where ``linear`` is the class of its affine map, which must be able to read what the
    hidden state is. Network, losses and predictions ask a head what it can do, and never
    which class it is of.

    **Training** calls :meth:`path_log_proba` or its sum, :meth:`path_nll`, and
    :meth:`forward` for losses that look at all nodes, with a batch of targets. A target is
    the position of a node in ``hierarchy.nodes``, one int64 for each sample.

    **Prediction** calls :meth:`forward` for all nodes, :meth:`leaf_log_proba` for the
    leaves, :meth:`leaf_scores` where only their order counts, and in a DAG
    :meth:`likeliest_path`. Everything is a natural logarithm, and samples are rows.

    **Growing** asks :meth:`map_rows`, and carries the weights of ``linear`` over.

    Attributes
    ----------
    linear : torch.nn.Module
        The affine map, which has all the parameters of the head.
    gives_steps : bool
        Whether the columns of :meth:`path_log_proba` are the steps of the path,
        ``log P(child | parent)``. If not, there is one column, ``log P(target)``.
    smooths_labels : bool
        Whether :meth:`path_log_proba` takes ``label_smoothing``, whatever the hierarchy.
    step_levels : Tensor of shape (n_steps,) or None
        The level into which each column is a step, where ``gives_steps``.
    """

    linear: Linear

    gives_steps: ClassVar[bool] = False
    smooths_labels: ClassVar[bool] = True

    @property
    def step_levels(self) -> Tensor | None:
        """The level into which each column of :meth:`path_log_proba` is a step."""
        return None

    @staticmethod
    @abstractmethod
    def map_rows(before: Hierarchy, after: Hierarchy) -> RowMap:
        """Tell from which rows of ``linear`` those for another hierarchy start.

        Parameters
        ----------
        before, after : Hierarchy
            The hierarchies of the old head and of the new.

        Returns
        -------
        RowMap
            Of ``hierclf.nn.growth``.
        """

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
