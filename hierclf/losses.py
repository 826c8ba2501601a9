"""Losses, which training minimises: give one as ``loss=`` of a classifier.

A loss is an object with parameters, which a grid search can set: ``loss__alpha``.
"""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Real
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray

from hierclf import nn
from hierclf._utils.param_object import ParamObject
from hierclf._utils.sklearn_private import Interval
from hierclf.hierarchy import Hierarchy
from hierclf.nn.groups import PathSteps
from hierclf.nn.head import SoftmaxHead

__all__ = [
    "BaseLoss",
    "HierarchicalCrossEntropy",
    "PathCrossEntropy",
    "SoftLabelCrossEntropy",
]


class BaseLoss(ParamObject):
    """Describes what training minimises.

    For a loss of your own, subclass it and define :meth:`build`. The parameters are those of
    ``__init__``, as in any scikit-learn estimator.

    Examples
    --------
    The focal loss, in which samples count less if they are predicted well already. The module
    asks the head for the log-probabilities of the steps to each target, and adds them up to
    log P(target):

    >>> import torch
    >>> from hierclf import HierarchicalSoftmaxClassifier
    >>> from hierclf.losses import BaseLoss
    >>> class FocalModule(torch.nn.Module):
    ...     def __init__(self, gamma):
    ...         super().__init__()
    ...         self.gamma = gamma
    ...
    ...     def forward(self, head, hidden, target, sample_weight=None):
    ...         log_proba = head.path_log_proba(hidden, target).sum(dim=1)
    ...         losses = -((1 - log_proba.exp()) ** self.gamma) * log_proba
    ...         if sample_weight is not None:
    ...             losses = losses * sample_weight
    ...         return losses.mean()
    >>> class FocalLoss(BaseLoss):
    ...     def __init__(self, gamma=2.0):
    ...         self.gamma = gamma
    ...
    ...     def build(self, hierarchy, *, head, counts):
    ...         return FocalModule(self.gamma)
    >>> clf = HierarchicalSoftmaxClassifier(
    ...     {"animal": ["cat", "dog"], "plant": ["oak"]}, loss=FocalLoss(gamma=1.0),
    ...     learning_rate_init=0.05, max_iter=30, n_iter_no_change=30, random_state=0,
    ... )
    >>> clf.fit([[0.0, 1.0], [1.0, 0.0], [1.0, 1.0]], ["cat", "dog", "oak"]).predict([[0.0, 1.0]])
    array(['cat'], dtype='<U3')
    >>> clf.set_params(loss__gamma=0.5).loss
    FocalLoss(gamma=0.5)
    """

    needs_all_nodes: ClassVar[bool] = False
    """Whether the loss looks at the probabilities of all nodes and not only at those on the path
    to the label, so that nothing is saved by computing no others."""

    def check_hierarchy(self, hierarchy: Hierarchy) -> None:
        """Check that the parameters, each valid by itself, fit the hierarchy.

        Parameters
        ----------
        hierarchy : Hierarchy
            The hierarchy that the user gave. Some of its classes may have no samples.

        Raises
        ------
        ValueError
            If a parameter does not fit. The message names it.
        """

    def build(
        self, hierarchy: Hierarchy, *, head: type[SoftmaxHead], counts: NDArray[Any]
    ) -> torch.nn.Module:
        """Make the loss.

        Parameters
        ----------
        hierarchy : Hierarchy
            The classes that are trained.
        head : type
            The class of the head, a subclass of :class:`hierclf.nn.SoftmaxHead`. Its attributes
            ``gives_steps`` and ``smooths_labels`` say what it can do.
        counts : ndarray of shape (n_nodes,)
            Number of training samples labelled with each node or a node below it. With
            ``sample_weight`` it is their total weight, where the mean weight is 1.

        Returns
        -------
        torch.nn.Module
            The loss. Training calls it with the arguments of
            :meth:`hierclf.nn.PathLoss.forward`.
        """
        raise NotImplementedError


