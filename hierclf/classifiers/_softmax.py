"""Networks with one label per sample: what their training takes from labels and weights."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

from hierclf._utils.sklearn_private import fit_context
from hierclf.classifiers._checks import unchanged_on_failure
from hierclf.classifiers._estimator import BaseHierarchyEstimator, Settings, TrainingTargets
from hierclf.classifiers._features import InputReader
from hierclf.classifiers._single_label import SingleLabelClassifier
from hierclf.classifiers._stream import Stream
from hierclf.classifiers._targets import combine_weights
from hierclf.classifiers._warm_start import check_same_classes
from hierclf.decisions import as_decision
from hierclf.hierarchy import Hierarchy
from hierclf.nn.network import HierarchyNetwork

if TYPE_CHECKING:
    from typing_extensions import Self


class BaseSoftmaxClassifier(SingleLabelClassifier, BaseHierarchyEstimator):
    """A network over a hierarchy that learns and predicts one label, or path, per sample."""

    _parameter_constraints: ClassVar[dict[str, Any]] = {
        **BaseHierarchyEstimator._parameter_constraints,
        **SingleLabelClassifier._parameter_constraints,
    }

    _stream: Stream

    def __init__(
        self,
        hierarchy: Any,
        *,
        inner_labels: str,
        decision: Any,
        class_weight: Any,
        **network_and_training: Any,
    ) -> None:
        super().__init__(hierarchy, **network_and_training)
        self.inner_labels = inner_labels
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
        # Whoever calls may have switched gradients off, as around predictions.
        with unchanged_on_failure(self), torch.inference_mode(False), torch.enable_grad():
            self._fit(X, y, sample_weight)
        return self

    def _check_settings(self, *, is_stream: bool = False) -> Settings:
        as_decision(self.decision).check()
        return super()._check_settings(is_stream=is_stream)

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
        if settings.loss is not None:
            settings.loss.check_hierarchy(hierarchy)  # which may come from the labels
        if settings.goes_on:
            check_same_classes(self, targets.classes, targets.hierarchy)
        # A decision may not fit the classes.
        as_decision(self.decision).build(targets.class_positions, targets.hierarchy)
        weight = samples.weight
        if weight is not None:
            weight = weight / weight.max()  # only the ratios count, and sums stay finite
            weight = weight * (len(weight) / weight.sum())
        stream = Stream.begin(
            hierarchy, targets, given=settings.hierarchy, inner_labels=self.inner_labels
        ).with_samples(targets, weight)
        return samples.X, TrainingTargets(
            hierarchy=targets.hierarchy,
            target=targets.nodes,
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

    @property
    def _network(self) -> HierarchyNetwork:
        network: HierarchyNetwork = self.net_.module_
        return network

    def _apply(self, X: Any, function: Callable[..., Any], *, looks_at_all: bool) -> Any:
        net = self.net_
        X = self._reader.rows(X, net.dtype, net.device)
        return net.collect(X, function, looks_at_all=looks_at_all)

    def _find_leaves(self, X: Any, k: int) -> tuple[NDArray[np.intp], NDArray[Any], int]:
        leaves, log_proba, n_dense = super()._find_leaves(X, k)
        if self.verbose:
            print(
                f"{n_dense:,} of {len(leaves):,} samples took the pass over all "
                f"{len(self.classes_):,} classes"
            )
        return leaves, log_proba, n_dense
