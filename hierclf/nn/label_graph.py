"""Layers over the graph of a hierarchy: each node's features are mixed with its neighbours'.

Features come and go as (batch, nodes, size). The root is no node, so that the graph of a hierarchy
has a component for each top node, or fewer in a DAG.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor, nn

from hierclf.nn._options import check_option
from hierclf.nn.dropout import Dropout
from hierclf.nn.groups import register_derived
from hierclf.nn.linear import Linear

if TYPE_CHECKING:
    from hierclf.hierarchy import Hierarchy

    _Indices = NDArray[np.intp]

PRIORS = ("sibling", "conditional")


def node_edges(hierarchy: Hierarchy) -> _Indices:
    """Return the edges between two nodes: positions of parents and children, (2, n_edges)."""
    arrays = hierarchy.arrays
    edges = np.stack([arrays.edge_parents, arrays.edge_children])
    return edges[:, arrays.edge_parents >= 0]


def edge_priors(
    hierarchy: Hierarchy, counts: ArrayLike, prior: Literal["sibling", "conditional"] = "sibling"
) -> NDArray[Any]:
    r"""Compute how likely each child is where its parent is a label.

    Parameters
    ----------
    hierarchy : Hierarchy
        A tree or a directed acyclic graph.
    counts : array-like of shape (n_nodes,)
        Number of training samples labelled with each node or a node below it.
    prior : {"sibling", "conditional"}
        ``N_c / sum(N_c' over the children c' of p)``, which sums to 1 over the children of a
        parent, as in the code of [1]_; or ``N_c / N_p``, as in the paper. They agree where each
        sample has one path to a leaf. Where there are no samples to divide by, each child has the
        same share.

    Returns
    -------
    ndarray of shape (n_edges,)
        One for each edge between two nodes, in the order of ``hierarchy.edges``.

    Raises
    ------
    ValueError
        If ``prior`` is none of these.

    References
    ----------
    .. [1] J. Zhou et al., "Hierarchy-Aware Global Model for Hierarchical Text
       Classification", ACL 2020.

    Examples
    --------
    Four of ten animals are cats, eight are dogs, and two are both:

    >>> from hierclf import Hierarchy
    >>> from hierclf.nn.label_graph import edge_priors
    >>> tree = Hierarchy.from_dict({"animal": ["cat", "dog"], "plant": []})
    >>> tree.nodes
    ('animal', 'plant', 'cat', 'dog')
    >>> edge_priors(tree, [10, 5, 4, 8], "conditional")
    array([0.4, 0.8])
    >>> edge_priors(tree, [10, 5, 4, 8]).round(3)
    array([0.333, 0.667])
    """
    check_option("prior", prior, PRIORS)
    parents, children = node_edges(hierarchy)
    of_nodes: NDArray[Any] = np.asarray(counts, dtype=np.float64)
    total = of_nodes
    if prior == "sibling":
        total = np.bincount(parents, weights=of_nodes[children], minlength=len(of_nodes))
    n_children = np.bincount(parents, minlength=len(of_nodes))
    known = total[parents] > 0
    share: NDArray[Any] = 1.0 / n_children[parents]
    share[known] = of_nodes[children[known]] / total[parents[known]]
    return share


class HierarchyGCN(nn.Module):
    r"""A gated graph convolution along the edges of a hierarchy [1]_.

    .. math::
        u_p &= \sum_{c \in \mathrm{ch}(p)} a_{pc} h_c + b_p, \qquad
        d_c = \sum_{p \in \mathrm{parents}(c)} a'_{pc} h_p + b'_c \\
        h'_v &= \mathrm{ReLU}\bigl(\sigma(w_1^T h_v + g_v)\, u_v + \sigma(w_2^T h_v + g'_v)\, d_v
                + \sigma(w_3^T h_v)\, h_v\bigr)

    Each edge has a weight in each direction, which is trained: it starts from 1 upward and from
    the prior downward. Nothing is mixed across features. In a DAG each child hears from all of
    its parents.

    Parameters
    ----------
    hierarchy : Hierarchy
        A tree or a directed acyclic graph, of N nodes and E edges between them.
    node_dim : int
        Number d of features of a node.
    prior : array-like of shape (E,)
        The weights of the downward edges at the start, see :func:`edge_priors`.
    dropout : float
        Probability with which each feature of each of the three terms is dropped in training.
    generator : torch.Generator, optional
        Source of the initial weights of the gates, uniform in
        :math:`\pm\sqrt{6 / (d + 1)}`; all biases start from 0.
    dtype : torch.dtype, optional
        Type of the parameters, of which there are 2 E + 2 N d + 3 d + 2 N.

    References
    ----------
    .. [1] J. Zhou et al., "Hierarchy-Aware Global Model for Hierarchical Text
       Classification", ACL 2020, equation 5. The weights outside of the edges of its matrices,
       which are fixed to 0, are left out.
    """

    edge_parents: Tensor
    edge_children: Tensor

    def __init__(
        self,
        hierarchy: Hierarchy,
        node_dim: int,
        *,
        prior: ArrayLike,
        dropout: float = 0.05,
        generator: torch.Generator | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        n_nodes, node_dim = len(hierarchy), int(node_dim)
        parents, children = node_edges(hierarchy)
        register_derived(self, "edge_parents", parents)
        register_derived(self, "edge_children", children)
        self.upward = nn.Parameter(torch.ones(len(parents), dtype=dtype))
        self.downward = nn.Parameter(_prior(prior, dtype))
        self.bias = nn.Parameter(torch.zeros(2, n_nodes, node_dim, dtype=dtype))
        self.gate = nn.Parameter(torch.empty(3, node_dim, dtype=dtype))
        self.gate_bias = nn.Parameter(torch.zeros(2, n_nodes, dtype=dtype))
        _draw([self.gate], (6 / (node_dim + 1)) ** 0.5, generator)
        self.dropout = Dropout(dropout)

    def forward(self, features: Tensor) -> Tensor:
        """Mix features of shape (batch, N, node_dim); the result has the same shape."""
        from_children = features.index_select(1, self.edge_children) * self.upward.unsqueeze(1)
        from_parents = features.index_select(1, self.edge_parents) * self.downward.unsqueeze(1)
        bias = self.bias.unsqueeze(1).expand(2, *features.shape)
        up = bias[0].index_add(1, self.edge_parents, from_children)
        down = bias[1].index_add(1, self.edge_children, from_parents)
        gates = features @ self.gate.t()
        up_gate, down_gate = torch.sigmoid(gates[..., :2] + self.gate_bias.t()).chunk(2, dim=2)
        loop_gate = torch.sigmoid(gates[..., 2:])
        mixed = self.dropout(up * up_gate) + self.dropout(down * down_gate)
        return torch.relu(mixed + self.dropout(features * loop_gate))


class HierarchyTreeLSTM(nn.Module):
    r"""Tree LSTMs that read a hierarchy from the leaves up and from the top down [1]_.

    Each direction is a child-sum tree LSTM [2]_. Upward, a node with features x reads the states
    of its children:

    .. math::
        \tilde h &= \sum_c a_{pc} h_c, \qquad
        f_c = \sigma(W_f x + b_f + U_f\, a_{pc} h_c) \\
        i, o, u &= \sigma, \sigma, \tanh (W x + b + U \tilde h) \\
        c &= i \odot u + \sum_c f_c \odot a_{pc} c_c, \qquad h = o \odot \tanh c

    Downward it reads that of its parent in the same way. The weights of the edges are trained,
    from 1 upward and from the prior downward. In a DAG a node reads the states of all of its
    parents, as it does those of its children.

    Parameters
    ----------
    hierarchy : Hierarchy
        A tree or a directed acyclic graph, of E edges between nodes.
    node_dim : int
        Number d of features of a node, an even number: each direction gives half of them.
    prior : array-like of shape (E,)
        The weights of the downward edges at the start, see :func:`edge_priors`.
    generator : torch.Generator, optional
        Source of the initial weights.
    dtype : torch.dtype, optional
        Type of the parameters, of which there are 6 d² + 4 d + 2 E.

    Raises
    ------
    ValueError
        If ``node_dim`` is odd.

    References
    ----------
    .. [1] J. Zhou et al., "Hierarchy-Aware Global Model for Hierarchical Text
       Classification", ACL 2020, equations 3 and 4.
    .. [2] K. S. Tai, R. Socher and C. D. Manning, "Improved Semantic Representations From
       Tree-Structured Long Short-Term Memory Networks", ACL 2015, equations 2 to 8.
    """

    def __init__(
        self,
        hierarchy: Hierarchy,
        node_dim: int,
        *,
        prior: ArrayLike,
        generator: torch.Generator | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        if node_dim % 2:
            raise ValueError(
                f"node_dim must be even, since each direction gives half of it; got {node_dim}"
            )
        parents, children = node_edges(hierarchy)
        ends = hierarchy.arrays.depth_offsets
        weight = torch.ones(len(parents), dtype=dtype)
        self.up = _TreeCell(node_dim, _Sweep(children, parents, ends, -1), weight, generator)
        weight = _prior(prior, dtype)
        self.down = _TreeCell(node_dim, _Sweep(parents, children, ends, 1), weight, generator)

    def forward(self, features: Tensor) -> Tensor:
        """Read features of shape (batch, N, node_dim); the result has the same shape."""
        return torch.cat([self.up(features), self.down(features)], dim=2)


class _TreeCell(nn.Module):
    """A child-sum tree LSTM in one direction: (batch, N, d) to states (batch, N, d / 2)."""

    def __init__(
        self, node_dim: int, sweep: _Sweep, weight: Tensor, generator: torch.Generator | None
    ) -> None:
        super().__init__()
        self.size = node_dim // 2
        self.sweep = sweep
        self.weight = nn.Parameter(weight)
        # The gates of all nodes are i, o, u and f, side by side.
        self.gates = Linear(node_dim, 4 * self.size, generator=generator, dtype=weight.dtype)
        shape = 4 * self.size, self.size
        self.recurrent = nn.Parameter(torch.empty(shape, dtype=weight.dtype))
        _draw([self.recurrent], max(self.size, 1) ** -0.5, generator)

    def forward(self, features: Tensor) -> Tensor:
        gates, m = self.gates(features), self.size
        into, forget = self.recurrent[: 3 * m].t(), self.recurrent[3 * m :].t()
        # A state holds h and c side by side.
        states: dict[int, Tensor] = {}
        for level in self.sweep.in_order():
            own = gates[:, level.nodes]
            iou, carried = own[..., : 3 * m], None
            if len(level.edges):
                came = torch.cat([states[k].index_select(1, at) for k, at in level.read()], dim=1)
                came = came * self.weight.index_select(0, level.edges).unsqueeze(1)
                h, c = came.chunk(2, dim=2)
                f = own[..., 3 * m :].index_select(1, level.targets) + h @ forget
                shape = *own.shape[:2], 2 * m
                messages = torch.cat([h, torch.sigmoid(f) * c], dim=2)
                h, carried = (
                    own.new_zeros(shape).index_add(1, level.targets, messages).chunk(2, dim=2)
                )
                iou = iou + h @ into
            i, o, u = iou.chunk(3, dim=2)
            cell = torch.sigmoid(i) * torch.tanh(u)
            cell = cell if carried is None else cell + carried
            states[level.number] = torch.cat([torch.sigmoid(o) * torch.tanh(cell), cell], dim=2)
        return torch.cat([states[k][..., :m] for k in range(len(states))], dim=1)


class _Sweep(nn.Module):
    """The levels of a hierarchy in the order in which messages run along its edges.

    A level holds the nodes of one depth, the longest way from the root. So an edge leads from one
    level to another one, in a DAG maybe past some.
    """

    levels: Sequence[_SweepLevel]

    def __init__(self, sources: _Indices, targets: _Indices, ends: _Indices, step: int) -> None:
        super().__init__()
        self.step = step
        source_levels = np.searchsorted(ends, sources, side="right") - 1
        target_levels = np.searchsorted(ends, targets, side="right") - 1
        order = np.lexsort((source_levels, target_levels))
        starts = np.searchsorted(target_levels[order], np.arange(len(ends)))
        levels = []
        for number, (start, stop) in enumerate(zip(ends[:-1].tolist(), ends[1:], strict=True)):
            edges = order[starts[number] : starts[number + 1]]
            level = _SweepLevel(number, slice(start, int(stop)))
            register_derived(level, "edges", edges)
            register_derived(level, "targets", targets[edges] - start)
            level.sources = np.unique(source_levels[edges]).tolist()
            for k in level.sources:
                from_k = edges[source_levels[edges] == k]
                register_derived(level, f"at_{k}", sources[from_k] - ends[k])
            levels.append(level)
        self.levels = nn.ModuleList(levels)  # type: ignore[assignment]

    def in_order(self) -> Iterable[_SweepLevel]:
        return list(self.levels)[:: self.step]


class _SweepLevel(nn.Module):
    """The nodes of one level, and the edges that lead into them, by the level they come from."""

    edges: Tensor
    targets: Tensor
    sources: list[int]

    def __init__(self, number: int, nodes: slice) -> None:
        super().__init__()
        self.number, self.nodes = number, nodes

    def read(self) -> Iterable[tuple[int, Tensor]]:
        """Return each level that edges come from, and the places of their sources in it."""
        return [(k, getattr(self, f"at_{k}")) for k in self.sources]


def _prior(prior: ArrayLike, dtype: torch.dtype | None) -> Tensor:
    # A copy: parameters change in training, and a given array is the caller's.
    return torch.tensor(np.asarray(prior), dtype=dtype or torch.get_default_dtype())


@torch.no_grad()
def _draw(parameters: list[nn.Parameter], bound: float, generator: torch.Generator | None) -> None:
    for parameter in parameters:
        parameter.uniform_(-bound, bound, generator=generator)
