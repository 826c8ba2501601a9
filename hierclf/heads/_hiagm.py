"""HiAGM: features of the nodes are mixed along the hierarchy."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from numbers import Integral, Real
from typing import Any, ClassVar, Literal

from numpy.typing import NDArray

from hierclf import nn
from hierclf._utils.sklearn_private import Interval, StrOptions
from hierclf.heads._base_head import BaseNodeHead
from hierclf.heads._constraints import PROBABILITY, SIZE
from hierclf.hierarchy import Hierarchy
from hierclf.nn.hiagm import GRAPHS, check_rows, check_size
from hierclf.nn.label_graph import PRIORS

_ROWS = 8


class HiAGM(BaseNodeHead):
    r"""Features of each node, mixed with those of its parents and children.

    There are two ways from the hidden state h to features X of the nodes [1]_. With "propagation"
    (HiAGM-TP) they come from h, and layers over the graph of the hierarchy mix them. With
    "attention" (HiAGM-LA) the layers mix features E that are the same for all samples, and each
    node takes the rows S of the text that fit to its own:

    .. math::
        X = \mathrm{graph}(W h + b) \qquad \text{or} \qquad
        X_v = \mathrm{softmax}\bigl(S\, \mathrm{graph}(E)_v\bigr)^T S, \quad S = W h + b

    and the scores are :math:`z = W' \mathrm{flatten}(X) + b'`. A layer is a graph convolution or a
    tree LSTM. Both have a weight for each edge and direction, which starts from 1 upward and
    from the prior P(child | parent) downward. In a DAG a node hears from all of its parents.

    Parameters
    ----------
    method : {"propagation", "attention"}, default="propagation"
        Where the features come from.
    graph : {"gcn", "tree_lstm"}, default="gcn"
        The layers over the graph: a gated graph convolution, or tree LSTMs from the leaves up and
        from the top down.
    node_dim : int, default=100
        Number d of features of a node, for the tree LSTM an even one. In [1]_ it is 300.
    n_layers : int, default=1
        Number of layers over the graph.
    n_rows : int, optional
        Number of rows of the text, for "attention" alone, and at least 2: a softmax over one row
        is 1 whatever the label. None is 8.
    prior : {"sibling", "conditional"}, default="sibling"
        P(child | parent) from the numbers of training samples: the share of a child in the sum
        over its siblings and itself, as in the code of [1]_; or in the samples of the parent, as
        in the paper.
    graph_dropout : float, default=0.05
        Probability with which features are dropped within the layers in training.
    dropout : float, default=0.5
        The same of what enters the layers or S, and of what enters the last map.
    logit_dropout : float, default=0.0
        The same of the scores. The code of [1]_ has 0.5, with which the loss cannot fall below
        half of log 2; give it to follow that code to the letter.
    low_rank : int, optional
        Rank of the large maps. None is any rank.
    max_parameters : float, default=1e8
        The most weights of the large maps. The last map has N d x N of them for N nodes.

    See Also
    --------
    hierclf.nn.HiAGMPropagationHead, hierclf.nn.HiAGMAttentionHead : The torch modules, with
        numbers of weights.
    hierclf.nn.HierarchyGCN, hierclf.nn.HierarchyTreeLSTM : The layers, with their equations.

    References
    ----------
    .. [1] J. Zhou et al., "Hierarchy-Aware Global Model for Hierarchical Text
       Classification", ACL 2020.

    Examples
    --------
    >>> from hierclf import Hierarchy
    >>> from hierclf.heads import HiAGM
    >>> HiAGM(graph="tree_lstm").set_params(n_layers=2)
    HiAGM(graph='tree_lstm', n_layers=2)
    >>> HiAGM().check_hierarchy(Hierarchy.flat(range(4000)))
    Traceback (most recent call last):
    ValueError: HiAGM maps 100 features of each of 4,000 nodes to 4,000 scores: ...
    """

    _parameter_constraints: ClassVar[dict[str, Any]] = {
        "method": [StrOptions({"propagation", "attention"})],
        "graph": [StrOptions(set(GRAPHS))],
        "node_dim": SIZE,
        "n_layers": SIZE,
        "n_rows": [Interval(Integral, 1, None, closed="left"), None],
        "prior": [StrOptions(set(PRIORS))],
        "graph_dropout": PROBABILITY,
        "dropout": PROBABILITY,
        "logit_dropout": PROBABILITY,
        "low_rank": [*SIZE, None],
        "max_parameters": [Interval(Real, 0, None, closed="neither")],
    }

    def __init__(
        self,
        method: Literal["propagation", "attention"] = "propagation",
        graph: Literal["gcn", "tree_lstm"] = "gcn",
        node_dim: int = 100,
        n_layers: int = 1,
        n_rows: int | None = None,
        prior: Literal["sibling", "conditional"] = "sibling",
        graph_dropout: float = 0.05,
        dropout: float = 0.5,
        logit_dropout: float = 0.0,
        low_rank: int | None = None,
        max_parameters: float = 1e8,
    ) -> None:
        self.method = method
        self.graph = graph
        self.node_dim = node_dim
        self.n_layers = n_layers
        self.n_rows = n_rows
        self.prior = prior
        self.graph_dropout = graph_dropout
        self.dropout = dropout
        self.logit_dropout = logit_dropout
        self.low_rank = low_rank
        self.max_parameters = max_parameters

    def check(self) -> None:
        super().check()
        if self.n_rows is not None:
            if self.method != "attention":
                raise ValueError(
                    f"n_rows={self.n_rows} is for method='attention', which looks at rows of the "
                    f"text; method is {self.method!r}"
                )
            check_rows(self.n_rows)
        if self.graph == "tree_lstm" and self.node_dim % 2:
            raise ValueError(
                "node_dim must be even for graph='tree_lstm', where each direction gives half of "
                f"it; got {self.node_dim}"
            )

    def check_hierarchy(self, hierarchy: Hierarchy, *, n_heads: int = 1) -> None:
        """Check that the maps over the nodes are not too large.

        Parameters
        ----------
        hierarchy : Hierarchy
            The hierarchy that is trained.
        n_heads : int
            How many heads there will be over it.

        Raises
        ------
        ValueError
            If they have more than ``max_parameters`` weights. The size of the hidden state is
            not known yet: with it, "propagation" checks again when the network is made.
        """
        of_text = 0 if self.method == "propagation" else None
        p = self._plain_params()
        check_size(
            len(hierarchy), p["node_dim"], p["low_rank"], of_text, p["max_parameters"], n_heads
        )

    def build(self, hierarchy: Hierarchy, *, counts: NDArray[Any]) -> Callable[..., nn.NodeHead]:
        params = self._plain_params()
        n_rows = params.pop("n_rows")
        params["prior"] = nn.edge_priors(hierarchy, counts, self.prior)
        if params.pop("method") == "propagation":
            return partial(nn.HiAGMPropagationHead, **params)
        return partial(nn.HiAGMAttentionHead, n_rows=_ROWS if n_rows is None else n_rows, **params)
