"""HiMTL: a head for each branch."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, ClassVar, Literal

from numpy.typing import NDArray

from hierclf import nn
from hierclf._utils.sklearn_private import StrOptions
from hierclf.heads._base_head import BaseNodeHead, as_head
from hierclf.heads._constraints import SIZE
from hierclf.heads._hiagm import HiAGM
from hierclf.heads._hmcn import HMCN
from hierclf.hierarchy import Hierarchy
from hierclf.nn.himtl import (
    COMBINATIONS,
    METHODS,
    WEIGHTINGS,
    check_combination,
    split_hierarchy,
)


class HiMTL(BaseNodeHead):
    r"""A head for each branch of the hierarchy, over the same hidden state.

    A branch is a node below the root and all that is below it, or starts deeper with
    ``split_depth``. Its head is trained on its own nodes :math:`V_i` alone [1]_:

    .. math:: L = \sum_i \frac{w_i}{|V_i|} \sum_{v \in V_i} l_{iv}.

    A sample without a label in a branch is one on which all nodes of it are wrong, and is
    trained on as any other one. Nodes above the branches have a linear head of their own, which
    counts as a branch.

    Parameters
    ----------
    head : BaseNodeHead, optional
        The head of each branch. None is :class:`LinearHead`. A branch of one node has a linear
        head with "projection", since there is nothing to know about its structure.
    split_depth : int, default=1
        Depth of the nodes that the branches start with. That of the top level is 1.
    method : {"projection", "masking"}, default="projection"
        What the heads are over. With "projection" the head of a branch is over its nodes. With
        "masking" each head is over all nodes, and those outside of its branch count neither in
        training nor in prediction. There are then as many times more weights as branches.
    weighting : {"branch", "label"}, optional
        What counts the same in the loss: each branch, with :math:`w_i = 1`, or each node, with
        :math:`w_i = |V_i| / N` for N nodes. None is as in [1]_: "branch" with "projection", and
        "label" with "masking". So masking is projection with other weights, but for what the
        heads see of the graph.
    combine : {"max", "sum", "mean"}, default="max"
        What is predicted of a node that is in several branches, as it may be in a DAG: the
        largest of its probabilities or their mean. "sum" is refused there. In a tree they are
        the same.

    See Also
    --------
    hierclf.nn.HiMTLHead : The torch module.

    References
    ----------
    .. [1] "HiMTL: Hierarchy-aware Multi-Task Learning for Hierarchical Text Classification",
       ACL Rolling Review 2025, https://openreview.net/forum?id=5BKM5QdnWw.

    Examples
    --------
    >>> from hierclf.heads import HiAGM, HiMTL
    >>> HiMTL(HiAGM()).set_params(head__node_dim=300, method="masking")
    HiMTL(head=HiAGM(node_dim=300), method='masking')
    """

    _parameter_constraints: ClassVar[dict[str, Any]] = {
        "split_depth": SIZE,
        "method": [StrOptions(set(METHODS))],
        "weighting": [StrOptions(set(WEIGHTINGS)), None],
        "combine": [StrOptions(set(COMBINATIONS))],
    }

    def __init__(
        self,
        head: BaseNodeHead | None = None,
        split_depth: int = 1,
        method: Literal["projection", "masking"] = "projection",
        weighting: Literal["branch", "label"] | None = None,
        combine: Literal["max", "sum", "mean"] = "max",
    ) -> None:
        self.head = head
        self.split_depth = split_depth
        self.method = method
        self.weighting = weighting
        self.combine = combine

    def check(self) -> None:
        super().check()
        head = as_head(self.head)
        head.check()
        if self.method == "masking" and isinstance(head, HMCN) and head.violation_penalty:
            raise ValueError(
                "the violation_penalty of HMCN looks at all nodes, and method='masking' hides "
                "those outside of a branch: use method='projection', or violation_penalty=0"
            )

    def check_hierarchy(self, hierarchy: Hierarchy) -> None:
        _, branches = split_hierarchy(hierarchy, self.split_depth)
        check_combination(hierarchy, self.split_depth, self.combine)
        head = as_head(self.head)
        if self.method == "masking":
            if isinstance(head, HiAGM):
                head.check_hierarchy(hierarchy, n_heads=len(branches))
            else:
                head.check_hierarchy(hierarchy)
            return
        for branch in branches:
            if len(branch.hierarchy) > 1:
                head.check_hierarchy(branch.hierarchy)

    def build(self, hierarchy: Hierarchy, *, counts: NDArray[Any]) -> Callable[..., nn.NodeHead]:
        params = self._plain_params()
        head = as_head(params.pop("head"))
        _, branches = split_hierarchy(hierarchy, self.split_depth)
        heads: list[Callable[..., nn.NodeHead]]
        if self.method == "masking":
            heads = [head.build(hierarchy, counts=counts)] * len(branches)
        else:
            heads = [
                head.build(branch.hierarchy, counts=counts[branch.columns])
                if len(branch.hierarchy) > 1
                else nn.LinearNodeHead
                for branch in branches
            ]
        return partial(nn.HiMTLHead, heads=heads, **params)
