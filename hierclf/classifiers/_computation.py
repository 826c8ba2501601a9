"""How training computes the softmaxes: all of them, or those on the paths of a batch alone."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple, cast
from warnings import warn

import torch

from hierclf.classifiers._optimizer import LAZY
from hierclf.hierarchy import Hierarchy
from hierclf.losses import BaseLoss
from hierclf.nn import BranchedSoftmax, DAGSoftmax, HierarchicalSoftmax, PathSoftmax, SoftmaxHead
from hierclf.nn._fast import has_numba
from hierclf.nn.branches import check_has_branches
from hierclf.nn.path import mean_path_nodes

COMPUTATIONS = ("auto", "dense", "path")

# "auto" is "path" from so many nodes times samples in a batch on, and where the hierarchy has so
# many times the nodes that the softmaxes on a path have. The first of each pair is with numba, the
# second without. Measured on one thread with 64 features, trees of 100 to 60,000 nodes that branch
# by 2, 10, 100 and the root of their number, and batches of 32, 128 and 512.
_LEAST_WORK = (75_000, 1_000_000)
_LEAST_SHARE = (2.5, 60.0)
# With numba "path" is the faster in smaller trees, too, by a microsecond or two a sample. To load
# numba takes about a second, which so many visits of a sample in all epochs make up for.
_LEAST_VISITS = 5_000_000


class Step(NamedTuple):
    """What a training step is, as far as its cost depends on it.

    Attributes
    ----------
    batch_size : int
        Samples per step, of those that there are.
    n_visits : int
        Samples times epochs, if training does not stop before the last one.
    is_linear_of_sparse : bool
        Whether the head reads the features, and these are sparse.
    is_lazy_linear : bool
        Whether the optimiser "auto" is the one for linear models of sparse features.
    optimizer : str or callable
        As the user gave it.
    device : str
        Where the network is.
    """

    batch_size: int
    n_visits: int
    is_linear_of_sparse: bool
    is_lazy_linear: bool
    optimizer: Any
    device: str


def choose_head(
    computation: str,
    hierarchy: Hierarchy,
    step: Step,
    loss: BaseLoss,
    needs_all: str | None = None,
) -> type[SoftmaxHead]:
    """Choose the class of the head.

    Parameters
    ----------
    computation : {"auto", "dense", "path"}
        What the user asked for.
    hierarchy : Hierarchy
        The classes that are trained.
    step : Step
        What training does with them.
    loss : BaseLoss
        What is minimised.
    needs_all : str, optional
        Why "path" would save nothing, or has no form, where a parameter is the reason.

    Returns
    -------
    type
        A subclass of :class:`hierclf.nn.SoftmaxHead`.

    Raises
    ------
    ValueError
        If "path" is asked for, and sparse features would be read.

    Warns
    -----
    UserWarning
        If "path" is asked for and would save nothing, or has no form: the head is dense.
    """
    dense = HierarchicalSoftmax if hierarchy.is_tree else DAGSoftmax
    if computation == "path":
        if step.is_linear_of_sparse:
            raise ValueError(
                "computation='path' trains a softmax over dense vectors, and here it would read "
                "the sparse X: give a hidden layer, such as hidden_layer_sizes=(100,), or "
                "computation='dense'"
            )
        reason = needs_all or _why_not(hierarchy, step, loss)
        if reason is None:
            return PathSoftmax
        warn(f"computation='path' {reason}: computation='dense' is used", stacklevel=8)
        return dense
    can = computation == "auto" and step.device == "cpu" and not step.is_linear_of_sparse
    can = can and isinstance(step.optimizer, str) and step.optimizer in LAZY and not needs_all
    if can and _why_not(hierarchy, step, loss) is None and _pays(hierarchy, step):
        return PathSoftmax
    return dense


def head_class(head: Callable[..., SoftmaxHead]) -> type[SoftmaxHead]:
    """Return the class of what makes a head: itself, or the one that a ``partial`` binds."""
    return cast("type[SoftmaxHead]", head.func if isinstance(head, partial) else head)


def keep_head(
    before: Callable[..., SoftmaxHead], hierarchy: Hierarchy
) -> Callable[..., SoftmaxHead]:
    """Return what makes the head of a network that goes on: as it was, if it can be.

    Parameters
    ----------
    before : type or callable
        What it was.
    hierarchy : Hierarchy
        The classes from now on.

    Returns
    -------
    type or callable
        A dense head where a tree has become a DAG, or the other way round.

    Raises
    ------
    ValueError
        If a tree whose branches have layers has become a DAG.
    """
    if head_class(before) is BranchedSoftmax:
        check_has_branches(hierarchy)
        return before
    if issubclass(head_class(before), HierarchicalSoftmax) and not hierarchy.is_tree:
        return DAGSoftmax
    return HierarchicalSoftmax if before is DAGSoftmax and hierarchy.is_tree else before


def _why_not(hierarchy: Hierarchy, step: Step, loss: BaseLoss) -> str | None:
    """Return why the paths of a batch are not all that training needs."""
    if not hierarchy.is_tree:
        return "needs a tree, in which a label has one path, and this hierarchy is a DAG"
    if loss.needs_all_nodes:
        return f"saves nothing with loss={loss!r}, which looks at all nodes"
    if torch.device(step.device).type == "mps":
        return "has no form on device='mps', which lacks sparse tensors"
    return None


def _pays(hierarchy: Hierarchy, step: Step) -> bool:
    """Tell whether "path" is the faster, by a rule that looks at no clock."""
    n_nodes, on_path = len(hierarchy), mean_path_nodes(hierarchy)

    def is_enough(work: float, share: float) -> bool:
        return n_nodes * step.batch_size >= work and n_nodes >= share * on_path

    # If the least is not reached, numba, which takes a while, need not be imported.
    (work, work_without), (share, share_without) = _LEAST_WORK, _LEAST_SHARE
    is_worth_loading = is_enough(0 if step.n_visits >= _LEAST_VISITS else work, share)
    return is_worth_loading and (is_enough(work_without, share_without) or has_numba())
