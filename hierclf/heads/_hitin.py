"""HiTIN: features of the nodes are added up along a coding tree."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, ClassVar, Literal

from numpy.typing import NDArray

from hierclf import nn
from hierclf._utils.sklearn_private import StrOptions
from hierclf.heads._base_head import BaseNodeHead
from hierclf.heads._constraints import PROBABILITY, SIZE
from hierclf.hierarchy import Hierarchy
from hierclf.nn.coding_tree import CRITERIA
from hierclf.nn.hitin import NODE_MAPS, NORMS, POOLINGS


class HiTIN(BaseNodeHead):
    r"""Features of the nodes, added up level by level along a coding tree.

    The coding tree groups the labels so that few edges of the hierarchy lead from one group to
    another: it has a small structural entropy [1]_. A small network reads the sum over the
    children of each of its nodes, and the scores read all levels:

    .. math::
        X^0_v &= s_v (W x + b) + c_v, \qquad
        X^i_\alpha = \mathrm{MLP}^i\bigl(
            \textstyle\sum_{\beta \in \mathrm{ch}(\alpha)} X^{i-1}_\beta\bigr) \\
        z &= \sum_{i=0}^{k} W_i\, \mathrm{pool}_v(X^i_v) + b.

    The number of weights grows with that of the nodes, and not with its square.

    Parameters
    ----------
    node_dim : int, default=100
        Number of features of a node. In [1]_ it is 512, or 768 with BERT.
    height : int, default=2
        Height k of the coding tree.
    criterion : {"combine", "merge"}, default="combine"
        How two groups are rated when the tree is made: by the exact change of the entropy, or as
        in the code of [1]_.
    n_layers : int, default=2
        Number of affine maps of each MLP.
    node_map : {"scale", "matrix"}, default="scale"
        How the features of the nodes come from those of the sample: by the numbers :math:`s_v`
        and :math:`c_v`, or, as in [1]_, by a matrix of N x N for N nodes. Without dropout a matrix
        can do no more than these numbers.
    pooling : {"sum", "mean", "max", "root"}, default="sum"
        How the features of the nodes of a level are put together. "root" reads the root alone.
    norm : {"batch", "layer"}, default="batch"
        Normalisation in the MLPs.
    dropout : float, default=0.5
        Probability with which each feature that the scores read is dropped in training.
    feature_dropout : float, default=0.1
        The same of the features of the nodes.

    See Also
    --------
    hierclf.nn.HiTINHead : The torch module, with all equations and numbers of weights.

    References
    ----------
    .. [1] H. Zhu et al., "HiTIN: Hierarchy-aware Tree Isomorphism Network for Hierarchical Text
       Classification", ACL 2023.

    Examples
    --------
    >>> from hierclf.heads import HiTIN
    >>> HiTIN(node_dim=512).set_params(pooling="mean")
    HiTIN(node_dim=512, pooling='mean')
    """

    _parameter_constraints: ClassVar[dict[str, Any]] = {
        "node_dim": SIZE,
        "height": SIZE,
        "criterion": [StrOptions(set(CRITERIA))],
        "n_layers": SIZE,
        "node_map": [StrOptions(set(NODE_MAPS))],
        "pooling": [StrOptions(set(POOLINGS))],
        "norm": [StrOptions(set(NORMS))],
        "dropout": PROBABILITY,
        "feature_dropout": PROBABILITY,
    }

    def __init__(
        self,
        node_dim: int = 100,
        height: int = 2,
        criterion: Literal["combine", "merge"] = "combine",
        n_layers: int = 2,
        node_map: Literal["scale", "matrix"] = "scale",
        pooling: Literal["sum", "mean", "max", "root"] = "sum",
        norm: Literal["batch", "layer"] = "batch",
        dropout: float = 0.5,
        feature_dropout: float = 0.1,
    ) -> None:
        self.node_dim = node_dim
        self.height = height
        self.criterion = criterion
        self.n_layers = n_layers
        self.node_map = node_map
        self.pooling = pooling
        self.norm = norm
        self.dropout = dropout
        self.feature_dropout = feature_dropout

    def build(self, hierarchy: Hierarchy, *, counts: NDArray[Any]) -> Callable[..., nn.NodeHead]:
        return partial(nn.HiTINHead, **self._plain_params())
