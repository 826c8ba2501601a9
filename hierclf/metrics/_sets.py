"""Precision, recall and F of sets of nodes: a label stands for itself and its ancestors."""

from __future__ import annotations

from numbers import Real
from typing import Any, Literal, TypeAlias, get_args, overload
from warnings import warn

import numpy as np
import scipy.sparse as sp
from numpy.typing import ArrayLike, NDArray
from sklearn.exceptions import UndefinedMetricWarning

from hierclf._utils.sklearn_private import (
    Interval,
    Options,
    StrOptions,
    validate_parameter_constraints,
)
from hierclf.hierarchy import Hierarchy, as_hierarchy
from hierclf.hierarchy._nodes import shorten
from hierclf.metrics._read import check_column_order, check_lengths, read_sets, read_weight

Average: TypeAlias = Literal["micro", "macro", "samples"]

_CONSTRAINTS: dict[str, Any] = {
    "average": [StrOptions(set(get_args(Average))), None],
    "zero_division": [Options(Real, {0, 1}), "nan", StrOptions({"warn"})],
    "close_predictions": ["boolean"],
    "beta": [Interval(Real, 0, None, closed="both")],
}


@overload
def hierarchical_precision_score(
    y_true: Any,
    y_pred: Any,
    *,
    hierarchy: Any,
    average: Average = ...,
    sample_weight: ArrayLike | None = ...,
    zero_division: float | Literal["warn"] = ...,
    close_predictions: bool = ...,
) -> float: ...
@overload
def hierarchical_precision_score(
    y_true: Any,
    y_pred: Any,
    *,
    hierarchy: Any,
    average: None,
    sample_weight: ArrayLike | None = ...,
    zero_division: float | Literal["warn"] = ...,
    close_predictions: bool = ...,
) -> NDArray[np.float64]: ...
def hierarchical_precision_score(
    y_true: Any,
    y_pred: Any,
    *,
    hierarchy: Any,
    average: Average | None = "micro",
    sample_weight: ArrayLike | None = None,
    zero_division: float | Literal["warn"] = "warn",
    close_predictions: bool = True,
) -> float | NDArray[np.float64]:
    r"""Compute the share of the predicted nodes that are true.

    A label stands for the set of itself and its ancestors, the root excluded. With
    :math:`\hat Y_i` and :math:`Y_i` for the predicted and the true set of sample :math:`i`, the
    micro average is :math:`\sum_i |\hat Y_i \cap Y_i| / \sum_i |\hat Y_i|` [1]_ [2]_.

    Parameters
    ----------
    y_true, y_pred : array-like of shape (n_samples,) or (n_samples, n_levels), or indicator matrix
        Labels, paths, or an {array-like, sparse matrix} of shape (n_samples, n_nodes); see
        :mod:`hierclf.metrics`.
    hierarchy : Hierarchy, dict, edges or graph
        The hierarchy.
    average : {"micro", "macro", "samples"} or None, default="micro"
        "micro" counts over all samples and nodes at once. "macro" is the unweighted mean of the
        scores of all nodes of the hierarchy, in the data or not. "samples" is the mean of the
        scores of the samples, weighted by `sample_weight`. None returns the scores of the nodes.
    sample_weight : array-like of shape (n_samples,), optional
        Weights of the samples.
    zero_division : {"warn", 0, 1, nan}, default="warn"
        The score of a node or sample where nothing is predicted. "warn" is 0 with a warning; nan is
        left out of means.
    close_predictions : bool, default=True
        Add the ancestors of what is predicted. False takes an indicator matrix as it is, and
        is then the score of scikit-learn on the two matrices. True sets are always closed.

    Returns
    -------
    float, or ndarray of shape (n_nodes,) if `average` is None
        In the order of ``hierarchy.nodes``.

    Raises
    ------
    ValueError
        If labels are not in the hierarchy, shapes do not fit, or a parameter is wrong.

    See Also
    --------
    hierarchical_recall_score : The share of the true nodes that are predicted.
    hierarchical_fbeta_score : Their weighted harmonic mean.

    References
    ----------
    .. [1] S. Kiritchenko, S. Matwin and A. F. Famili, "Functional Annotation of Genes Using
       Hierarchical Text Categorization", BioLINK 2005.
    .. [2] A. Kosmopoulos et al., "Evaluation Measures for Hierarchical Classification: a unified
       view and novel approaches", Data Mining and Knowledge Discovery 29, 2015.

    Examples
    --------
    {animal, cat} is true, {animal} and then {plant, oak} are predicted: 1 node of 3.

    >>> from hierclf.metrics import hierarchical_precision_score
    >>> tree = {"animal": ["cat", "dog"], "plant": ["oak"]}
    >>> hierarchical_precision_score(["cat", "cat"], ["animal", "oak"], hierarchy=tree)
    0.333...
    """
    return _score(
        "hierarchical_precision_score",
        y_true,
        y_pred,
        recall_share=0.0,
        hierarchy=hierarchy,
        average=average,
        sample_weight=sample_weight,
        zero_division=zero_division,
        close_predictions=close_predictions,
    )