class PathCrossEntropy(BaseLoss):
    r"""Cross-entropy summed over the softmaxes on the path to the label: the default.

    .. math:: -\sum_q v_q \log P(m_q \mid q),

    where :math:`q` runs over the parents on the path (equation 7 of [1]_). If a sample is
    labelled with an inner node, the path ends at that node.

    Parameters
    ----------
    level_weights : sequence of float, optional
        The weight :math:`v` of the step into each level, the top level first. There is one
        weight for each level of the hierarchy. A flat softmax has no steps of its own: its
        probabilities are then divided into steps. None gives all steps the weight 1, and a
        flat softmax one step.
    label_smoothing : float, default=0.0
        Share of the label of a step that is spread evenly over the nodes of its softmax.
        These are the siblings. For a flat softmax without ``level_weights`` they are all
        classes. In [0, 1).
    logit_adjustment : float, default=0.0
        The factor :math:`\tau`. Training adds :math:`\tau \log \nu` to the logits, where
        :math:`\nu` is the frequency of a child among the samples of its parent. For a flat
        softmax it is the frequency of a class among all samples. A node without samples
        counts as if it had one. The predicted probabilities then favour rare classes. For
        :math:`\tau = 1` they are those of classes that are equally frequent [2]_.

    References
    ----------
    .. [1] J. Schuurmans and F. Frasincar, "Global Hierarchical Neural Networks using
       Hierarchical Softmax", arXiv:2308.01210.
    .. [2] R. Plaud, M. Labeau, A. Saillenfest and T. Bonald, "Revisiting Hierarchical
       Text Classification: Inference and Metrics", CoNLL 2024; A. K. Menon et al.,
       "Long-tail learning via logit adjustment", ICLR 2021.

    Examples
    --------
    >>> from hierclf import HierarchicalSoftmaxClassifier
    >>> from hierclf.losses import PathCrossEntropy
    >>> clf = HierarchicalSoftmaxClassifier(loss=PathCrossEntropy(logit_adjustment=1.0))
    >>> clf.set_params(loss__label_smoothing=0.1).loss
    PathCrossEntropy(label_smoothing=0.1, logit_adjustment=1.0)
    """

    _parameter_constraints: ClassVar[dict[str, Any]] = {
        "level_weights": ["array-like", None],
        "label_smoothing": [Interval(Real, 0, 1, closed="left")],
        "logit_adjustment": [Interval(Real, 0, None, closed="left")],
    }

    def __init__(
        self,
        level_weights: Sequence[float] | NDArray[Any] | None = None,
        label_smoothing: float = 0.0,
        logit_adjustment: float = 0.0,
    ) -> None:
        self.level_weights = level_weights
        self.label_smoothing = label_smoothing
        self.logit_adjustment = logit_adjustment

    def check_hierarchy(self, hierarchy: Hierarchy) -> None:  # noqa: D102, inherited
        if self.level_weights is None:
            return
        try:
            weights = np.asarray(self.level_weights)
        except ValueError:  # lists of several lengths
            weights = np.empty(0, dtype=object)
        if weights.dtype.kind not in "biuf":
            raise ValueError(f"level_weights must hold numbers, got {self.level_weights!r}")
        if weights.shape != (hierarchy.n_levels,):
            raise ValueError(
                f"level_weights must have one weight for each of the {hierarchy.n_levels} levels "
                f"of the hierarchy, got {self.level_weights!r}"
            )
        if not (np.isfinite(weights).all() and (weights >= 0).all() and weights.any()):
            raise ValueError(
                "level_weights must be finite, not negative and not all 0, "
                f"got {self.level_weights!r}"
            )

    def build(  # noqa: D102, inherited
        self, hierarchy: Hierarchy, *, head: type[SoftmaxHead], counts: NDArray[Any]
    ) -> torch.nn.Module:
        if self.level_weights is not None:
            _refuse_dag(hierarchy, "level_weights")
        if self.label_smoothing and not head.smooths_labels:
            _refuse_dag(hierarchy, "label_smoothing")
        weights = log_prior = steps = None
        if self.level_weights is not None:
            # Levels that no sample reaches are not in the hierarchy that is trained.
            given = np.asarray(self.level_weights, dtype=np.float64)
            weights = torch.tensor(given[: hierarchy.n_levels])
            steps = None if head.gives_steps else PathSteps(hierarchy)
        if self.logit_adjustment:
            log_counts = np.log(np.where(counts > 0, counts, 1.0))
            log_prior = torch.from_numpy(float(self.logit_adjustment) * log_counts)
        return nn.PathLoss(
            level_weights=weights,
            steps=steps,
            label_smoothing=float(self.label_smoothing),
            log_prior=log_prior,
        )


