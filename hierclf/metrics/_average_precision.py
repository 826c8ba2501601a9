"""Average precision of the scores of nodes, where a sample may have several."""

from __future__ import annotations

from typing import Any, get_args, overload

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.metrics import average_precision_score

from hierclf._utils.proba import check_scores
from hierclf._utils.sklearn_private import StrOptions, validate_parameter_constraints
from hierclf.hierarchy import as_hierarchy
from hierclf.hierarchy._nodes import as_labels, plain_array
from hierclf.metrics._read import blame, check_lengths, read_scores, read_sets, read_weight
from hierclf.metrics._sets import Average


@overload
def hierarchical_average_precision_score(
    y_true: Any,
    y_score: ArrayLike,
    *,
    hierarchy: Any,
    labels: ArrayLike | None = ...,
    exclude: ArrayLike = ...,
    average: Average = ...,
    sample_weight: ArrayLike | None = ...,
) -> float: ...
@overload
def hierarchical_average_precision_score(
    y_true: Any,
    y_score: ArrayLike,
    *,
    hierarchy: Any,
    labels: ArrayLike | None = ...,
    exclude: ArrayLike = ...,
    average: None,
    sample_weight: ArrayLike | None = ...,
) -> NDArray[np.float64]: ...
def hierarchical_average_precision_score(
    y_true: Any,
    y_score: ArrayLike,
    *,
    hierarchy: Any,
    labels: ArrayLike | None = None,
    exclude: ArrayLike = (),
    average: Average | None = "micro",
    sample_weight: ArrayLike | None = None,
) -> float | NDArray[np.float64]:
    """Compute the average precision of what the nodes score.

    It is :func:`sklearn.metrics.average_precision_score` of the true nodes, all above each among
    them. With "micro" all nodes of all samples are ranked together: the area under the pooled
    precision-recall curve, AU(PRC), by which hierarchical multi-label classifiers are compared
    [1]_. It needs no threshold.

    Parameters
    ----------
    y_true : array-like of shape (n_samples,) or (n_samples, n_levels), or indicator matrix
        Labels, paths, sets of labels, or an {array-like, sparse matrix} of shape (n_samples,
        n_nodes); see :mod:`hierclf.metrics`.
    y_score : array-like of shape (n_samples, n_classes)
        Probabilities or other scores, higher for likelier nodes, such as
        ``HierarchicalMultilabelClassifier.predict_proba``.
    hierarchy : Hierarchy, dict, edges or graph
        The hierarchy.
    labels : array-like of shape (n_classes,), optional
        The nodes that the columns stand for: ``classes_`` of the classifier. None is
        ``hierarchy.nodes``.
    exclude : array-like of nodes, default=()
        Nodes that are not counted, such as those that every sample has. On the Gene Ontology
        papers leave out its three roots.
    average : {"micro", "macro", "samples"} or None, default="micro"
        "micro" ranks all nodes of all samples together. "macro" is the mean over nodes,
        "samples" the mean over samples, and None a score for each node.
    sample_weight : array-like of shape (n_samples,), optional
        Weights of the samples.

    Returns
    -------
    float, or ndarray of shape (n_classes,) if `average` is None
        Between 0 and 1; in the order of `labels`, less `exclude`.

    Raises
    ------
    ValueError
        If labels are not in the hierarchy, shapes do not fit, scores are NaN, or no node is left.

    See Also
    --------
    sklearn.metrics.average_precision_score : The same for indicator matrices in the same order.

    References
    ----------
    .. [1] C. Vens et al., "Decision Trees for Hierarchical Multi-label Classification", Machine
       Learning 73, 2008.

    Examples
    --------
    The nodes are animal, plant, cat, dog and oak. Of the three likeliest one is wrong, the second:
    precision is 1 at the first hit and 2/3 at the other.

    >>> from hierclf.metrics import hierarchical_average_precision_score
    >>> tree = {"animal": ["cat", "dog"], "plant": ["oak"]}
    >>> y_score = [[0.9, 0.8, 0.7, 0.1, 0.2]]
    >>> hierarchical_average_precision_score(["cat"], y_score, hierarchy=tree)
    0.833...
    >>> hierarchical_average_precision_score(["cat"], y_score, hierarchy=tree, exclude=["plant"])
    1.0
    """
    validate_parameter_constraints(
        {"average": [StrOptions(set(get_args(Average))), None]},
        {"average": average},
        caller_name="hierarchical_average_precision_score",
    )
    hierarchy = as_hierarchy(hierarchy)
    true = read_sets(y_true, "y_true", hierarchy)
    names = plain_array(hierarchy.nodes) if labels is None else labels
    scores, columns = read_scores(y_score, "y_score", names, hierarchy, check_scores)
    check_lengths(true.shape[0], "y_score", len(scores))
    weight = read_weight(sample_weight, len(scores))
    with blame("exclude"):
        without = hierarchy.node_indices(plain_array(as_labels(exclude)))
    counted = np.flatnonzero(~np.isin(columns, without))
    if not len(counted):
        raise ValueError("exclude leaves no node to count")
    if len(counted) < len(columns):
        scores, columns = scores[:, counted], columns[counted]
    score = average_precision_score(
        true[:, columns].toarray().astype(np.int8), scores, average=average, sample_weight=weight
    )
    # Of a single column scikit-learn returns a number, whatever the average.
    return np.atleast_1d(score) if average is None else float(score)
