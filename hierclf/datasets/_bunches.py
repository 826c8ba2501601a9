"""What the functions return, for type checkers: a Bunch whose attributes have types."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from sklearn.utils import Bunch

from hierclf.hierarchy import Hierarchy

if TYPE_CHECKING:

    class TextBunch(Bunch):  # type: ignore[misc]
        """Texts, and the class of each."""

        data: NDArray[np.object_]
        target: NDArray[np.str_]
        hierarchy: Hierarchy
        DESCR: str

    class DigitsBunch(Bunch):  # type: ignore[misc]
        """Images, as rows of pixels and as images, and the digit on each."""

        data: NDArray[np.float64]
        images: NDArray[np.float64]
        target: NDArray[np.str_]
        hierarchy: Hierarchy
        DESCR: str

    class ArffBunch(Bunch):  # type: ignore[misc]
        """Features, and the labels of each sample."""

        data: NDArray[np.float64]
        target: list[list[str]]
        hierarchy: Hierarchy
        feature_names: list[str]

else:
    TextBunch = DigitsBunch = ArffBunch = Bunch

TextArrays = tuple[NDArray[np.object_], NDArray[np.str_]]
DigitsArrays = tuple[NDArray[np.float64], NDArray[np.str_]]
ArffArrays = tuple[NDArray[np.float64], list[list[str]]]
