"""Classifiers around a classifier, which learn from rows that it was not trained on."""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Integral, Real
from typing import Any, ClassVar, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, ClassifierMixin, MetaEstimatorMixin, clone
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import StratifiedShuffleSplit, check_cv
from sklearn.utils import assert_all_finite, get_tags
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.parallel import Parallel, delayed
from sklearn.utils.validation import check_is_fitted, column_or_1d, indexable

from hierclf._compat import (
    HasMethods,
    Interval,
    RealNotInt,
    StrOptions,
    fit_context,
    safe_indexing,
)
from hierclf._hierarchies import fitted_hierarchy
from hierclf._labels import accuracy, objects_of
from hierclf.hierarchy import Hierarchy, as_hierarchy
from hierclf.hierarchy._nodes import as_labels, plain_array


class Fold(NamedTuple):
    """Rows that were held out, and what an estimator trained without them says of them.

    Parameters
    ----------
    rows : ndarray of shape (n,), dtype intp
        Which rows.
    classes : ndarray of shape (n_classes,)
        The classes that the estimator knows: rare ones may not be among them.
    proba : ndarray of shape (n, n_classes)
        Their probabilities.
    """

    rows: NDArray[np.intp]
    classes: NDArray[Any]
    proba: NDArray[Any]


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
    def fit(self, X: Any, y: ArrayLike) -> Any:
        """Train the estimator, and learn from rows that it was not trained on.

        Parameters
        ----------
        X : array-like, sparse matrix or list of length n_samples
            What the estimator reads.
        y : array-like of shape (n_samples,)
            Labels. One may be an inner node, for a row known only that far, if the
            estimator can be trained on it or ``cv="prefit"``.

        Returns
        -------
        object
            The fitted classifier.

        Raises
        ------
        ValueError
            If a parameter or a label is not as described; the message names it.
        NotFittedError
            If ``cv="prefit"`` and the estimator is not fitted.
        """
        X, y = indexable(X, y)
        labels, codes = _read_labels(y)
        if self.hierarchy is not None:
            hierarchy = as_hierarchy(self.hierarchy)
            positions = hierarchy.node_indices(labels)
        splits = self._split(X, codes)
        if splits is None:
            estimator = self.estimator
        elif self.refit:
            estimator = clone(self.estimator).fit(X, labels)
        else:
            estimator = _fit(self.estimator, X, labels, splits[0][0])
        if self.hierarchy is None:
            hierarchy = fitted_hierarchy(estimator)
            try:
                positions = hierarchy.node_indices(labels)
            except ValueError as error:
                raise ValueError(
                    f"{error}. That of the fitted estimator holds what it was trained on: give "
                    "the whole one as hierarchy="
                ) from None
        if splits is None:
            folds = [_hold_out(estimator, X, np.arange(len(labels)))]
        elif self.refit:
            folds = Parallel(n_jobs=self.n_jobs)(
                delayed(_fit_and_hold_out)(self.estimator, X, labels, train, test)
                for train, test in splits
            )
        else:
            folds = [_hold_out(estimator, X, splits[0][1])]
        self._learn(folds, positions, estimator.classes_, hierarchy)
        self.estimator_ = estimator
        self.hierarchy_ = hierarchy
        return self

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
            The true label of every row, as a position in ``hierarchy.nodes``.
        classes : ndarray of shape (n_classes,)
            The classes of the estimator that will predict.
        hierarchy : Hierarchy
            The hierarchy.
        """
        raise NotImplementedError

    def _split(
        self, X: Any, y: NDArray[Any]
    ) -> list[tuple[NDArray[np.intp], NDArray[np.intp]]] | None:
        """Return rows to train on and rows to hold out, or None if nothing is to be trained."""
        if isinstance(self.cv, str):
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
        splits = list(cv.split(X, y))
        if not self.refit and len(splits) != 1:
            raise ValueError(
                f"refit=False keeps the estimator of a single split, and cv={self.cv!r} has "
                f"{len(splits)}: use refit=True, or a share of the rows such as cv=0.2"
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
        return accuracy(y, self.predict(X), sample_weight)

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


def _fit(estimator: Any, X: Any, y: NDArray[Any], rows: NDArray[np.intp]) -> Any:
    return clone(estimator).fit(safe_indexing(X, rows), safe_indexing(y, rows))


def _hold_out(estimator: Any, X: Any, rows: NDArray[np.intp]) -> Fold:
    proba = finite_proba(estimator, safe_indexing(X, rows))
    return Fold(rows, np.asarray(estimator.classes_), proba)


def finite_proba(estimator: Any, X: Any) -> NDArray[Any]:
    """Return the probabilities of a fitted estimator, or raise if some are not finite."""
    proba = np.asarray(estimator.predict_proba(X))
    if not np.isfinite(proba).all():
        row = int(np.flatnonzero(~np.isfinite(proba).all(axis=1))[0])
        raise ValueError(
            f"{type(estimator).__name__}.predict_proba gave row {row} the probabilities "
            f"{proba[row].tolist()[:5]}, which are not all finite"
        )
    return proba


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


def _fit_and_hold_out(
    estimator: Any, X: Any, y: NDArray[Any], train: NDArray[np.intp], test: NDArray[np.intp]
) -> Fold:
    return _hold_out(_fit(estimator, X, y, train), X, test)
