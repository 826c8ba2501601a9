"""The result of drawing a hierarchy."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray


class Drawn(NamedTuple):
    """The layout and the artists of a drawing; see the attributes of `HierarchyDisplay`."""

    nodes: Any
    texts: dict[Any, Any]
    edges: Any = None
    branches: Any = None
    positions: NDArray[np.float64] | None = None
    angles: NDArray[np.float64] | None = None
