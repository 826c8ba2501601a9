"""Scorers for cross-validation and searches."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from inspect import Parameter, signature
from typing import Any, Literal, TypeAlias, get_args

import numpy as np
import scipy.sparse as sp
from numpy.typing import ArrayLike, NDArray

from hierclf._utils.find_hierarchy import (
    classes_in,
    given_hierarchy,
    hierarchy_param,
    is_multilabel,
    own_hierarchy,
)
from hierclf._utils.label_sets import LabelSets, read_label_sets
from hierclf._utils.labels import column_names
from hierclf._utils.sklearn_private import StrOptions, validate_parameter_constraints
from hierclf.hierarchy import Hierarchy, as_hierarchy
from hierclf.hierarchy._indicators import find_columns
from hierclf.hierarchy._nodes import plain_array
from hierclf.hierarchy._readers import iter_rows
from hierclf.metrics._average_precision import hierarchical_average_precision_score
from hierclf.metrics._consistency import consistency_score
from hierclf.metrics._distances import lca_height, mistake_severity, tree_distance
from hierclf.metrics._from_proba import hierarchical_distance_at_k, level_calibration_error
from hierclf.metrics._read import tell_apart

_LOWER_IS_BETTER = (
    tree_distance,
    lca_height,
    mistake_severity,
    hierarchical_distance_at_k,
    level_calibration_error,
)
_OF_PROBABILITIES = (
    hierarchical_average_precision_score,
    hierarchical_distance_at_k,
    level_calibration_error,
)
_WITHOUT_TRUTH = (consistency_score,)

ResponseMethod: TypeAlias = Literal[
    "predict", "predict_proba", "predict_log_proba", "decision_function"
]


def make_hierarchical_scorer(
    metric: Callable[..., float],
    hierarchy: Any = None,
    *,
    response_method: ResponseMethod | None = None,
    greater_is_better: bool | None = None,
    **kwargs: Any,
) -> Callable[..., float]:
    """Make a scorer of a metric that takes ``hierarchy=``.

    Parameters
    ----------
    metric : callable
        A metric of :mod:`hierclf.metrics`, or any ``metric(y_true, y_pred, *, hierarchy,
        **kwargs)``.
    hierarchy : Hierarchy, dict, edges or graph, optional
        The hierarchy to judge by. None is the `hierarchy` that the estimator was given, whole,
        not pruned to the classes it has seen, so that the folds of a cross-validation are judged
        alike. It is looked for in the last step of pipelines and inside meta-estimators. Where a
        search tries several hierarchies, give the one that all are to be judged by.

        Where labels are paths and the estimator was given none, None is the hierarchy of all the
        paths that it was trained on or is scored on. In a cross-validation whose folds have all
        samples among them, as in k-fold, this is ``Hierarchy.from_paths(y)``. Where a split
        leaves samples out, give that one.
    response_method : {"predict", "predict_proba", "predict_log_proba", "decision_function"}, \
