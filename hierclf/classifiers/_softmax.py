"""Networks with one label per sample: what their training takes from labels and weights."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

from hierclf._utils.sklearn_private import StrOptions, fit_context
from hierclf.classifiers._computation import Step, head_class, keep_head
from hierclf.classifiers._features import InputReader
from hierclf.classifiers._network import BaseNetworkClassifier, Settings, TrainingTargets
from hierclf.classifiers._optimizer import LINEAR_LOGIT_ADJUSTMENT, NEWTON, OPTIMIZERS
from hierclf.classifiers._single_label import SingleLabelClassifier
from hierclf.classifiers._stream import Stream
from hierclf.classifiers._targets import combine_weights, scale_weights
from hierclf.classifiers._warm_start import check_same_classes
from hierclf.decisions import as_decision
from hierclf.hierarchy import Hierarchy
from hierclf.losses import BaseLoss, PathCrossEntropy, as_loss
from hierclf.nn.head import SoftmaxHead

if TYPE_CHECKING:
    from typing_extensions import Self


class BaseSoftmaxClassifier(SingleLabelClassifier, BaseNetworkClassifier):
    """A network over a hierarchy that learns and predicts one label, or path, per sample."""

    _parameter_constraints: ClassVar[dict[str, Any]] = {
        **BaseNetworkClassifier._parameter_constraints,
        **SingleLabelClassifier._parameter_constraints,
        "loss": "no_validation",
        "optimizer": [StrOptions({*OPTIMIZERS, NEWTON}), callable],
    }

    _stream: Stream

    def __init__(
        self,
        hierarchy: Any,
        *,
        inner_labels: str,
        loss: Any,
        decision: Any,
        class_weight: Any,
        **network_and_training: Any,
    ) -> None:
        super().__init__(hierarchy, **network_and_training)
        self.inner_labels = inner_labels
        self.loss = loss
        self.decision = decision
        self.class_weight = class_weight

    @fit_context(prefer_skip_nested_validation=True)
    def fit(self, X: Any, y: ArrayLike, sample_weight: ArrayLike | None = None) -> Self:
        """Train on samples and their labels.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            The features; with an encoder, what it reads. float32 and float64 train a
            network of that type; other types become float64. A sparse matrix is never
            made dense.
        y : array-like of shape (n_samples,) or (n_samples, n_levels)
            Labels, each a node of the hierarchy; ``inner_labels`` says what an inner node
            stands for. Or paths, the top level first, as an array, data frame or lists; they
            may end early, with "", None or NaN as padding.
        sample_weight : array-like of shape (n_samples,), optional
            Weights, not negative. Only their ratios count; a sample of weight 0 is left
            out.

        Returns
        -------
        object
            The fitted classifier.

        Raises
        ------
        ValueError
            If a parameter, X, y or a weight is not as described; the message names
            it. The classifier is then as it was before.

        Notes
        -----
        A fit that is interrupted, by Ctrl-C or by an error in training, raises, and leaves
        the classifier as it was before: a first fit leaves it unfitted. With
        ``warm_start`` a later one keeps what it has learnt: the weights are those of the
        last whole batch, and ``n_iter_`` and ``loss_curve_`` count the whole epochs. If
        training had diverged, all is as before.
        """
        self._fit(X, y, sample_weight)
        return self

    @abstractmethod
    def _head(self, hierarchy: Hierarchy, step: Step, loss: BaseLoss) -> Callable[..., SoftmaxHead]:
        """Return what makes the head for a hierarchy, and for what training does."""

    def _regularize(
        self, criterion: torch.nn.Module, hierarchy: Hierarchy, head: Callable[..., SoftmaxHead]
    ) -> torch.nn.Module:
        """Add to a loss what training minimises besides."""
        return criterion

    def _choose_head(
        self, targets: TrainingTargets, settings: Settings, step: Step
    ) -> tuple[Callable[..., SoftmaxHead], torch.nn.Module]:
        hierarchy, loss = targets.hierarchy, self.loss
        if loss is None:
            adjustment = LINEAR_LOGIT_ADJUSTMENT if step.is_lazy_linear else 0.0
            loss = PathCrossEntropy(logit_adjustment=adjustment)
        if settings.goes_on:
            head = keep_head(self.net_.module__head, hierarchy)
        else:
            head = self._head(hierarchy, step, loss)
        criterion = loss.build(hierarchy, head=head_class(head), counts=targets.counts)
        return head, self._regularize(criterion, hierarchy, head)

    def _network_params(self) -> dict[str, Any]:
        return {}

    def _check_settings(self, *, is_stream: bool = False) -> Settings:
        as_decision(self.decision).check()
        as_loss(self.loss).check()
        settings = super()._check_settings(is_stream=is_stream)
        if isinstance(settings.hierarchy, Hierarchy):
            as_loss(self.loss).check_hierarchy(settings.hierarchy)
        return settings

    def _read_targets(
        self,
        X: Any,
        y: Any,
        sample_weight: ArrayLike | None,
        settings: Settings,
        reader: InputReader,
    ) -> tuple[Any, TrainingTargets]:
        samples = self._read_samples(
            X,
            y,
            sample_weight,
            settings.hierarchy,
            reader,
            encoder=settings.encoder,
            reset=not settings.goes_on,
        )
        hierarchy, targets = samples.hierarchy, samples.targets
        as_loss(self.loss).check_hierarchy(hierarchy)  # which may come from the labels
        if settings.goes_on:
            check_same_classes(self, targets.classes, targets.hierarchy)
        # A decision may not fit the classes.
        as_decision(self.decision).build(targets.class_positions, targets.hierarchy)
        weight = scale_weights(samples.weight)
        stream = Stream.begin(
            hierarchy, targets, given=settings.hierarchy, inner_labels=self.inner_labels
        ).with_samples(targets, weight)
        return samples.X, TrainingTargets(
            hierarchy=targets.hierarchy,
            target=targets.nodes,
            strata=targets.nodes,
            weight=combine_weights(
                self.class_weight,
                weight,
                targets,
                hierarchy,
                is_given=isinstance(settings.hierarchy, Hierarchy),
            ),
            counts=stream.node_counts(targets.hierarchy),
            attributes=samples.attributes | {"_stream": stream},
        )

    def _find_leaves(self, X: Any, k: int) -> tuple[NDArray[np.intp], NDArray[Any], int]:
        leaves, log_proba, n_dense = super()._find_leaves(X, k)
        if self.verbose:
            print(
                f"{n_dense:,} of {len(leaves):,} samples took the pass over all "
                f"{len(self.classes_):,} classes"
            )
        return leaves, log_proba, n_dense
