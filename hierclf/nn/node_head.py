"""Heads for several labels per sample: each node has a probability of its own, a sigmoid."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, ClassVar, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812, torch's own convention
from torch import Tensor

from hierclf.nn.constraint import MaxConstraint
from hierclf.nn.groups import register_derived
from hierclf.nn.head import Head
from hierclf.nn.linear import CSRRows, Linear

if TYPE_CHECKING:
    from hierclf.hierarchy import Hierarchy


class TrainedOutput(NamedTuple):
    """Logits that training compares with the labels.

    Attributes
    ----------
    logits : Tensor of shape (batch, m)
        One for each node that this output tells something about.
    columns : Tensor of shape (m,), int64, or None
        Their positions in ``hierarchy.nodes``; None: all nodes, in order.
    weight : Tensor of shape (m,) or None
        How much each of them counts in the loss of a sample; None: 1 / m each, the mean.
    constraint : MaxConstraint or None
        The max-constraint over these nodes, which a loss may apply to the logits. It reads
        ``logits`` and the labels at ``columns``, so that a branch has that of its own
        hierarchy. None: there is none, as for nodes of one level.
    """

    logits: Tensor
    columns: Tensor | None = None
    weight: Tensor | None = None
    constraint: MaxConstraint | None = None


class NodeScores(NamedTuple):
    """What a head makes of hidden states.

    Attributes
    ----------
    logits : Tensor of shape (batch, nodes)
        What prediction reads, before the constraint.
    trained : tuple of TrainedOutput
        What training compares with the labels. The losses of all are added up.
    penalty : Tensor of shape (batch,) or None
        Is added to the loss of each sample.
    """

    logits: Tensor
    trained: tuple[TrainedOutput, ...]
    penalty: Tensor | None = None


class OutputRows(NamedTuple):
    """Weights with one row for each of some nodes, for recursive regularisation.

    Attributes
    ----------
    weight : Tensor of shape (m, features)
        The weights of the last affine map.
    edges : Tensor of shape (2, n_edges), int64
        The rows of the parent and of the child of each edge between two of the nodes.
    """

    weight: Tensor
    edges: Tensor


class NodeHead(Head):
    """A head that gives each node a probability of its own: a sample may have several labels.

    A subclass defines :meth:`scores`, and :meth:`output_rows` where the last thing it does is
    an affine map. It is made by
    ``Subclass(in_features, hierarchy, linear=..., generator=..., dtype=..., coherent=...)``, as
    :class:`LinearNodeHead` is.

    Parameters
    ----------
    hierarchy : Hierarchy
        A tree or a directed acyclic graph.
    coherent : bool
        Whether :meth:`forward` applies the max-constraint, so that no node is likelier than
        the nodes above it.

    Attributes
    ----------
    constraint : MaxConstraint
        That of the hierarchy.
    edges : Tensor of shape (2, n_edges), int64
        Positions in ``hierarchy.nodes`` of the parent and of the child of each edge; the root,
        which is no node, has none.
    """

    one_label: ClassVar[bool] = False

    edges: Tensor

    def __init__(self, hierarchy: Hierarchy, *, coherent: bool = False) -> None:
        super().__init__()
        self.coherent = coherent
        self.constraint = MaxConstraint(hierarchy)
        arrays = hierarchy.arrays
        edges = np.stack([arrays.edge_parents, arrays.edge_children])
        register_derived(self, "edges", edges[:, arrays.edge_parents >= 0])

    @abstractmethod
    def scores(self, hidden: Tensor | CSRRows) -> NodeScores:
        """Compute what prediction reads, and what training compares with the labels.

        Parameters
        ----------
        hidden : Tensor of shape (batch, in_features), or CSRRows where ``linear`` reads them
            Hidden states.

        Returns
        -------
        NodeScores
        """

    def logits(self, hidden: Tensor | CSRRows) -> Tensor:
        """Compute what prediction reads, before the constraint.

        Parameters
        ----------
        hidden : Tensor of shape (batch, in_features), or CSRRows where ``linear`` reads them
            Hidden states.

        Returns
        -------
        Tensor of shape (batch, nodes)
            Columns in the order of ``hierarchy.nodes``.
        """
        return self.scores(hidden).logits

    def forward(self, hidden: Tensor | CSRRows) -> Tensor:  # noqa: D102, inherited
        logits = self.logits(hidden)
        return F.logsigmoid(self.constraint(logits) if self.coherent else logits)

    def output_rows(self) -> tuple[OutputRows, ...]:
        """Return the weights that recursive regularisation draws together.

        Returns
        -------
        tuple of OutputRows
            Empty where no rows of weights stand for nodes.
        """
        return ()


class LinearNodeHead(NodeHead):
    """One affine map: a logistic regression for each node.

    Parameters
    ----------
    in_features : int
        Size of the hidden state.
    hierarchy : Hierarchy
        A tree or a directed acyclic graph.
    linear : type
        Class of the affine map to logits: :class:`Linear`, or :class:`FeatureLinear`
        where the hidden state is the features themselves.
    generator : torch.Generator, optional
        Source of the initial weights; None is torch's global generator.
    dtype : torch.dtype, optional
        Type of the parameters.
    coherent : bool
        As for :class:`NodeHead`.

    Attributes
    ----------
    linear : torch.nn.Module
        Maps a hidden state to one logit for each of ``hierarchy.nodes``.

    Examples
    --------
    Zero weights make every node as likely as not:

    >>> import torch
    >>> from hierclf import Hierarchy
    >>> from hierclf.nn import LinearNodeHead
    >>> tree = Hierarchy.from_dict({"animal": ["cat", "dog"], "plant": []})
    >>> head = LinearNodeHead(4, tree)
    >>> for parameter in head.parameters():
    ...     _ = torch.nn.init.zeros_(parameter)
    >>> head(torch.randn(1, 4)).exp()
    tensor([[0.5000, 0.5000, 0.5000, 0.5000]], grad_fn=<ExpBackward0>)
    """

    def __init__(
        self,
        in_features: int,
        hierarchy: Hierarchy,
        *,
        linear: type[Linear] = Linear,
        generator: torch.Generator | None = None,
        dtype: torch.dtype | None = None,
        coherent: bool = False,
    ) -> None:
        super().__init__(hierarchy, coherent=coherent)
        self.linear = linear(in_features, len(hierarchy), generator=generator, dtype=dtype)

    def scores(self, hidden: Tensor | CSRRows) -> NodeScores:  # noqa: D102, inherited
        logits = self.logits(hidden)
        return NodeScores(logits, (TrainedOutput(logits, constraint=self.constraint),))

    def logits(self, hidden: Tensor | CSRRows) -> Tensor:  # noqa: D102, inherited
        logits: Tensor = self.linear(hidden)
        return logits

    def output_rows(self) -> tuple[OutputRows, ...]:  # noqa: D102, inherited
        weight = self.linear.weight
        return (OutputRows(weight.t() if self.linear.row_dim else weight, self.edges),)
