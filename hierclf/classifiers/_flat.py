"""The baseline: the same classifier with a single softmax over all classes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
from torch.optim import Optimizer

from hierclf.classifiers._single_label import BaseSoftmaxClassifier
from hierclf.decisions import BaseDecision
from hierclf.hierarchy import Hierarchy
from hierclf.losses import BaseLoss
from hierclf.nn import FlatSoftmax, Head


class FlatSoftmaxClassifier(BaseSoftmaxClassifier):
    """The flat baseline: one softmax over all classes, the same in all else.

    With equal parameters it starts from the same hidden layers and sees the same
    batches as :class:`HierarchicalSoftmaxClassifier`; the two differ in the head alone.
    It uses the hierarchy to add up the probabilities of leaves, so that it too gives
    every node a probability.

    Parameters
    ----------
    hierarchy : dict, iterable of edges, graph, Hierarchy or inducer, optional
        The tree of the classes. It does not change how the classifier is trained.
    encoder, hidden_layer_sizes, activation, dropout
        See :class:`HierarchicalSoftmaxClassifier`.
    loss, decision
        See :class:`HierarchicalSoftmaxClassifier`.
    optimizer, learning_rate_init, weight_decay
        See :class:`HierarchicalSoftmaxClassifier`.
    batch_size, max_iter, tol, n_iter_no_change, early_stopping, validation_fraction
        See :class:`HierarchicalSoftmaxClassifier`.
    class_weight, warm_start, callbacks, device, random_state, verbose
        See :class:`HierarchicalSoftmaxClassifier`.

    Attributes
    ----------
    classes_, hierarchy_, net_, loss_curve_, n_iter_, n_features_in_, feature_names_in_
        See :class:`HierarchicalSoftmaxClassifier`.

    See Also
    --------
    HierarchicalSoftmaxClassifier : A softmax at every inner node.

    Examples
    --------
    >>> from hierclf import FlatSoftmaxClassifier
    >>> from hierclf.datasets import load_digits_hierarchy
    >>> digits = load_digits_hierarchy()
    >>> X, y = digits.data / 16, digits.target
    >>> clf = FlatSoftmaxClassifier(
    ...     digits.hierarchy, max_iter=30, n_iter_no_change=30, random_state=0
    ... )
    >>> clf.fit(X, y).predict(X[:5]).tolist()
    ['0', '1', '2', '3', '4']
    >>> clf.predict(X[:3], level="parent").tolist()
    ['closed loop', 'straight strokes', 'open curve']
    """

    def __init__(
        self,
        hierarchy: Any = None,
        *,
        encoder: Any = None,
        hidden_layer_sizes: int | Sequence[int] | None = None,
        activation: Literal["relu", "gelu", "tanh", "logistic", "identity"] = "relu",
        dropout: float = 0.0,
        loss: BaseLoss | None = None,
        decision: str | BaseDecision = "argmax",
        optimizer: str | type[Optimizer] = "auto",
        learning_rate_init: float = 1e-3,
        weight_decay: float = 1e-4,
        batch_size: int = 128,
        max_iter: int = 200,
        tol: float = 1e-4,
        n_iter_no_change: int = 10,
        early_stopping: bool = False,
        validation_fraction: float = 0.1,
        class_weight: dict[Any, float] | Literal["balanced"] | None = None,
        warm_start: bool = False,
        callbacks: Sequence[Any] | None = None,
        device: str = "cpu",
        random_state: int | np.random.RandomState | None = None,
        verbose: int = 0,
    ) -> None:
        super().__init__(
            hierarchy,
            encoder=encoder,
            hidden_layer_sizes=hidden_layer_sizes,
            activation=activation,
            dropout=dropout,
            loss=loss,
            decision=decision,
            optimizer=optimizer,
            learning_rate_init=learning_rate_init,
            weight_decay=weight_decay,
            batch_size=batch_size,
            max_iter=max_iter,
            tol=tol,
            n_iter_no_change=n_iter_no_change,
            early_stopping=early_stopping,
            validation_fraction=validation_fraction,
            class_weight=class_weight,
            warm_start=warm_start,
            callbacks=callbacks,
            device=device,
            random_state=random_state,
            verbose=verbose,
        )

    def _head(self, hierarchy: Hierarchy) -> type[Head]:
        return FlatSoftmax
