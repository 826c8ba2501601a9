"""Hierarchies built from the training data: give one as ``hierarchy=`` of a classifier.

An inducer is an object with a method ``fit(X, y)``. It sets ``hierarchy_``, a tree whose leaves
are the classes of ``y``. A grid search can set its parameters: ``hierarchy__branching``.

``_base``           what inducers share: they read y, and hand over classes
``_shapes``         BalancedHierarchy, HuffmanHierarchy and RandomHierarchy, which do not look at X
``_points``         a point for each class: the mean of its features, or what it is taken for
``_kmeans``         KMeansHierarchy, from the top down
``_quick``          a quick first model, and what it says of samples it has not seen
``_agglomerative``  AgglomerativeHierarchy, from the bottom up
``_pruned``         PrunedHierarchy, which takes the inner nodes out of a tree that do not pay
"""

from hierclf.induction._agglomerative import AgglomerativeHierarchy
from hierclf.induction._kmeans import KMeansHierarchy
from hierclf.induction._pruned import PrunedHierarchy
from hierclf.induction._shapes import BalancedHierarchy, HuffmanHierarchy, RandomHierarchy

__all__ = [
    "AgglomerativeHierarchy",
    "BalancedHierarchy",
    "HuffmanHierarchy",
    "KMeansHierarchy",
    "PrunedHierarchy",
    "RandomHierarchy",
]
