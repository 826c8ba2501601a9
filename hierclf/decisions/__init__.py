"""From probabilities to predictions: which node to name, given what each mistake costs."""

from hierclf.decisions._base import BaseDecision

__all__ = ["BaseDecision"]
