"""Pictures of hierarchies, predictions and mistakes, in the form of scikit-learn's displays.

They need matplotlib (the extra ``plot``), which is imported when something is drawn.

``_hierarchy_display``    HierarchyDisplay: a hierarchy whose nodes are coloured by a value
``_tree``                 how it is drawn as a tree
``_rings``                how it is drawn as a sunburst
``_layout``               where the nodes are, in both
``_drawn``                what either has drawn
``_confusion_display``    LevelConfusionMatrixDisplay: which nodes are taken for which
``_specificity_display``  AccuracySpecificityDisplay: how often right, against how specific
``_path_display``         PredictionPathDisplay: one prediction, step by step
``_common``               probabilities of an estimator, axes and text, which all displays need
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
