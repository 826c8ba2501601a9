"""Classifiers around a classifier, which learn from samples that it was not trained on."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from numbers import Integral, Real
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

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

from hierclf._compat import (
    HasMethods,
    Interval,
    RealNotInt,
    StrOptions,
    check_sample_weight,
    fit_context,
    safe_indexing,
)
from hierclf._hierarchies import (
    classes_in,
    fitted_hierarchy,
    hierarchy_param,
    name_nodes,
    name_paths,
)
from hierclf._probabilities import check_proba
from hierclf._targets import accuracy, locate
from hierclf.hierarchy import Hierarchy, as_hierarchy
from hierclf.hierarchy._nodes import as_labels, plain_array

if TYPE_CHECKING:
    from typing_extensions import Self


class Fold(NamedTuple):
    """Samples that were held out, and what an estimator trained without them says of them.

    Parameters
    ----------
    rows : ndarray of shape (n,), dtype intp
        Which samples. None has weight 0.
    classes : ndarray of shape (n_classes,)
        The classes that the estimator knows, as the whole hierarchy names them: rare ones may
        not be among them.
    proba : ndarray of shape (n, n_classes)
        Their probabilities.
    weight : ndarray of shape (n,), dtype float64
        How much each sample counts: 1 for the heaviest of all.
    """

    rows: NDArray[np.intp]
    classes: NDArray[Any]
    proba: NDArray[Any]
    weight: NDArray[np.float64]


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

    @fit_context(prefer_skip_nested_validation=False)  # type: ignore[untyped-decorator]
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
        given = None if sample_weight is None else _read_weight(sample_weight, len(y))
        # Only the ratios count: in this way equal weights are 1, to the last digit.
        weight = np.ones(len(y)) if given is None else given / given.max()
        self._check_prefit()
        labels = self._read_labels(y, weight)
        fit_params = self._fit_params(given)
        if self.hierarchy is not None:
            hierarchy = as_hierarchy(self.hierarchy)
            positions = labels.positions(hierarchy)
        splits = self._split(X, labels.codes, weight)
        if splits is None:
            estimator = self.estimator
        elif self.refit:
            estimator = clone(self.estimator).fit(X, labels.y, **fit_params)
        else:
            estimator = _fit(self.estimator, X, labels.y, splits[0].train, fit_params)
        if self.hierarchy is None:
            hierarchy = fitted_hierarchy(estimator)
            with _suggest_whole_hierarchy():
                positions = labels.positions(hierarchy)
        hold_out = partial(_hold_out, X=X, weight=weight, hierarchy=hierarchy)
        if splits is None:
            folds = [hold_out(estimator, rows=np.flatnonzero(weight))]
        elif self.refit:
            folds = Parallel(n_jobs=self.n_jobs)(
                delayed(_fit_and_hold_out)(
                    self.estimator, X, labels.y, split, weight, fit_params, hierarchy
                )
                for split in splits
            )
        else:
            folds = [hold_out(estimator, rows=splits[0].test)]
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

    def _read_labels(self, y: Any, weight: NDArray[np.float64]) -> _Labels:
        """Read labels or paths; what hierarchy there is tells tuples that are nodes from paths."""
        if self.hierarchy is not None:
            return _read_labels(y, weight, as_hierarchy(self.hierarchy))
        if not self._is_prefit:
            return _read_labels(y, weight, hierarchy_param(self.estimator))
        with _suggest_whole_hierarchy():
            return _read_labels(y, weight, fitted_hierarchy(self.estimator))

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
        labels: NDArray[np.intp],
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
            the weight is 0, since no label is needed.
        classes : ndarray of shape (n_classes,)
            The classes of the estimator that will predict.
        hierarchy : Hierarchy
            The hierarchy.
        """
        raise NotImplementedError

    def _split(self, X: Any, y: NDArray[Any], weight: NDArray[np.float64]) -> list[_Split] | None:
        """Part the samples, or return None if nothing is to be trained."""
        if self._is_prefit:
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


class _Split(NamedTuple):
    """Samples to train on, and samples to hold out."""

    train: NDArray[np.intp]
    test: NDArray[np.intp]


class _Labels(NamedTuple):
    """The labels of all samples.

    Attributes
    ----------
    y : array-like of length n_samples
        What the estimator is trained on: labels, or paths as they were given.
    known : array-like of length n_samples
        The same, but a sample of weight 0, whose label may be anything, has that of another.
    counts : ndarray of shape (n_samples,), dtype bool
        Whether the weight is not 0.
    codes : ndarray of shape (n_samples,)
        What tells labels apart for a split.
    longest_path : int or None
        Length of the longest path; None where y holds single labels.
    """

    y: Any
    known: Any
    counts: NDArray[np.bool_]
    codes: NDArray[Any]
    longest_path: int | None

    def positions(self, hierarchy: Hierarchy) -> NDArray[np.intp]:
        """Return where the labels are in ``hierarchy.nodes``, -1 for samples of weight 0."""
        known = self.known
        if self.longest_path is not None:
            if not hierarchy.is_tree:
                raise ValueError(
                    "y holds paths, and predictions can be paths in a tree only, while in a DAG "
                    "several may lead to a node: give the last label of each path, "
                    "hierarchy.leaves_from_paths(y)"
                )
            known = hierarchy.leaves_from_paths(known)
        positions = hierarchy.node_indices(known)
        positions[~self.counts] = -1
        return positions


def _read_labels(y: Any, weight: NDArray[np.float64], hierarchy: Any) -> _Labels:
    """Read labels, or paths; a hierarchy tells tuples that are nodes from paths."""
    counts = weight > 0
    rows = np.where(counts, np.arange(len(counts)), counts.argmax())
    known = y if counts.all() else safe_indexing(y, rows)
    located = locate(known, hierarchy)
    if located is None:
        labels = column_or_1d(y, warn=True)
        assert_all_finite(labels, input_name="y")
        check_classification_targets(labels)
        return _Labels(labels, labels[rows], counts, labels, None)
    codes, longest_path = located.positions, located.longest_path
    if longest_path is None:
        y = plain_array(as_labels(y))
        known = y[rows]
    return _Labels(y, known, counts, codes, longest_path)


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


def _fit(estimator: Any, X: Any, y: Any, rows: NDArray[np.intp], fit_params: dict[str, Any]) -> Any:
    own = {name: safe_indexing(values, rows) for name, values in fit_params.items()}
    return clone(estimator).fit(safe_indexing(X, rows), safe_indexing(y, rows), **own)


def _hold_out(
    estimator: Any,
    X: Any,
    rows: NDArray[np.intp],
    weight: NDArray[np.float64],
    hierarchy: Hierarchy,
) -> Fold:
    proba = class_proba(estimator, safe_indexing(X, rows))
    return Fold(rows, classes_in(hierarchy, estimator), proba, weight[rows])


def _fit_and_hold_out(
    estimator: Any,
    X: Any,
    y: Any,
    split: _Split,
    weight: NDArray[np.float64],
    fit_params: dict[str, Any],
    hierarchy: Hierarchy,
) -> Fold:
    fitted = _fit(estimator, X, y, split.train, fit_params)
    return _hold_out(fitted, X, split.test, weight, hierarchy)


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
