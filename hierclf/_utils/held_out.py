"""Classifiers around a classifier, which learn from rows that it was not trained on."""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Integral, Real
from typing import Any, ClassVar, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn import get_config
from sklearn.base import BaseEstimator, ClassifierMixin, MetaEstimatorMixin, clone
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import StratifiedShuffleSplit, check_cv
from sklearn.utils import assert_all_finite, get_tags
from sklearn.utils.metadata_routing import MetadataRouter, MethodMapping, process_routing
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.parallel import Parallel, delayed
from sklearn.utils.validation import (
    check_is_fitted,
    column_or_1d,
    has_fit_parameter,
    indexable,
)

from hierclf._utils.find_hierarchy import fitted_hierarchy
from hierclf._utils.labels import accuracy, objects_of
from hierclf._utils.proba import check_proba
from hierclf._utils.sklearn_private import (
    HasMethods,
    Interval,
    RealNotInt,
    StrOptions,
    check_sample_weight,
    fit_context,
    safe_indexing,
)
from hierclf.hierarchy import Hierarchy, as_hierarchy
from hierclf.hierarchy._nodes import as_labels, plain_array


class Fold(NamedTuple):
    """Rows that were held out, and what an estimator trained without them says of them.

    Parameters
    ----------
    rows : ndarray of shape (n,), dtype intp
        Which rows. None has weight 0.
    classes : ndarray of shape (n_classes,)
        The classes that the estimator knows: rare ones may not be among them.
    proba : ndarray of shape (n, n_classes)
        Their probabilities.
    weight : ndarray of shape (n,), dtype float64
        How much each row counts: 1, or less than the heaviest of all rows.
    """

    rows: NDArray[np.intp]
    classes: NDArray[Any]
    proba: NDArray[Any]
    weight: NDArray[np.float64]


