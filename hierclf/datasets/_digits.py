"""Handwritten digits under a tree of stroke shapes."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.datasets import load_digits
from sklearn.utils import Bunch

from hierclf.hierarchy import Hierarchy

_STROKE_SHAPES = {
    "closed loop": ["0", "6", "8", "9"],
    "open curve": ["2", "3", "5"],
    "straight strokes": ["1", "4", "7"],
}

_DESCR = """\
Handwritten digits under a tree of stroke shapes
================================================

The 1,797 images of 8 x 8 pixels (grey values 0 to 16) of scikit-learn's ``load_digits``, a part
of the UCI data set "Optical Recognition of Handwritten Digits" (CC BY 4.0). The labels are the
strings "0" to "9", so that all nodes of the hierarchy are of one type. A digit's parent is what
the pen draws, since that is what digits that look alike share:

* closed loop: 0, 6, 8, 9
* open curve: 2, 3, 5
* straight strokes: 1, 4, 7
"""


def load_digits_hierarchy(
    *, return_X_y: bool = False
) -> Bunch | tuple[NDArray[np.float64], NDArray[Any]]:
    """Load scikit-learn's handwritten digits under a tree of stroke shapes.

    Parameters
    ----------
    return_X_y : bool, default=False
        If True, return ``(data, target)`` instead of a Bunch.

    Returns
    -------
    data : Bunch
        With the attributes

        data : ndarray of shape (1797, 64)
            The grey values of each image's pixels, 0 to 16, row by row.
        images : ndarray of shape (1797, 8, 8)
            The same values as images.
        target : ndarray of shape (1797,), str
            The digits, "0" to "9".
        hierarchy : Hierarchy
            The digits under "closed loop", "open curve" and "straight strokes".
        DESCR : str
            What the data are.
    (data, target) : tuple, if ``return_X_y`` is True

    Examples
    --------
    >>> from hierclf.datasets import load_digits_hierarchy
    >>> digits = load_digits_hierarchy()
    >>> digits.data.shape
    (1797, 64)
    >>> digits.hierarchy.parents("8")
    ('closed loop',)
    """
    digits = load_digits()
    target = digits.target.astype("U1")
    if return_X_y:
        return digits.data, target
    return Bunch(
        data=digits.data,
        images=digits.images,
        target=target,
        hierarchy=Hierarchy.from_dict(_STROKE_SHAPES),
        DESCR=_DESCR,
    )