@overload
def hierarchical_recall_score(
    y_true: Any,
    y_pred: Any,
    *,
    hierarchy: Any,
    average: Average = ...,
    sample_weight: ArrayLike | None = ...,
    zero_division: float | Literal["warn"] = ...,
    close_predictions: bool = ...,
) -> float: ...
@overload
def hierarchical_recall_score(
    y_true: Any,
    y_pred: Any,
    *,
    hierarchy: Any,
    average: None,
    sample_weight: ArrayLike | None = ...,
    zero_division: float | Literal["warn"] = ...,
    close_predictions: bool = ...,
) -> NDArray[np.float64]: ...
def hierarchical_recall_score(
    y_true: Any,
    y_pred: Any,
    *,
    hierarchy: Any,
    average: Average | None = "micro",
    sample_weight: ArrayLike | None = None,
    zero_division: float | Literal["warn"] = "warn",
    close_predictions: bool = True,
) -> float | NDArray[np.float64]:
    r"""Compute the share of the true nodes that are predicted.

    As :func:`hierarchical_precision_score`, where references are, divided by
    :math:`|Y_i|` in place of :math:`|\hat Y_i|`.

    Parameters
    ----------
    y_true, y_pred : array-like of shape (n_samples,) or (n_samples, n_levels), or indicator matrix
        Labels, paths, or an {array-like, sparse matrix} of shape (n_samples, n_nodes); see
        :mod:`hierclf.metrics`.
    hierarchy : Hierarchy, dict, edges or graph
        The hierarchy.
    average : {"micro", "macro", "samples"} or None, default="micro"
        Count over all samples and nodes, or take the mean over nodes or samples; None is a score
        for each node. See :func:`hierarchical_precision_score`.
    sample_weight : array-like of shape (n_samples,), optional
        Weights of the samples.
    zero_division : {"warn", 0, 1, nan}, default="warn"
        The score of a node or sample where nothing is true.
    close_predictions : bool, default=True
        Add the ancestors of what is predicted; False takes an indicator matrix as it is.

    Returns
    -------
    float, or ndarray of shape (n_nodes,) if `average` is None
        In the order of ``hierarchy.nodes``.

    Raises
    ------
    ValueError
        If labels are not in the hierarchy, shapes do not fit, or a parameter is wrong.

    Examples
    --------
    Of the true {animal, cat}, twice, only the first animal is predicted: 1 node of 4.

    >>> from hierclf.metrics import hierarchical_recall_score
    >>> tree = {"animal": ["cat", "dog"], "plant": ["oak"]}
    >>> hierarchical_recall_score(["cat", "cat"], ["animal", "oak"], hierarchy=tree)
    0.25
    """
    return _score(
        "hierarchical_recall_score",
        y_true,
        y_pred,
        recall_share=1.0,
        hierarchy=hierarchy,
        average=average,
        sample_weight=sample_weight,
        zero_division=zero_division,
        close_predictions=close_predictions,
    )