optional
        What to score. None is what the metric needs: probabilities for
        :func:`hierarchical_average_precision_score`, :func:`hierarchical_distance_at_k` and
        :func:`level_calibration_error`, else predictions. For the second it is the `k` labels of
        ``predict_topk`` where the estimator has that, so that there may be very many classes.
        If it is not "predict" and the metric takes `labels`, these are the estimator's
        ``classes_``. Where several labels are predicted for each sample, columns are found by
        these names, too, and y may be lists of labels.
    greater_is_better : bool, optional
        Whether the scorer returns the score, or minus the score. None is what the metric needs:
        False for the distances, the severity of mistakes and the calibration error, else True.
    **kwargs
        Further arguments of the metric, such as ``average="macro"``.

    Returns
    -------
    callable
        ``scorer(estimator, X, y, sample_weight=None)``, to be given as ``scoring=``.

    Raises
    ------
    TypeError
        If the metric does not take `hierarchy` or one of `kwargs`, or lacks one that it needs.
    ValueError
        If `hierarchy` or another parameter is wrong. The scorer raises it if `hierarchy` is None
        and the estimator has none, or learns it from the data. Cross-validation and searches
        make a score of NaN and a warning of it, with the message at its end, unless they are
        told ``error_score="raise"``.

    See Also
    --------
    sklearn.metrics.make_scorer : For metrics that need no hierarchy.

    Examples
    --------
    >>> from sklearn.linear_model import LogisticRegression
    >>> from hierclf.metrics import make_hierarchical_scorer, tree_distance
    >>> scorer = make_hierarchical_scorer(tree_distance, {"animal": ["cat", "dog"], "plant": []})
    >>> scorer
    make_hierarchical_scorer(tree_distance, <Hierarchy: 4 nodes, 3 leaves, 2 levels>)
    >>> X, y = [[0], [1], [8], [9]], ["cat", "cat", "plant", "plant"]
    >>> clf = LogisticRegression().fit(X, y)
    >>> scorer(clf, [[0], [9]], ["dog", "plant"])  # cat is 2 edges from dog
    -1.0
    """
    function = metric.func if isinstance(metric, partial) else metric
    validate_parameter_constraints(
        {
            "metric": [callable],
            "response_method": [StrOptions(set(get_args(ResponseMethod))), None],
            "greater_is_better": ["boolean", None],
        },
        {
            "metric": metric,
            "response_method": response_method,
            "greater_is_better": greater_is_better,
        },
        caller_name="make_hierarchical_scorer",
    )
    takes_topk = response_method is None and function is hierarchical_distance_at_k
    if response_method is None:
        response_method = "predict_proba" if function in _OF_PROBABILITIES else "predict"
    if greater_is_better is None:
        greater_is_better = function not in _LOWER_IS_BETTER
    return _HierarchicalScorer(
        metric,
        None if hierarchy is None else as_hierarchy(hierarchy),
        response_method,
        greater_is_better,
        needs_truth=function not in _WITHOUT_TRUTH,
        # Where k is an argument, and not a part of a partial function, it can be left out.
        takes_topk=takes_topk and "k" in kwargs and "labels" not in kwargs,
        kwargs=kwargs,
    )


class _HierarchicalScorer:
    """What `make_hierarchical_scorer` returns."""

    def __init__(
        self,
        metric: Callable[..., float],
        hierarchy: Hierarchy | None,
        response_method: str,
        greater_is_better: bool,
        *,
        needs_truth: bool,
        takes_topk: bool,
        kwargs: dict[str, Any],
    ) -> None:
        self.metric = metric
        self.hierarchy = hierarchy
        self.response_method = response_method
        self.greater_is_better = greater_is_better
        self.needs_truth = needs_truth
        self.takes_topk = takes_topk
        self.kwargs = kwargs
        function = metric.func if isinstance(metric, partial) else metric
        # A misspelt or missing argument is an error now, not after hours of fitting.
        rows = (None, None) if needs_truth else (None,)
        try:
            arguments = signature(metric).bind(*rows, hierarchy=None, **kwargs)
            arguments.apply_defaults()
            if function is hierarchical_distance_at_k and arguments.arguments["k"] is None:
                raise TypeError("missing a required argument: 'k'")
        except TypeError as error:
            raise TypeError(f"{_name(metric)} cannot be called as asked: {error}") from None

    def __call__(
        self, estimator: Any, X: Any, y: Any, sample_weight: ArrayLike | None = None
    ) -> float:
        hierarchy = self._find_hierarchy(estimator, y) if self.hierarchy is None else self.hierarchy
        kwargs = dict(self.kwargs)
        if sample_weight is not None:
            if not self._accept_sample_weight():
                raise ValueError(f"{_name(self.metric)} takes no sample_weight")
            kwargs["sample_weight"] = sample_weight
        if self.takes_topk and hasattr(estimator, "predict_topk"):
            response, _ = estimator.predict_topk(X, kwargs.pop("k"))
        else:
            response = getattr(estimator, self.response_method)(X)
            are_sets = self.response_method == "predict" and _is_indicator(response, hierarchy)
            if are_sets:
                columns = _columns(estimator, y, response, hierarchy)
                response = _in_node_order(response, columns, hierarchy)
            takes_names = self.response_method != "predict" and self._takes("labels")
            if takes_names and "labels" not in kwargs:
                kwargs["labels"] = _columns(estimator, y, response, hierarchy)
            if are_sets or is_multilabel(estimator):
                y = _read_sets(y, hierarchy)
        rows = (y, response) if self.needs_truth else (response,)
        score = self.metric(*rows, hierarchy=hierarchy, **kwargs)
        return score if self.greater_is_better else -score

    def _find_hierarchy(self, estimator: Any, y: Any) -> Hierarchy:
        if hierarchy_param(estimator) is None:
            own = own_hierarchy(estimator)
            # One level: plain labels without a hierarchy.
            if own is not None and own.n_levels > 1 and tell_apart(y, own)[0] == "paths":
                trained_on = own.name_paths(own.path_indices(own.leaf_indices)).tolist()
                return Hierarchy.from_paths([*trained_on, *(row for _, row in iter_rows(y))])
        try:
            return given_hierarchy(estimator)
        except ValueError as error:
            call = f"make_hierarchical_scorer({_name(self.metric)}, hierarchy=...)"
            raise ValueError(
                f"{error}: pass hierarchy= to the scorer, {call}, so that all folds and candidates "
                "are judged by the same; where labels are paths it is Hierarchy.from_paths(y), y "
                "those of all samples"
            ) from None

    def __repr__(self) -> str:
        parts = [_name(self.metric)]
        if self.hierarchy is not None:
            parts.append(repr(self.hierarchy))
        parts += [f"{key}={value!r}" for key, value in self.kwargs.items()]
        return f"make_hierarchical_scorer({', '.join(parts)})"

    def _accept_sample_weight(self) -> bool:
        # scikit-learn asks this of each of several scorers when a search is given weights.
        return self._takes("sample_weight")

    def _takes(self, name: str) -> bool:
        parameters = signature(self.metric).parameters
        return name in parameters or any(
            p.kind is Parameter.VAR_KEYWORD for p in parameters.values()
        )


def _is_indicator(response: Any, hierarchy: Hierarchy) -> bool:
    is_table = sp.issparse(response) or getattr(response, "ndim", 1) == 2
    return is_table and tell_apart(response, hierarchy)[0] == "indicator"


def _columns(estimator: Any, y: Any, response: Any, hierarchy: Hierarchy) -> NDArray[Any]:
    """Return which nodes the columns of a response are.

    A classifier that knows no hierarchy, and was trained on an indicator matrix, numbers them.
    """
    if not hasattr(estimator, "classes_"):
        return plain_array(hierarchy.nodes)
    classes = classes_in(hierarchy, estimator)
    n_columns = response.shape[1]
    is_numbered = classes.tolist() == list(range(n_columns)) and own_hierarchy(estimator) is None
    if is_numbered and (n_columns == len(hierarchy)) and _is_indicator(y, hierarchy):
        names = column_names(y)
        is_named = names is not None and find_columns(names, hierarchy.nodes) is not None
        return plain_array(names if is_named and names else hierarchy.nodes)
    return classes


def _in_node_order(response: Any, columns: NDArray[Any], hierarchy: Hierarchy) -> Any:
    """Return an indicator matrix with its columns in the order of nodes, if they are the nodes."""
    labels = columns.tolist()
    order = find_columns(labels, hierarchy.nodes) if set(labels) == set(hierarchy.nodes) else None
    return response if order is None else response[:, np.argsort(order)]


def _read_sets(y: Any, hierarchy: Hierarchy) -> Any:
    """Read y as several labels for each sample, as predictions are: lists are no paths."""
    sets = None if y is None else read_label_sets(y, hierarchy, hierarchy.nodes, "the scorer")
    return sets.closed(hierarchy).astype(np.int8) if isinstance(sets, LabelSets) else y


def _name(metric: Callable[..., float]) -> str:
    return getattr(metric, "__name__", repr(metric))
