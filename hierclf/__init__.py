"""Hierarchical softmax classification for scikit-learn, on torch and skorch."""

from hierclf.classifiers import FlatSoftmaxClassifier, HierarchicalSoftmaxClassifier
from hierclf.hierarchy import Hierarchy

__all__ = ["FlatSoftmaxClassifier", "HierarchicalSoftmaxClassifier", "Hierarchy"]

__version__ = "0.1.0.dev0"