@overload
def hierarchical_f1_score(
    y_true: Any,
    y_pred: Any,
    *,
    hierarchy: Any,
    average: Average = ...,
    sample_weight: ArrayLike | None = ...,
    zero_division: float | Literal["warn"] = ...,
    close_predictions: bool = ...,
) -> float: ...
@overload
def hierarchical_f1_score(
    y_true: Any,
    y_pred: Any,
    *,
    hierarchy: Any,
    average: None,
    sample_weight: ArrayLike | None = ...,
    zero_division: float | Literal["warn"] = ...,
    close_predictions: bool = ...,
) -> NDArray[np.float64]: ...
def hierarchical_f1_score(
    y_true: Any,
    y_pred: Any,
    *,
    hierarchy: Any,
    average: Average | None = "micro",
    sample_weight: ArrayLike | None = None,
    zero_division: float | Literal["warn"] = "warn",
    close_predictions: bool = True,
) -> float | NDArray[np.float64]:
    r"""Compute the harmonic mean of hierarchical precision and recall.

    :func:`hierarchical_fbeta_score` with ``beta=1``:
    :math:`2 |\hat Y \cap Y| / (|\hat Y| + |Y|)`.

    Parameters
    ----------
    y_true, y_pred : array-like of shape (n_samples,) or (n_samples, n_levels), or indicator matrix
        Labels, paths, or an {array-like, sparse matrix} of shape (n_samples, n_nodes); see
        :mod:`hierclf.metrics`.
    hierarchy : Hierarchy, dict, edges or graph
        The hierarchy.
    average : {"micro", "macro", "samples"} or None, default="micro"
        Count over all samples and nodes, or take the mean over nodes or samples; None is a score
        for each node. See :func:`hierarchical_precision_score`.
    sample_weight : array-like of shape (n_samples,), optional
        Weights of the samples.
    zero_division : {"warn", 0, 1, nan}, default="warn"
        The score of a node or sample where nothing is true or predicted.
    close_predictions : bool, default=True
        Add the ancestors of what is predicted; False takes an indicator matrix as it is. Papers on
        multi-label texts threshold each node by itself and report this with False and 0 for
        `zero_division`.

    Returns
    -------
    float, or ndarray of shape (n_nodes,) if `average` is None
        In the order of ``hierarchy.nodes``.

    Raises
    ------
    ValueError
        If labels are not in the hierarchy, shapes do not fit, or a parameter is wrong.

    Examples
    --------
    {animal, cat} is true and {animal, dog} predicted; they share one node of two.

    >>> from hierclf.metrics import hierarchical_f1_score
    >>> tree = {"animal": ["cat", "dog"], "plant": ["oak"]}
    >>> hierarchical_f1_score(["cat"], ["dog"], hierarchy=tree)
    0.5

    The nodes are animal, plant, cat, dog and oak.

    >>> hierarchical_f1_score(["cat"], ["dog"], hierarchy=tree, average=None, zero_division=0)
    array([1., 0., 0., 0., 0.])
    >>> hierarchical_f1_score(["cat"], ["dog"], hierarchy=tree, average="macro", zero_division=0)
    0.2
    """
    return _score(
        "hierarchical_f1_score",
        y_true,
        y_pred,
        recall_share=0.5,
        hierarchy=hierarchy,
        average=average,
        sample_weight=sample_weight,
        zero_division=zero_division,
        close_predictions=close_predictions,
    )


@overload
def hierarchical_fbeta_score(
    y_true: Any,
    y_pred: Any,
    *,
    hierarchy: Any,
    beta: float,
    average: Average = ...,
    sample_weight: ArrayLike | None = ...,
    zero_division: float | Literal["warn"] = ...,
    close_predictions: bool = ...,
) -> float: ...
@overload
def hierarchical_fbeta_score(
    y_true: Any,
    y_pred: Any,
    *,
    hierarchy: Any,
    beta: float,
    average: None,
    sample_weight: ArrayLike | None = ...,
    zero_division: float | Literal["warn"] = ...,
    close_predictions: bool = ...,
) -> NDArray[np.float64]: ...
def hierarchical_fbeta_score(
    y_true: Any,
    y_pred: Any,
    *,
    hierarchy: Any,
    beta: float,
    average: Average | None = "micro",
    sample_weight: ArrayLike | None = None,
    zero_division: float | Literal["warn"] = "warn",
    close_predictions: bool = True,
) -> float | NDArray[np.float64]:
    r"""Compute the weighted harmonic mean of hierarchical precision and recall.

    :math:`(1 + \beta^2) |\hat Y \cap Y| / (|\hat Y| + \beta^2 |Y|)`, with the sets and counts of
    :func:`hierarchical_precision_score`, where references are.

    Parameters
    ----------
    y_true, y_pred : array-like of shape (n_samples,) or (n_samples, n_levels), or indicator matrix
        Labels, paths, or an {array-like, sparse matrix} of shape (n_samples, n_nodes); see
        :mod:`hierclf.metrics`.
    hierarchy : Hierarchy, dict, edges or graph
        The hierarchy.
    beta : float
        How many times as much recall counts as precision: 0 is precision, infinity recall.
    average : {"micro", "macro", "samples"} or None, default="micro"
        Count over all samples and nodes, or take the mean over nodes or samples; None is a score
        for each node. See :func:`hierarchical_precision_score`.
    sample_weight : array-like of shape (n_samples,), optional
        Weights of the samples.
    zero_division : {"warn", 0, 1, nan}, default="warn"
        The score of a node or sample where nothing is true or predicted.
    close_predictions : bool, default=True
        Add the ancestors of what is predicted; False takes an indicator matrix as it is.

    Returns
    -------
    float, or ndarray of shape (n_nodes,) if `average` is None
        In the order of ``hierarchy.nodes``.

    Raises
    ------
    ValueError
        If labels are not in the hierarchy, shapes do not fit, or a parameter is wrong.

    Examples
    --------
    Precision is 1/1 and recall 1/2, and 5 * 1 / (1 + 4 * 2) is 5/9.

    >>> from hierclf.metrics import hierarchical_fbeta_score
    >>> tree = {"animal": ["cat", "dog"], "plant": ["oak"]}
    >>> hierarchical_fbeta_score(["cat"], ["animal"], hierarchy=tree, beta=2)
    0.555...
    """
    _check("hierarchical_fbeta_score", {"beta": beta})
    return _score(
        "hierarchical_fbeta_score",
        y_true,
        y_pred,
        recall_share=share_of_recall(beta),
        hierarchy=hierarchy,
        average=average,
        sample_weight=sample_weight,
        zero_division=zero_division,
        close_predictions=close_predictions,
    )


