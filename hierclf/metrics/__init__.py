"""Metrics that know the hierarchy, and scorers for model selection.

Every metric takes ``hierarchy=``, a :class:`hierclf.Hierarchy` or what one is made from,
and ``sample_weight=``. Labels are given in one of three forms, which need not be the same
for ``y_true`` and ``y_pred``:

* 1-D labels, leaves or inner nodes;
* paths: 2-D labels, root side first, as lists of any lengths, an array or a data frame
  padded with ``""``, ``None`` or NaN;
* for precision, recall, F, consistency and average precision, several labels for each sample: an
  indicator matrix, dense or sparse, with a column for each of ``hierarchy.nodes``, or a set of
  labels for each sample. The columns of a data frame whose names are nodes are found by name.
  Lists of labels become a matrix by :meth:`hierclf.Hierarchy.to_indicator`, since a list is a path.

A tuple that is a node is one label. A 2-D array of numbers with a column for each node is an
indicator matrix; only where the whole hierarchy is a single path of numbers could it also
hold paths, and is read as such, so that there an indicator matrix must be sparse.

``_read``               reads labels in any of the forms, weights and columns
``_sets``               precision, recall and F of the nodes at or above the labels
``_distances``          how far apart the true and the predicted node are
``_levels``             how far down predictions are right
``_from_proba``         metrics of the probabilities or scores of all classes
``_consistency``        whether predicted nodes agree with each other
``_average_precision``  average precision of the scores of nodes
``_scorer``             scorers for cross-validation and searches
"""

from hierclf.metrics._average_precision import hierarchical_average_precision_score
from hierclf.metrics._consistency import consistency_score
from hierclf.metrics._distances import lca_height, mistake_severity, tree_distance
from hierclf.metrics._from_proba import hierarchical_distance_at_k, level_calibration_error
from hierclf.metrics._levels import (
    any_depth_accuracy_score,
    information_gain_score,
    level_accuracy_score,
)
from hierclf.metrics._scorer import make_hierarchical_scorer
from hierclf.metrics._sets import (
    constrained_f1_score,
    hierarchical_f1_score,
    hierarchical_fbeta_score,
    hierarchical_precision_score,
    hierarchical_recall_score,
)

__all__ = [
    "any_depth_accuracy_score",
    "consistency_score",
    "constrained_f1_score",
    "hierarchical_average_precision_score",
    "hierarchical_distance_at_k",
    "hierarchical_f1_score",
    "hierarchical_fbeta_score",
    "hierarchical_precision_score",
    "hierarchical_recall_score",
    "information_gain_score",
    "lca_height",
    "level_accuracy_score",
    "level_calibration_error",
    "make_hierarchical_scorer",
    "mistake_severity",
    "tree_distance",
]
