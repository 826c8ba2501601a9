"""HiTIN: messages that run up a coding tree of the labels."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import torch
from torch import Tensor, nn

from hierclf.nn._options import check_option
from hierclf.nn.coding_tree import CRITERIA, Criterion, coding_tree
from hierclf.nn.dropout import Dropout
from hierclf.nn.groups import register_derived
from hierclf.nn.label_graph import node_edges
from hierclf.nn.linear import CSRRows, Linear
from hierclf.nn.node_head import NodeHead, NodeScores, OutputRows, TrainedOutput
from hierclf.nn.norm import BatchNorm

if TYPE_CHECKING:
    from hierclf.hierarchy import Hierarchy

POOLINGS = ("sum", "mean", "max", "root")
NODE_MAPS = ("scale", "matrix")
NORMS = ("batch", "layer")


class HiTINHead(NodeHead):
    r"""Features of the nodes, summed up level by level along a coding tree.

    With the hidden state x, and :math:`X^0` the features of the nodes [1]_:

    .. math::
        X^0_v &= s_v (W x + b) + c_v \\
        X^i_\alpha &= \mathrm{ReLU}\Bigl(\mathrm{norm}\bigl(\mathrm{MLP}^i\bigl(
            \textstyle\sum_{\beta \in \mathrm{ch}(\alpha)} X^{i-1}_\beta\bigr)\bigr)\Bigr)
            \qquad i = 1, \ldots, k \\
        z &= \sum_{i=0}^{k} W_i\, \mathrm{pool}_v(X^i_v) + b

    The coding tree groups the labels so that few edges of the hierarchy lead from one group to
    another, see
    ``hierclf.nn.coding_tree``. The graph is that of the edges between nodes, without
    directions, so that a DAG is as good as a tree.

    Parameters
    ----------
    in_features : int
        Size D of the hidden state.
    hierarchy : Hierarchy
        A tree or a directed acyclic graph, of N nodes.
    node_dim : int
        Number d of features of a node.
    height : int
        Height k of the coding tree.
    criterion : {"combine", "merge"}
        How the coding tree is made.
    n_layers : int
        Number of affine maps of each MLP.
    node_map : {"scale", "matrix"}
        How the features of the nodes come from :math:`W x + b`. In [1]_ they are N copies of it,
        which a matrix of N x N maps along the nodes. Copies differ in nothing, so that the matrix
        does what one number per node does, its row's sum: "scale". "matrix" keeps it. In training
        the two differ by dropout, which "matrix" draws for each node and "scale" for all at once.
    pooling : {"sum", "mean", "max", "root"}
        How the features of the nodes of a level are put together. "root" reads the root alone.
    norm : {"batch", "layer"}
        Normalisation in the MLPs. "batch" normalises over samples and nodes; a single row is
        normalised by what was seen before.
    dropout : float
        Probability with which each pooled feature is dropped in training.
    feature_dropout : float
        The same of the features of the nodes.
    linear, generator, dtype, coherent
        As for :class:`LinearNodeHead`.

    Attributes
    ----------
    tree : tuple of ndarrays
        The coding tree.

    Notes
    -----
    There are (D + 1) d + 2 N for the features of the nodes, with "matrix" (D + 1) d + (N + 1) N;
    k m (d + 1) d + 2 k m d for the MLPs of m affine maps; and ((k + 1) d + 1) N for the output,
    with "root" (d + 1) N.

    References
    ----------
    .. [1] H. Zhu et al., "HiTIN: Hierarchy-aware Tree Isomorphism Network for Hierarchical Text
       Classification", ACL 2023, equations 8 to 11.

    Examples
    --------
    >>> import torch
    >>> from hierclf import Hierarchy
    >>> from hierclf.nn import HiTINHead
    >>> tree = Hierarchy.from_dict({"animal": ["cat", "dog"], "plant": ["oak", "rose"]})
    >>> tree.nodes
    ('animal', 'plant', 'cat', 'dog', 'oak', 'rose')
    >>> head = HiTINHead(4, tree, node_dim=8)
    >>> head.tree  # a group for each of the two
    (array([0, 1, 0, 0, 1, 1]), array([0, 0]))
    >>> head(torch.zeros(5, 4)).shape
    torch.Size([5, 6])
    """

    parents_0: Tensor

    def __init__(
        self,
        in_features: int,
        hierarchy: Hierarchy,
        *,
        node_dim: int = 100,
        height: int = 2,
        criterion: Criterion = "combine",
        n_layers: int = 2,
        node_map: Literal["scale", "matrix"] = "scale",
        pooling: Literal["sum", "mean", "max", "root"] = "sum",
        norm: Literal["batch", "layer"] = "batch",
        dropout: float = 0.5,
        feature_dropout: float = 0.1,
        linear: type[Linear] = Linear,
        generator: torch.Generator | None = None,
        dtype: torch.dtype | None = None,
        coherent: bool = False,
    ) -> None:
        super().__init__(hierarchy, coherent=coherent)
        check_option("criterion", criterion, CRITERIA)
        check_option("node_map", node_map, NODE_MAPS)
        check_option("pooling", pooling, POOLINGS)
        check_option("norm", norm, NORMS)
        n_nodes, node_dim = len(hierarchy), int(node_dim)
        self.pooling = pooling
        self.tree = coding_tree(n_nodes, node_edges(hierarchy), height, criterion=criterion)
        for i, parents in enumerate(self.tree):
            register_derived(self, f"parents_{i}", parents)
        self.widths = [len(parents) for parents in self.tree[1:]] + [1]
        self.linear = linear(in_features, node_dim, generator=generator, dtype=dtype)
        kind = _NodeMatrix if node_map == "matrix" else _NodeScale
        self.node_map = kind(n_nodes, feature_dropout, generator=generator, dtype=dtype)
        self.mlps = nn.ModuleList()
        for _ in self.tree:
            layers: list[nn.Module] = []
            for _ in range(n_layers):
                layers.append(Linear(node_dim, node_dim, generator=generator, dtype=dtype))
                layers.append(
                    BatchNorm(node_dim, dtype=dtype)
                    if norm == "batch"
                    else nn.LayerNorm(node_dim, dtype=dtype)
                )
                layers.append(nn.ReLU())
            self.mlps.append(nn.Sequential(*layers))
        self.dropout = Dropout(dropout)
        n_read = node_dim if pooling == "root" else (height + 1) * node_dim
        self.output = Linear(n_read, n_nodes, generator=generator, dtype=dtype)

    def scores(self, hidden: Tensor | CSRRows) -> NodeScores:  # noqa: D102, inherited
        logits = self.logits(hidden)
        return NodeScores(logits, (TrainedOutput(logits, constraint=self.constraint),))

    def logits(self, hidden: Tensor | CSRRows) -> Tensor:  # noqa: D102, inherited
        mapped: Tensor = self.linear(hidden)
        if self.pooling != "max" and isinstance(self.node_map, _NodeScale):
            below = self.node_map.sums(mapped, self.parents_0, self.widths[0])
            pooled = below.sum(1)  # of the sums, so of all nodes
            read = [pooled / len(self.parents_0) if self.pooling == "mean" else pooled]
        else:
            features = self.node_map(mapped)
            below = _add_up(features, self.parents_0, self.widths[0])
            read = [self._pool(features)]
        for i, mlp in enumerate(self.mlps):
            if i:
                below = _add_up(below, getattr(self, f"parents_{i}"), self.widths[i])
            below = mlp(below.flatten(0, 1)).view(below.shape)
            read.append(self._pool(below))
        pooled = read[-1] if self.pooling == "root" else torch.cat(read, dim=1)
        logits: Tensor = self.output(self.dropout(pooled))
        return logits

    def _pool(self, features: Tensor) -> Tensor:
        """Put the features of the nodes of a level together: (batch, nodes, d) to (batch, d)."""
        if self.pooling == "max":
            return features.amax(1)
        return features.mean(1) if self.pooling == "mean" else features.sum(1)

    def output_rows(self) -> tuple[OutputRows, ...]:  # noqa: D102, inherited
        return (OutputRows(self.output.weight, self.edges),)


class _NodeScale(nn.Module):
    """Features of each node from one vector, by two numbers for each node."""

    def __init__(
        self,
        n_nodes: int,
        dropout: float,
        *,
        generator: torch.Generator | None,
        dtype: torch.dtype | None,
    ) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.empty(n_nodes, dtype=dtype))
        self.shift = nn.Parameter(torch.empty(n_nodes, dtype=dtype))
        with torch.no_grad():
            # The variances of a row's sum and of the bias of the matrix of N x N.
            self.scale.uniform_(-1, 1, generator=generator)
            self.shift.uniform_(-(n_nodes**-0.5), n_nodes**-0.5, generator=generator)
        self.dropout = Dropout(dropout)

    def forward(self, mapped: Tensor) -> Tensor:
        """Map (batch, d) to (batch, N, d)."""
        mapped = self.dropout(mapped).unsqueeze(1)
        return torch.addcmul(self.shift.unsqueeze(1), mapped, self.scale.unsqueeze(1))

    def sums(self, mapped: Tensor, group: Tensor, n_groups: int) -> Tensor:
        """Add up the features of each group, (batch, n_groups, d), without writing them out."""
        both = torch.stack([self.scale, self.shift]).unsqueeze(2)
        scale, shift = both.new_zeros(2, n_groups, 1).index_add(1, group, both)
        return torch.addcmul(shift, self.dropout(mapped).unsqueeze(1), scale)


class _NodeMatrix(nn.Module):
    """Features of each node from copies of one vector, by a matrix along the nodes."""

    def __init__(
        self,
        n_nodes: int,
        dropout: float,
        *,
        generator: torch.Generator | None,
        dtype: torch.dtype | None,
    ) -> None:
        super().__init__()
        self.n_nodes = n_nodes
        self.linear = Linear(n_nodes, n_nodes, generator=generator, dtype=dtype)
        self.dropout = Dropout(dropout)

    def forward(self, mapped: Tensor) -> Tensor:
        """Map (batch, d) to (batch, N, d)."""
        copies = self.dropout(mapped.unsqueeze(2).expand(-1, -1, self.n_nodes))
        features: Tensor = self.dropout(self.linear(copies)).transpose(1, 2)
        return features


def _add_up(features: Tensor, parents: Tensor, n_parents: int) -> Tensor:
    """Add up the features of the children of each node: (batch, n_parents, d)."""
    zeros = features.new_zeros(len(features), n_parents, features.shape[2])
    return zeros.index_add(1, parents, features)
