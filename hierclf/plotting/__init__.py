"""Pictures of hierarchies, predictions and mistakes, as scikit-learn's display objects.

They need matplotlib (the extra ``plot``), which is imported when something is drawn.

``_hierarchy``    HierarchyDisplay: a hierarchy, its nodes coloured by a value
``_tree``         how it is drawn as a tree
``_rings``        how it is drawn as a sunburst
``_layout``       where the nodes are, in both
``_drawn``        what either has drawn
``_confusion``    LevelConfusionMatrixDisplay: which nodes are taken for which
``_specificity``  AccuracySpecificityDisplay: how often right, against how much is said
``_path``         PredictionPathDisplay: one prediction, step by step
``_common``       probabilities of an estimator, axes and text, which all displays need
"""

from hierclf.plotting._confusion_display import LevelConfusionMatrixDisplay
from hierclf.plotting._hierarchy_display import HierarchyDisplay
from hierclf.plotting._path_display import PathStep, PredictionPathDisplay
from hierclf.plotting._specificity_display import AccuracySpecificityDisplay

__all__ = [
    "AccuracySpecificityDisplay",
    "HierarchyDisplay",
    "LevelConfusionMatrixDisplay",
    "PathStep",
    "PredictionPathDisplay",
]
