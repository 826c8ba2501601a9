"""Hierarchical softmax classification for scikit-learn, on torch and skorch.

Names and modules are loaded when they are first used, so that `hierclf.Hierarchy`,
`hierclf.metrics` and `hierclf.decisions` need no torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hierclf import (
        calibration,
        datasets,
        decisions,
        encoders,
        heads,
        induction,
        losses,
        metrics,
        nn,
        plotting,
        tables,
        text,
    )
    from hierclf.classifiers import (
        FlatSoftmaxClassifier,
        HierarchicalMultilabelClassifier,
        HierarchicalSoftmaxClassifier,
    )
    from hierclf.hierarchy import Hierarchy

__all__ = [
    "FlatSoftmaxClassifier",
    "HierarchicalMultilabelClassifier",
    "HierarchicalSoftmaxClassifier",
    "Hierarchy",
    "calibration",
    "datasets",
    "decisions",
    "encoders",
    "heads",
    "induction",
    "losses",
    "metrics",
    "nn",
    "plotting",
    "tables",
    "text",
]

__version__ = "0.1.0.dev0"

_MODULE_OF = {
    "FlatSoftmaxClassifier": "classifiers",
    "HierarchicalMultilabelClassifier": "classifiers",
    "HierarchicalSoftmaxClassifier": "classifiers",
    "Hierarchy": "hierarchy",
}


if not TYPE_CHECKING:  # else no name would be unknown to a type checker

    def __getattr__(name: str) -> Any:
        if name not in __all__:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        module = import_module(f"{__name__}.{_MODULE_OF.get(name, name)}")
        value = getattr(module, name) if name in _MODULE_OF else module
        globals()[name] = value
        return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
