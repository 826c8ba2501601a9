"""HiAGM: features for each label, mixed along the hierarchy, from the text or compared with it."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import torch
from numpy.typing import ArrayLike
from torch import Tensor, nn

from hierclf.nn._options import check_option
from hierclf.nn.dropout import Dropout
from hierclf.nn.label_graph import HierarchyGCN, HierarchyTreeLSTM
from hierclf.nn.linear import CSRRows, Linear
from hierclf.nn.node_head import NodeHead, NodeScores, OutputRows, TrainedOutput

if TYPE_CHECKING:
    from hierclf.hierarchy import Hierarchy

GRAPHS = ("gcn", "tree_lstm")
# What the message for a large hierarchy proposes.
_LOW_RANK = 32


class _HiAGMHead(NodeHead):
    """What both kinds share: layers over the graph, and a map of all features to all logits."""

    # Whether a map leads from the hidden state to the features of all nodes.
    maps_text: ClassVar[bool]

    def __init__(
        self,
        in_features: int,
        hierarchy: Hierarchy,
        *,
        prior: ArrayLike,
        node_dim: int = 100,
        graph: Literal["gcn", "tree_lstm"] = "gcn",
        n_layers: int = 1,
        graph_dropout: float = 0.05,
        dropout: float = 0.5,
        logit_dropout: float = 0.0,
        low_rank: int | None = None,
        max_parameters: float = 1e8,
        linear: type[Linear] = Linear,
        generator: torch.Generator | None = None,
        dtype: torch.dtype | None = None,
        coherent: bool = False,
    ) -> None:
        super().__init__(hierarchy, coherent=coherent)
        check_option("graph", graph, GRAPHS)
        self.n_nodes, self.node_dim = len(hierarchy), int(node_dim)
        of_text = in_features if self.maps_text else None
        check_size(self.n_nodes, self.node_dim, low_rank, of_text, max_parameters)
        own: dict[str, Any] = {"generator": generator, "dtype": dtype}
        self._add_reader(in_features, linear, low_rank, own)
        layers: list[nn.Module] = []
        for _ in range(n_layers):
            if graph == "gcn":
                layer = HierarchyGCN(hierarchy, node_dim, prior=prior, dropout=graph_dropout, **own)
                layers.append(layer)
            else:
                layers.append(HierarchyTreeLSTM(hierarchy, node_dim, prior=prior, **own))
                layers.append(Dropout(graph_dropout))
        self.graph = nn.Sequential(*layers)
        self.dropout = Dropout(dropout)
        n_features = self.n_nodes * self.node_dim
        self.output = _affine(n_features, self.n_nodes, low_rank, Linear, own)
        self.logit_dropout = Dropout(logit_dropout)

    @abstractmethod
    def _add_reader(
        self, in_features: int, linear: type[Linear], low_rank: int | None, own: dict[str, Any]
    ) -> None:
        """Add the layers that read the hidden state."""

    @abstractmethod
    def _features(self, hidden: Tensor | CSRRows) -> Tensor:
        """Compute features of the nodes from hidden states: (batch, N, node_dim)."""

    def scores(self, hidden: Tensor | CSRRows) -> NodeScores:
        logits = self.logits(hidden)
        return NodeScores(logits, (TrainedOutput(logits, constraint=self.constraint),))

    def logits(self, hidden: Tensor | CSRRows) -> Tensor:
        features = self.dropout(self._features(hidden).flatten(1))
        logits: Tensor = self.logit_dropout(self.output(features))
        return logits

    def output_rows(self) -> tuple[OutputRows, ...]:
        last: Any = self.output[-1] if isinstance(self.output, nn.Sequential) else self.output
        return (OutputRows(last.weight, self.edges),)


class HiAGMPropagationHead(_HiAGMHead):
    r"""Features of each node from the text, mixed along the hierarchy (HiAGM-TP).

    .. math::
        X &= \mathrm{graph}\bigl(\mathrm{reshape}_{N \times d}(W h + b)\bigr) \\
        z &= W'\, \mathrm{flatten}(X) + b'

    The layers over the graph are :class:`HierarchyGCN` or :class:`HierarchyTreeLSTM` [1]_.

    Parameters
    ----------
    in_features : int
        Size D of the hidden state.
    hierarchy : Hierarchy
        A tree or a directed acyclic graph, of N nodes.
    prior : array-like of shape (n_edges,)
        How likely each child is where its parent is a label, see :func:`edge_priors`.
    node_dim : int
        Number d of features of a node.
    graph : {"gcn", "tree_lstm"}
        The layers over the graph.
    n_layers : int
        How many of them.
    graph_dropout : float
        Probability with which features are dropped in these layers in training.
    dropout : float
        The same of what enters the graph, and of what enters the map to logits.
    logit_dropout : float
        The same of the logits. The code of [1]_ drops half of them. The cross-entropy of a logit
        of 0 is log 2, so that the loss cannot fall below half of it.
    low_rank : int, optional
        Rank of the two maps between text, features of all nodes, and logits. None is any rank.
    max_parameters : float
        The most weights that the maps may have.
    linear, generator, dtype, coherent
        As for :class:`LinearNodeHead`.

    Raises
    ------
    ValueError
        If the maps have more than ``max_parameters`` weights.

    Notes
    -----
    The maps have (D + 1) N d + (N d + 1) N weights; of rank r, (D + 1) r + (r + 1) N d +
    (N d + 1) r + (r + 1) N. To these come those of the layers over the graph.

    References
    ----------
    .. [1] J. Zhou et al., "Hierarchy-Aware Global Model for Hierarchical Text
       Classification", ACL 2020.

    Examples
    --------
    >>> import torch
    >>> from hierclf import Hierarchy
    >>> from hierclf.nn import HiAGMPropagationHead
    >>> tree = Hierarchy.from_dict({"animal": ["cat", "dog"], "plant": ["oak", "rose"]})
    >>> head = HiAGMPropagationHead(4, tree, prior=[0.7, 0.3, 0.5, 0.5], node_dim=8)
    >>> head(torch.zeros(5, 4)).shape
    torch.Size([5, 6])
    """

    maps_text: ClassVar[bool] = True

    def _add_reader(
        self, in_features: int, linear: type[Linear], low_rank: int | None, own: dict[str, Any]
    ) -> None:
        self.reader = _affine(in_features, self.n_nodes * self.node_dim, low_rank, linear, own)

    def _features(self, hidden: Tensor | CSRRows) -> Tensor:
        read = self.dropout(self.reader(hidden)).view(-1, self.n_nodes, self.node_dim)
        features: Tensor = self.graph(read)
        return features


class HiAGMAttentionHead(_HiAGMHead):
    r"""Features of each node that look at rows of the text (HiAGM-LA).

    .. math::
        V &= \mathrm{graph}(E), \qquad S = \mathrm{reshape}_{K \times d}(W h + b) \\
        \alpha_v &= \mathrm{softmax}(S V_v), \qquad
        z = W'\, \mathrm{flatten}(\alpha S) + b'

    E is trained, and the same for all samples. Each node takes a mean of the K rows of the
    text, weighted by how well they fit to the features of the node [1]_.

    Parameters
    ----------
    in_features : int
        Size D of the hidden state.
    hierarchy : Hierarchy
        A tree or a directed acyclic graph, of N nodes.
    n_rows : int
        Number K of rows, at least 2. The softmax over a single row is 1 whatever the node, so
        that E would have no part in the result and be never trained. The configuration that was
        published with the code of [1]_ has one row.
    prior, node_dim, graph, n_layers, graph_dropout, dropout, logit_dropout
        As for :class:`HiAGMPropagationHead`. What enters the graph is not dropped, but S.
    low_rank, max_parameters
        The same, of the map of the features of all nodes to logits.
    linear, generator, dtype, coherent
        As for :class:`LinearNodeHead`.

    Attributes
    ----------
    embedding : Parameter of shape (N, node_dim)
        E, which starts from a uniform distribution of variance 2 / d.

    Raises
    ------
    ValueError
        If ``n_rows`` is less than 2, or the map has more than ``max_parameters`` weights.

    Notes
    -----
    There are N d weights of E, (D + 1) K d of the text, (N d + 1) N of the map to logits, of rank
    r (N d + 1) r + (r + 1) N. To these come those of the layers over the graph.

    References
    ----------
    .. [1] J. Zhou et al., "Hierarchy-Aware Global Model for Hierarchical Text
       Classification", ACL 2020.

    Examples
    --------
    >>> import torch
    >>> from hierclf import Hierarchy
    >>> from hierclf.nn import HiAGMAttentionHead
    >>> tree = Hierarchy.from_dict({"animal": ["cat", "dog"], "plant": ["oak", "rose"]})
    >>> head = HiAGMAttentionHead(4, tree, prior=[0.7, 0.3, 0.5, 0.5], node_dim=8, n_rows=3)
    >>> head(torch.zeros(5, 4)).shape
    torch.Size([5, 6])
    """

    maps_text: ClassVar[bool] = False

    def __init__(
        self, in_features: int, hierarchy: Hierarchy, *, n_rows: int = 8, **kwargs: Any
    ) -> None:
        check_rows(n_rows)
        self.n_rows = int(n_rows)
        super().__init__(in_features, hierarchy, **kwargs)

    def _add_reader(
        self, in_features: int, linear: type[Linear], low_rank: int | None, own: dict[str, Any]
    ) -> None:
        self.reader = linear(in_features, self.n_rows * self.node_dim, **own)
        self.embedding = nn.Parameter(torch.empty(self.n_nodes, self.node_dim, dtype=own["dtype"]))
        bound = (6 / self.node_dim) ** 0.5
        with torch.no_grad():
            self.embedding.uniform_(-bound, bound, generator=own["generator"])

    def _features(self, hidden: Tensor | CSRRows) -> Tensor:
        rows = self.dropout(self.reader(hidden)).view(-1, self.n_rows, self.node_dim)
        labels = self.graph(self.embedding.unsqueeze(0)).squeeze(0)
        fit = (rows @ labels.t()).softmax(1)
        features: Tensor = fit.transpose(1, 2) @ rows
        return features


def check_rows(n_rows: int) -> None:
    """Refuse a number of rows that attention has nothing to choose from."""
    if n_rows < 2:
        raise ValueError(
            f"n_rows must be at least 2, got {n_rows}: the attention over a single row is 1, "
            "whatever the label, and the features of the labels are never trained"
        )


def check_size(
    n_nodes: int,
    node_dim: int,
    low_rank: int | None,
    in_features: int | None,
    max_parameters: float,
    n_heads: int = 1,
) -> None:
    """Refuse maps that have too many weights.

    Parameters
    ----------
    n_nodes, node_dim : int
        Numbers N and d of nodes, and of features of each.
    low_rank : int or None
        Rank of the maps.
    in_features : int or None
        Size of the hidden state where a map leads from it to the features of all nodes; None:
        there is the map from these to logits alone.
    max_parameters : float
        The most weights.
    n_heads : int
        How many heads there are of this size.

    Raises
    ------
    ValueError
        If there are more. The message says what to use instead.
    """

    def size(rank: int | None) -> int:
        n_features, total = n_nodes * node_dim, 0
        maps = [(n_features, n_nodes)]
        if in_features is not None:
            maps.append((in_features, n_features))
        for n_in, n_out in maps:
            total += (n_in + 1) * n_out if rank is None else (n_in + 1) * rank + (rank + 1) * n_out
        return total * n_heads

    needed = size(low_rank)
    if needed > max_parameters:
        if low_rank is None:
            smaller = f"low_rank={_LOW_RANK} ({size(_LOW_RANK):,} weights)"
        else:
            smaller = f"a low_rank below {low_rank}"
        times = f", {n_heads} times" if n_heads > 1 else ""
        raise ValueError(
            f"HiAGM maps {node_dim} features of each of {n_nodes:,} nodes to {n_nodes:,} scores"
            f"{times}: its maps have {needed:,} weights, more than "
            f"max_parameters={max_parameters:,.0f}. Use HiTIN, which has no map of all features; "
            f"{smaller}; a smaller node_dim; or HiMTL with HiAGM for each branch "
            "(method='projection')"
        )


def _affine(
    n_in: int, n_out: int, rank: int | None, first: type[Linear], own: dict[str, Any]
) -> nn.Module:
    if rank is None:
        return first(n_in, n_out, **own)
    return nn.Sequential(first(n_in, int(rank), **own), Linear(int(rank), n_out, **own))
