"""Heads for several labels per sample: give one as ``head=`` of a classifier.

A head is an object with parameters, which a grid search can set: ``head__dropout``. It turns the
last hidden state into a score for each node of the hierarchy.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

from numpy.typing import NDArray

from hierclf import nn
from hierclf._utils.param_object import ParamObject
from hierclf.hierarchy import Hierarchy

__all__ = [
    "BaseNodeHead",
    "LinearHead",
]


class BaseNodeHead(ParamObject):
    """Describes the part of a network that gives each node of a hierarchy a score.

    For a head of your own, subclass it and define :meth:`build`. The parameters are those of
    ``__init__``, as in any scikit-learn estimator.

    Examples
    --------
    One more hidden layer for each of the top branches would be a head. This one only divides
    all scores by a temperature:

    >>> from functools import partial
    >>> from hierclf import HierarchicalMultilabelClassifier
    >>> from hierclf.heads import BaseNodeHead
    >>> from hierclf.nn import LinearNodeHead
    >>> class CoolModule(LinearNodeHead):
    ...     def __init__(self, *args, temperature, **kwargs):
    ...         super().__init__(*args, **kwargs)
    ...         self.temperature = temperature
    ...
    ...     def logits(self, hidden):
    ...         return super().logits(hidden) / self.temperature
    >>> class CoolHead(BaseNodeHead):
    ...     def __init__(self, temperature=1.0):
    ...         self.temperature = temperature
    ...
    ...     def build(self, hierarchy, *, counts):
    ...         return partial(CoolModule, temperature=self.temperature)
    >>> clf = HierarchicalMultilabelClassifier(head=CoolHead(2.0))
    >>> clf.set_params(head__temperature=0.5).head
    CoolHead(temperature=0.5)
    """

    reads_sparse: ClassVar[bool] = False
    """Whether the first thing it does is an affine map that can read sparse features, so that a
    sparse ``X`` needs no hidden layers."""

    def check_hierarchy(self, hierarchy: Hierarchy) -> None:
        """Check that the parameters, each valid by itself, fit the hierarchy.

        Parameters
        ----------
        hierarchy : Hierarchy
            The hierarchy that is trained.

        Raises
        ------
        ValueError
            If a parameter does not fit. The message names it.
        """

    def build(self, hierarchy: Hierarchy, *, counts: NDArray[Any]) -> Callable[..., nn.NodeHead]:
        """Return what makes the head.

        Parameters
        ----------
        hierarchy : Hierarchy
            The hierarchy that is trained.
        counts : ndarray of shape (n_nodes,)
            Number of training samples labelled with each node or a node below it. With
            ``sample_weight`` it is their total weight, where the mean weight is 1.

        Returns
        -------
        callable
            Takes ``(in_features, hierarchy, *, linear, generator, dtype, coherent)`` as
            :class:`hierclf.nn.LinearNodeHead` does, and returns a :class:`hierclf.nn.NodeHead`.
            It is pickled with the fitted net, so that it should be a class or a
            :func:`functools.partial` of one.
        """
        raise NotImplementedError


class LinearHead(BaseNodeHead):
    """One affine map: a logistic regression for each node, over shared hidden layers.

    Examples
    --------
    >>> from hierclf import HierarchicalMultilabelClassifier
    >>> from hierclf.heads import LinearHead
    >>> HierarchicalMultilabelClassifier(head=LinearHead()).head
    LinearHead()
    """

    reads_sparse: ClassVar[bool] = True

    def build(  # noqa: D102, inherited
        self, hierarchy: Hierarchy, *, counts: NDArray[Any]
    ) -> Callable[..., nn.NodeHead]:
        return nn.LinearNodeHead


def as_head(head: Any) -> BaseNodeHead:
    """Make a head of what a user gives as ``head``.

    Parameters
    ----------
    head : BaseNodeHead or None
        None is :class:`LinearHead`.

    Returns
    -------
    BaseNodeHead
        The object itself, if one was given.

    Raises
    ------
    TypeError
        If it is anything else.

    Examples
    --------
    >>> from hierclf.heads import as_head
    >>> as_head(None)
    LinearHead()
    """
    if head is None:
        return LinearHead()
    if not isinstance(head, BaseNodeHead):
        is_class = isinstance(head, type) and issubclass(head, BaseNodeHead)
        hint = f"; did you mean {head.__name__}()?" if is_class else ""
        raise TypeError(
            f"head must be None or an object of hierclf.heads, such as LinearHead(); got "
            f"{head!r}{hint}"
        )
    return head
