"""Classifiers around a classifier, which learn from samples that it was not trained on."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from numbers import Integral
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn import get_config
from sklearn.base import ClassifierMixin, MetaEstimatorMixin, clone
from sklearn.exceptions import NotFittedError
from sklearn.utils import get_tags
from sklearn.utils.metadata_routing import MetadataRouter, MethodMapping, process_routing
from sklearn.utils.parallel import Parallel, delayed
from sklearn.utils.validation import (
    check_is_fitted,
    has_fit_parameter,
    indexable,
)

from hierclf._utils.base_estimator import BaseEstimator
from hierclf._utils.find_hierarchy import (
    classes_in,
    fitted_hierarchy,
    hierarchy_param,
    is_multilabel,
)
from hierclf._utils.folds import (
    Fold,
    SampleLabels,
    SampleSets,
    Split,
    fit_and_hold_out,
    fit_on,
    hold_out,
    hold_out_weighted,
    read_sample_labels,
    read_weight,
    split_samples,
)
from hierclf._utils.labels import accuracy
from hierclf._utils.naming import name_nodes, name_paths
from hierclf._utils.sklearn_private import (
    HasMethods,
    Interval,
    RealNotInt,
    StrOptions,
    available_if,
    fit_context,
    n_samples,
)
from hierclf.hierarchy import Hierarchy, as_hierarchy

if TYPE_CHECKING:
    from typing_extensions import Self


class BaseHeldOutClassifier(ClassifierMixin, MetaEstimatorMixin, BaseEstimator):  # type: ignore[misc]
    """A classifier around another, with parameters of its own that held-out samples determine.

    A subclass defines :meth:`_learn`.
    """

    _parameter_constraints: ClassVar[dict[str, Any]] = {
        "estimator": [HasMethods(["fit", "predict_proba"])],
        "hierarchy": "no_validation",
        "cv": [
            "cv_object",
            StrOptions({"prefit"}),
            Interval(RealNotInt, 0, 1, closed="neither"),
        ],
        "refit": ["boolean"],
        "random_state": ["random_state"],
        "n_jobs": [Integral, None],
    }

    estimator: Any
    hierarchy: Any
    cv: Any
    refit: bool
    random_state: Any
    n_jobs: int | None

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags = get_tags(self.estimator).input_tags
        return tags

    @fit_context(prefer_skip_nested_validation=False)
    def fit(self, X: Any, y: Any, sample_weight: ArrayLike | None = None) -> Self:
        """Train the estimator, and learn from samples that it was not trained on.

        Parameters
        ----------
        X : array-like, sparse matrix or list of length n_samples
            What the estimator reads.
        y : array-like of shape (n_samples,) or (n_samples, n_levels)
            Labels, or paths if the estimator can be trained on paths or ``cv="prefit"``:
            an array, data frame or lists, as the estimator takes them. A label may be an
            inner node, for a sample known only that far, under the same condition.
        sample_weight : array-like of shape (n_samples,), optional
            Weights, not negative: what the estimator is trained with, and how much each
            held-out sample counts. With metadata routing it is trained with them only if it
            asks for them.

        Returns
        -------
        object
            The fitted classifier.

        Raises
        ------
        ValueError
            If a parameter, a label or a weight is not as described, or the estimator
            cannot be trained with weights; the message names it.
        NotFittedError
            If ``cv="prefit"`` and the estimator is not fitted.
        """
        if y is None:
            raise ValueError(
                f"{type(self).__name__} requires y to be passed, but the target y is None"
            )
        X, y = indexable(X, y)
        n = n_samples(y)
        given = None if sample_weight is None else read_weight(sample_weight, n)
        # Only the ratios count: in this way equal weights are 1, to the last digit.
        weight = np.ones(n) if given is None else given / given.max()
        self._check_prefit()
        labels = self._read_labels(y, weight)
        fit_params = self._fit_params(given)
        if self.hierarchy is not None:
            hierarchy = as_hierarchy(self.hierarchy)
            positions = labels.positions(hierarchy)
        splits = self._split(X, labels, weight)
        if splits is None:
            estimator = self.estimator
        elif self.refit:
            estimator = clone(self.estimator).fit(X, labels.y, **fit_params)
        else:
            estimator = fit_on(self.estimator, X, labels.y, splits[0].train, fit_params)
        if isinstance(labels, SampleLabels) and is_multilabel(estimator):
            raise ValueError(
                f"{type(estimator).__name__} was fitted to several labels per sample, and y holds "
                "one for each. hierclf.decisions.HierarchicalThresholdClassifierCV takes several"
            )
        if self.hierarchy is None:
            hierarchy = fitted_hierarchy(estimator)
            with _suggest_whole_hierarchy():
                positions = labels.positions(hierarchy)
        judge = partial(hold_out, X=X, weight=weight, hierarchy=hierarchy)
        if splits is None:
            folds = [judge(estimator, rows=np.flatnonzero(weight))]
        elif self.refit:
            folds = Parallel(n_jobs=self.n_jobs)(
                delayed(fit_and_hold_out)(
                    self.estimator, X, labels.y, split, weight, fit_params, hierarchy
                )
                for split in splits
            )
        else:
            folds = [judge(estimator, rows=splits[0].test)]
        self._learn(folds, positions, classes_in(hierarchy, estimator), hierarchy)
        self.estimator_ = estimator
        self.hierarchy_ = hierarchy
        self._longest_path = labels.longest_path
        return self

    def _check_prefit(self) -> None:
        if not self._is_prefit:
            return
        try:
            check_is_fitted(self.estimator, "classes_")
        except NotFittedError:
            raise NotFittedError(
                f"cv='prefit' needs a fitted estimator, and {self.estimator!r} is not"
            ) from None

    def _read_labels(self, y: Any, weight: NDArray[np.float64]) -> SampleLabels | SampleSets:
        """Read labels or paths; what hierarchy there is tells tuples that are nodes from paths."""
        name = type(self).__name__
        if self.hierarchy is not None:
            return read_sample_labels(y, weight, self.hierarchy, name)
        if not self._is_prefit:
            return read_sample_labels(y, weight, hierarchy_param(self.estimator), name)
        with _suggest_whole_hierarchy():
            return read_sample_labels(y, weight, fitted_hierarchy(self.estimator), name)

    def _name(self, nodes: NDArray[np.intp], reject_label: Any = None) -> NDArray[Any]:
        """Return predicted nodes in the form of y; nodes are positions, -1 for no answer."""
        hierarchy = self.hierarchy_
        if self._longest_path is None:
            classes, positions = np.asarray(self.classes_), hierarchy.node_indices(self._classes)
            return name_nodes(nodes, classes, positions, hierarchy, reject_label)
        paths = hierarchy.path_indices(nodes)
        return name_paths(paths, hierarchy, reject_label, width=self._longest_path)

    @property
    def _classes(self) -> NDArray[Any]:
        """The classes as ``hierarchy_`` names them."""
        return classes_in(self.hierarchy_, self.estimator_)

    def _fit_params(self, sample_weight: NDArray[np.float64] | None) -> dict[str, Any]:
        """Return what the fit of the estimator takes besides X and y."""
        if self._is_prefit:
            return {}
        if get_config()["enable_metadata_routing"]:
            routed = process_routing(self, "fit", sample_weight=sample_weight)
            return dict(routed.estimator.fit)
        if sample_weight is None:
            return {}
        if not has_fit_parameter(self.estimator, "sample_weight"):
            raise ValueError(
                f"sample_weight: {type(self.estimator).__name__}.fit does not take it. Give none; "
                "or, if what is inside takes it, ask for it there with set_fit_request, and "
                "switch on sklearn.set_config(enable_metadata_routing=True)"
            )
        return {"sample_weight": sample_weight}

    def get_metadata_routing(self) -> MetadataRouter:
        """Return what the methods take, and what they hand on to the estimator.

        Returns
        -------
        MetadataRouter
            ``sample_weight`` is used here, and handed on to the ``fit`` of an estimator that
            is to be trained and asks for it.
        """
        router = MetadataRouter(owner=type(self).__name__).add_self_request(self)
        if not self._is_prefit:
            to_fit = MethodMapping().add(caller="fit", callee="fit")
            router.add(estimator=self.estimator, method_mapping=to_fit)
        return router

    @property
    def _is_prefit(self) -> bool:
        return isinstance(self.cv, str)  # there is one word only

    def _learn(
        self,
        folds: Sequence[Fold],
        labels: Any,
        classes: NDArray[Any],
        hierarchy: Hierarchy,
    ) -> None:
        """Set the attributes that held-out samples determine.

        Parameters
        ----------
        folds : sequence of Fold
            The held-out samples.
        labels : ndarray of shape (n_samples,)
            The true label of every sample, as a position in ``hierarchy.nodes``; -1 where
            the weight is 0, since no label is needed. SampleNodes where samples may have several.
        classes : ndarray of shape (n_classes,)
            The classes of the estimator that will predict.
        hierarchy : Hierarchy
            The hierarchy.
        """
        raise NotImplementedError

    def _split(
        self, X: Any, labels: SampleLabels | SampleSets, weight: NDArray[np.float64]
    ) -> list[Split] | None:
        """Part the samples, or return None if nothing is to be trained."""
        if self._is_prefit:
            return None
        splits = split_samples(X, labels, self.cv, self.random_state)
        if not self.refit and len(splits) != 1:
            raise ValueError(
                f"refit=False keeps the estimator of a single split, and cv={self.cv!r} has "
                f"{len(splits)}: use refit=True, or a share of the rows such as cv=0.2"
            )
        return hold_out_weighted(splits, weight)

    def predict_proba(self, X: Any) -> NDArray[Any]:
        """Return the probabilities of the classes, as the estimator has them.

        Parameters
        ----------
        X : array-like, sparse matrix or list of length n_samples
            What the estimator reads.

        Returns
        -------
        ndarray of shape (n_samples, n_classes)
            Columns in the order of ``classes_``.
        """
        check_is_fitted(self)
        proba: NDArray[Any] = self.estimator_.predict_proba(X)
        return proba

    @available_if(
        lambda self: hasattr(getattr(self, "estimator_", self.estimator), "predict_log_proba")
    )
    def predict_log_proba(self, X: Any) -> NDArray[Any]:
        """Return the log-probabilities of the classes, as the estimator has them.

        Parameters
        ----------
        X : array-like, sparse matrix or list of length n_samples
            What the estimator reads.

        Returns
        -------
        ndarray of shape (n_samples, n_classes)
            Columns in the order of ``classes_``.
        """
        check_is_fitted(self)
        log_proba: NDArray[Any] = self.estimator_.predict_log_proba(X)
        return log_proba

    def score(self, X: Any, y: Any, sample_weight: ArrayLike | None = None) -> float:
        """Return the share of samples whose label, or whole path, is predicted.

        Parameters
        ----------
        X : array-like, sparse matrix or list of length n_samples
            What the estimator reads.
        y : array-like of shape (n_samples,) or (n_samples, n_levels)
            True labels, in the form that was fitted.
        sample_weight : array-like of shape (n_samples,), optional
            Weights of the samples.

        Returns
        -------
        float
            In [0, 1]. For metrics that give credit to an ancestor see
            :mod:`hierclf.metrics`.
        """
        predicted = self.predict(X)
        return accuracy(y, predicted, sample_weight, self.hierarchy_, type(self).__name__)

    @property
    def classes_(self) -> NDArray[Any]:
        """The classes of the estimator."""
        classes: NDArray[Any] = self.estimator_.classes_
        return classes

    @property
    def n_features_in_(self) -> int:
        """The number of features, if the estimator has it."""
        n: int = self.estimator_.n_features_in_
        return n

    @property
    def feature_names_in_(self) -> NDArray[Any]:
        """The names of the features, if the estimator has them."""
        names: NDArray[Any] = self.estimator_.feature_names_in_
        return names


@contextmanager
def _suggest_whole_hierarchy() -> Iterator[None]:
    """Say what to do about labels that are not in the hierarchy of the fitted estimator."""
    try:
        yield
    except ValueError as error:
        raise ValueError(
            f"{error}. That of the fitted estimator holds what it was trained on: give the whole "
            "one as hierarchy="
        ) from None
