"""The hierarchy of the classes: a value that needs numpy only."""

from hierclf.hierarchy._hierarchy import Hierarchy, as_hierarchy
from hierclf.hierarchy._nodes import Node

__all__ = ["Hierarchy", "Node", "as_hierarchy"]