@overload
def constrained_f1_score(
    y_true: Any,
    y_pred: Any,
    *,
    hierarchy: Any,
    average: Average = ...,
    sample_weight: ArrayLike | None = ...,
    zero_division: float | Literal["warn"] = ...,
) -> float: ...
@overload
def constrained_f1_score(
    y_true: Any,
    y_pred: Any,
    *,
    hierarchy: Any,
    average: None,
    sample_weight: ArrayLike | None = ...,
    zero_division: float | Literal["warn"] = ...,
) -> NDArray[np.float64]: ...
def constrained_f1_score(
    y_true: Any,
    y_pred: Any,
    *,
    hierarchy: Any,
    average: Average | None = "micro",
    sample_weight: ArrayLike | None = None,
    zero_division: float | Literal["warn"] = "warn",
) -> float | NDArray[np.float64]:
    r"""Compute F1, where a hit counts only if all its ancestors are predicted.

    The C-F1 of papers on hierarchical texts [1]_ [2]_: :math:`2 |H| / (|\hat Y| + |Y|)`, where
    :math:`H` are the nodes of :math:`\hat Y \cap Y` all of whose ancestors are in
    :math:`\hat Y`. Predictions are taken as they are, and where they are closed under ancestors
    it is :func:`hierarchical_f1_score`.

    Parameters
    ----------
    y_true : array-like of shape (n_samples,) or (n_samples, n_levels), or indicator matrix
        Labels, paths, or an {array-like, sparse matrix} of shape (n_samples, n_nodes); see
        :mod:`hierclf.metrics`. They are closed under ancestors.
    y_pred : {array-like, sparse matrix} of shape (n_samples, n_nodes), or list of sets
        An indicator matrix, or a set of nodes for each sample.
    hierarchy : Hierarchy, dict, edges or graph
        The hierarchy.
    average : {"micro", "macro", "samples"} or None, default="micro"
        Count over all samples and nodes, or take the mean over nodes or samples; None is a score
        for each node. See :func:`hierarchical_precision_score`.
    sample_weight : array-like of shape (n_samples,), optional
        Weights of the samples.
    zero_division : {"warn", 0, 1, nan}, default="warn"
        The score of a node or sample where nothing is true or predicted.

    Returns
    -------
    float, or ndarray of shape (n_nodes,) if `average` is None
        In the order of ``hierarchy.nodes``.

    Raises
    ------
    ValueError
        If labels are not in the hierarchy, shapes do not fit, or a parameter is wrong.

    References
    ----------
    .. [1] C. Yu, Y. Shen and Y. Mao, "Constrained Sequence-to-Tree Generation for Hierarchical
       Text Classification", SIGIR 2022.
    .. [2] F. Torba et al., "A Study on Hierarchical Text Classification as a Seq2seq Task",
       ECIR 2024.

    Examples
    --------
    Of the true {animal, cat} only the cat is predicted, without the animal: no hit.

    >>> from hierclf.metrics import constrained_f1_score, hierarchical_f1_score
    >>> tree = {"animal": ["cat", "dog"], "plant": ["oak"]}
    >>> constrained_f1_score(["cat"], [{"cat"}], hierarchy=tree)
    0.0
    >>> hierarchical_f1_score(["cat"], [{"cat"}], hierarchy=tree, close_predictions=False)
    0.666...
    """
    return _score(
        "constrained_f1_score",
        y_true,
        y_pred,
        recall_share=0.5,
        hierarchy=hierarchy,
        average=average,
        sample_weight=sample_weight,
        zero_division=zero_division,
        close_predictions=False,
        constrained=True,
    )