class HierarchicalCrossEntropy(BaseLoss):
    r"""Cross-entropy in which deeper steps count less.

    .. math:: -\sum_l \exp(-\alpha l) \log P(C_l \mid C_{l-1})

    over the levels :math:`l = 0, 1, \ldots` of the path [1]_. A large :math:`\alpha`
    gives more mistakes between siblings and fewer between branches. In [1]_ the softmax is
    flat, and its probabilities are divided into steps.

    Parameters
    ----------
    alpha : float, default=0.1
        How fast the weights fall with the depth. 0 is the usual cross-entropy.

    See Also
    --------
    PathCrossEntropy : Cross-entropy with any weights of the levels.

    References
    ----------
    .. [1] L. Bertinetto et al., "Making Better Mistakes: Leveraging Class Hierarchies
       with Deep Networks", CVPR 2020. There the weights are also divided by their sum
       over the tree. That makes the loss small and changes nothing else. Here the top
       level has weight 1.

    Examples
    --------
    >>> from hierclf import FlatSoftmaxClassifier
    >>> from hierclf.losses import HierarchicalCrossEntropy
    >>> FlatSoftmaxClassifier(loss=HierarchicalCrossEntropy(alpha=0.5)).loss
    HierarchicalCrossEntropy(alpha=0.5)
    """

    _parameter_constraints: ClassVar[dict[str, Any]] = {
        "alpha": [Interval(Real, 0, None, closed="left")],
    }

    def __init__(self, alpha: float = 0.1) -> None:
        self.alpha = alpha

    def build(  # noqa: D102, inherited
        self, hierarchy: Hierarchy, *, head: type[SoftmaxHead], counts: NDArray[Any]
    ) -> torch.nn.Module:
        _refuse_dag(hierarchy, "HierarchicalCrossEntropy")
        weights = np.exp(-float(self.alpha) * np.arange(hierarchy.n_levels))
        return PathCrossEntropy(weights).build(hierarchy, head=head, counts=counts)


class SoftLabelCrossEntropy(BaseLoss):
    r"""Cross-entropy to labels that are spread over the classes near the true one.

    .. math:: -\sum_C y_A(C) \log P(C), \qquad y_A(C) \propto \exp(-\beta \, d(A, C)),

    where :math:`d` is the height of the lowest common ancestor of the label :math:`A` and
    the class :math:`C`, over the height of the hierarchy [1]_. A small :math:`\beta` makes
    mistakes milder, and probabilities less sharp.

    Parameters
    ----------
    beta : float, default=10.0
        How fast the weight of a class falls with its distance from the label. Infinity is
        the usual cross-entropy. Take a larger value for more classes: the classes at the
        largest distance have the weight ``exp(-beta)`` each, and together their number times
        as much.

    References
    ----------
    .. [1] L. Bertinetto et al., "Making Better Mistakes: Leveraging Class Hierarchies
       with Deep Networks", CVPR 2020.

    Examples
    --------
    >>> from hierclf import FlatSoftmaxClassifier
    >>> from hierclf.losses import SoftLabelCrossEntropy
    >>> FlatSoftmaxClassifier(loss=SoftLabelCrossEntropy(beta=5)).loss
    SoftLabelCrossEntropy(beta=5)
    """

    needs_all_nodes: ClassVar[bool] = True

    _parameter_constraints: ClassVar[dict[str, Any]] = {
        "beta": [Interval(Real, 0, np.inf, closed="both")],
    }

    def __init__(self, beta: float = 10.0) -> None:
        self.beta = beta

    def build(  # noqa: D102, inherited
        self, hierarchy: Hierarchy, *, head: type[SoftmaxHead], counts: NDArray[Any]
    ) -> torch.nn.Module:
        _refuse_dag(hierarchy, "SoftLabelCrossEntropy")
        return nn.SoftLabelLoss(hierarchy, float(self.beta))


def _refuse_dag(hierarchy: Hierarchy, what: str) -> None:
    if not hierarchy.is_tree:
        raise ValueError(
            f"{what} needs a tree, in which a label has one path; this hierarchy is a DAG"
        )


def as_loss(loss: Any) -> BaseLoss:
    """Make a loss of what a user gives as ``loss``.

    Parameters
    ----------
    loss : BaseLoss or None
        None is :class:`PathCrossEntropy` with its defaults.

    Returns
    -------
    BaseLoss
        The object itself, if one was given.

    Raises
    ------
    TypeError
        If it is anything else.

    Examples
    --------
    >>> from hierclf.losses import as_loss
    >>> as_loss(None)
    PathCrossEntropy()
    """
    if loss is None:
        return PathCrossEntropy()
    if not isinstance(loss, BaseLoss):
        is_class = isinstance(loss, type) and issubclass(loss, BaseLoss)
        hint = f"; did you mean {loss.__name__}()?" if is_class else ""
        raise TypeError(
            "loss must be None or an object of hierclf.losses, such as PathCrossEntropy(); "
            f"got {loss!r}{hint}"
        )
    return loss