class BaseHeldOutClassifier(ClassifierMixin, MetaEstimatorMixin, BaseEstimator):  # type: ignore[misc]
    """A classifier around another, with parameters of its own that held-out rows determine.

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

    @fit_context(prefer_skip_nested_validation=False)  # type: ignore[untyped-decorator]
    def fit(self, X: Any, y: ArrayLike, sample_weight: ArrayLike | None = None) -> Any:
        """Train the estimator, and learn from rows that it was not trained on.

        Parameters
        ----------
        X : array-like, sparse matrix or list of length n_samples
            What the estimator reads.
        y : array-like of shape (n_samples,)
            Labels. One may be an inner node, for a row known only that far, if the
            estimator can be trained on it or ``cv="prefit"``.
        sample_weight : array-like of shape (n_samples,), optional
            Weights, not negative: what the estimator is trained with, and how much each
            held-out row counts. With metadata routing it is trained with them only if it
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
        X, y = indexable(X, y)
        labels, codes = _read_labels(y)
        given = None if sample_weight is None else _read_weight(sample_weight, len(labels))
        fit_params = self._fit_params(given)
        # Only the ratios count: in this way equal weights are 1, to the last digit.
        weight = np.ones(len(labels)) if given is None else given / given.max()
        if self.hierarchy is not None:
            hierarchy = as_hierarchy(self.hierarchy)
            positions = _locate(labels, weight, hierarchy)
        splits = self._split(X, codes, weight)
        if splits is None:
            estimator = self.estimator
        elif self.refit:
            estimator = clone(self.estimator).fit(X, labels, **fit_params)
        else:
            estimator = _fit(self.estimator, X, labels, splits[0].train, fit_params)
        if self.hierarchy is None:
            hierarchy = fitted_hierarchy(estimator)
            try:
                positions = _locate(labels, weight, hierarchy)
            except ValueError as error:
                raise ValueError(
                    f"{error}. That of the fitted estimator holds what it was trained on: give "
                    "the whole one as hierarchy="
                ) from None
        if splits is None:
            folds = [_hold_out(estimator, X, np.flatnonzero(weight), weight)]
        elif self.refit:
            folds = Parallel(n_jobs=self.n_jobs)(
                delayed(_fit_and_hold_out)(self.estimator, X, labels, split, weight, fit_params)
                for split in splits
            )
        else:
            folds = [_hold_out(estimator, X, splits[0].test, weight)]
        self._learn(folds, positions, estimator.classes_, hierarchy)
        self.estimator_ = estimator
        self.hierarchy_ = hierarchy
        return self

    def _fit_params(self, sample_weight: NDArray[np.float64] | None) -> dict[str, Any]:
        """Return what the fit of the estimator takes besides rows and labels."""
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
        labels: NDArray[np.intp],
        classes: NDArray[Any],
        hierarchy: Hierarchy,
    ) -> None:
        """Set the attributes that held-out rows determine.

        Parameters
        ----------
        folds : sequence of Fold
            The held-out rows.
        labels : ndarray of shape (n_samples,)
            The true label of every row, as a position in ``hierarchy.nodes``; -1 where the
            row has weight 0, which needs no label.
        classes : ndarray of shape (n_classes,)
            The classes of the estimator that will predict.
        hierarchy : Hierarchy
            The hierarchy.
        """
        raise NotImplementedError

    def _split(self, X: Any, y: NDArray[Any], weight: NDArray[np.float64]) -> list[_Split] | None:
        """Part the rows, or return None if nothing is to be trained."""
        if self._is_prefit:
            try:
                check_is_fitted(self.estimator, "classes_")
            except NotFittedError:
                raise NotFittedError(
                    f"cv='prefit' needs a fitted estimator, and {self.estimator!r} is not"
                ) from None
            return None
        if isinstance(self.cv, Real) and not isinstance(self.cv, Integral):
            cv = StratifiedShuffleSplit(1, test_size=self.cv, random_state=self.random_state)
        else:
            cv = check_cv(self.cv, y, classifier=True)
        rows = np.arange(len(y))
        splits = [_Split(rows[train], rows[test]) for train, test in cv.split(X, y)]
        if not self.refit and len(splits) != 1:
            raise ValueError(
                f"refit=False keeps the estimator of a single split, and cv={self.cv!r} has "
                f"{len(splits)}: use refit=True, or a share of the rows such as cv=0.2"
            )
        # Rows of no weight teach nothing, nor does a fold of nothing else.
        splits = [_Split(train, test[weight[test] > 0]) for train, test in splits]
        splits = [split for split in splits if len(split.test)]
        if not splits:
            raise ValueError(
                "sample_weight is 0 for every row that is held out: there is nothing to learn from"
            )
        return splits

    def score(self, X: Any, y: Any, sample_weight: ArrayLike | None = None) -> float:
        """Return the share of rows whose label is predicted.

        Parameters
        ----------
        X : array-like, sparse matrix or list of length n_samples
            What the estimator reads.
        y : array-like of shape (n_samples,)
            True labels.
        sample_weight : array-like of shape (n_samples,), optional
            Weights of the rows.

        Returns
        -------
        float
            In [0, 1]. For scores that give credit to an ancestor see
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


class _Split(NamedTuple):
    """Rows to train on, and rows to hold out."""

    train: NDArray[np.intp]
    test: NDArray[np.intp]


def _fit(
    estimator: Any, X: Any, y: NDArray[Any], rows: NDArray[np.intp], fit_params: dict[str, Any]
) -> Any:
    own = {name: safe_indexing(values, rows) for name, values in fit_params.items()}
    return clone(estimator).fit(safe_indexing(X, rows), safe_indexing(y, rows), **own)


def _hold_out(estimator: Any, X: Any, rows: NDArray[np.intp], weight: NDArray[np.float64]) -> Fold:
    proba = class_proba(estimator, safe_indexing(X, rows))
    return Fold(rows, np.asarray(estimator.classes_), proba, weight[rows])


def _fit_and_hold_out(
    estimator: Any,
    X: Any,
    y: NDArray[Any],
    split: _Split,
    weight: NDArray[np.float64],
    fit_params: dict[str, Any],
) -> Fold:
    return _hold_out(_fit(estimator, X, y, split.train, fit_params), X, split.test, weight)


def class_proba(estimator: Any, X: Any) -> NDArray[Any]:
    """Return the probabilities of a fitted estimator, of shape (n, n_classes), checked."""
    name = f"what {type(estimator).__name__}.predict_proba returned"
    return check_proba(estimator.predict_proba(X), np.asarray(estimator.classes_), name)


def _read_weight(sample_weight: ArrayLike, n_rows: int) -> NDArray[np.float64]:
    weight: NDArray[np.float64] = check_sample_weight(
        sample_weight, np.empty(n_rows), dtype=np.float64
    )
    negative = np.flatnonzero(weight < 0)
    if len(negative):
        raise ValueError(
            f"sample_weight must not be negative: row {negative[0]} has {weight[negative[0]]}"
        )
    if not weight.any():
        raise ValueError("sample_weight is zero for every row: there is nothing to learn from")
    return weight


def _locate(
    labels: NDArray[Any], weight: NDArray[np.float64], hierarchy: Hierarchy
) -> NDArray[np.intp]:
    """Look up the labels of the rows that count."""
    counts = weight > 0  # an estimator may have left out the others, and their labels
    positions = np.full(len(labels), -1)
    positions[counts] = hierarchy.node_indices(labels[counts])
    return positions


def _read_labels(y: Any) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return labels, and what tells them apart for a split: themselves where they have an order."""
    if any(type(label) is tuple for label in objects_of(y)):
        labels = plain_array(as_labels(y))
        numbers = {label: i for i, label in enumerate(dict.fromkeys(labels.tolist()))}
        return labels, np.array([numbers[label] for label in labels.tolist()])
    labels = column_or_1d(y, warn=True)
    assert_all_finite(labels, input_name="y")
    check_classification_targets(labels)
    return labels, labels