def share_of_recall(beta: float) -> float:
    """Return the weight of recall in F, of which precision has the rest."""
    beta = float(beta)  # numpy's small types overflow, or round
    return 1.0 if np.isinf(beta) else beta**2 / (1 + beta**2)


def _score(
    name: str,
    y_true: Any,
    y_pred: Any,
    *,
    recall_share: float,
    hierarchy: Any,
    average: Average | None,
    sample_weight: ArrayLike | None,
    zero_division: float | Literal["warn"],
    close_predictions: bool,
    constrained: bool = False,
) -> float | NDArray[np.float64]:
    """Divide shared nodes by a mean of true and predicted ones, `recall_share` of it the true.

    Precision, recall and all F are this, for shares of 0, 1 and beta^2 / (1 + beta^2).
    """
    _check(
        name,
        {
            "average": average,
            "zero_division": zero_division,
            "close_predictions": close_predictions,
        },
    )
    hierarchy = as_hierarchy(hierarchy)
    check_column_order(y_true, y_pred, hierarchy)
    true = read_sets(y_true, "y_true", hierarchy)
    predicted = read_sets(y_pred, "y_pred", hierarchy, close=close_predictions)
    check_lengths(true.shape[0], "y_pred", predicted.shape[0])
    weight = read_weight(sample_weight, true.shape[0])

    hits = _with_all_above(predicted, hierarchy) if constrained else predicted
    matrices = (true.multiply(hits), true, predicted)
    if average == "samples":
        counts = [matrix.sum(axis=1) for matrix in matrices]
    else:
        counts = [matrix.T @ weight for matrix in matrices]
    if average == "micro":
        counts = [np.array([count.sum()]) for count in counts]
    n_shared, n_true, n_predicted = counts

    divisor = recall_share * n_true + (1 - recall_share) * n_predicted
    undefined = divisor == 0
    scores = np.zeros(len(divisor))
    np.divide(n_shared, divisor, out=scores, where=~undefined)
    if undefined.any():
        if zero_division == "warn":
            _warn_undefined(name, np.flatnonzero(undefined), average, hierarchy.nodes)
        else:
            scores[undefined] = zero_division
    if average is None:
        return scores
    return _mean_of_known(scores, weight if average == "samples" else np.ones(len(scores)))


def _with_all_above(sets: sp.csr_array, hierarchy: Hierarchy) -> sp.csr_array:
    """Keep the nodes of each row all of whose ancestors are in it."""
    n_rows, width = sets.shape
    rows = np.repeat(np.arange(n_rows), np.diff(sets.indptr))
    items, above = hierarchy.ancestor_pairs(sets.indices)
    lacking = ~np.isin(rows[items] * width + above, rows * width + sets.indices)
    kept = np.bincount(items[lacking], minlength=len(rows)) == 0
    ones = np.ones(int(kept.sum()))
    return sp.csr_array((ones, (rows[kept], sets.indices[kept])), shape=sets.shape)


def _check(name: str, params: dict[str, Any]) -> None:
    constraints = {key: _CONSTRAINTS[key] for key in params}
    validate_parameter_constraints(constraints, params, caller_name=name)


def _mean_of_known(scores: NDArray[np.float64], weight: NDArray[np.float64]) -> float:
    known = ~np.isnan(scores) & (weight > 0)
    if not known.any():
        return float("nan")
    return float(np.average(scores[known], weights=weight[known]))


def _warn_undefined(
    name: str, undefined: NDArray[np.intp], average: Average | None, nodes: tuple[Any, ...]
) -> None:
    if average == "micro":
        where = "the data, which have"
    elif average == "samples":
        where = f"rows {shorten(undefined.tolist())}, which have"
    else:
        where = f"nodes {shorten(nodes[i] for i in undefined.tolist())}, which have"
    warn(
        f"{name} is not defined for {where} nothing to divide by, and is set to 0 there. "
        "Choose a value with zero_division",
        UndefinedMetricWarning,
        stacklevel=4,
    )
