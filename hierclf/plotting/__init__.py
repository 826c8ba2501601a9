"""Pictures of hierarchies, predictions and mistakes, as scikit-learn's display objects.

They need matplotlib, which is imported when something is drawn:
``pip install "hierclf[plot]"``.
"""

from hierclf.plotting._confusion import LevelConfusionMatrixDisplay
from hierclf.plotting._hierarchy import HierarchyDisplay
from hierclf.plotting._path import PathStep, PredictionPathDisplay
from hierclf.plotting._specificity import AccuracySpecificityDisplay

__all__ = [
    "AccuracySpecificityDisplay",
    "HierarchyDisplay",
    "LevelConfusionMatrixDisplay",
    "PathStep",
    "PredictionPathDisplay",
]
