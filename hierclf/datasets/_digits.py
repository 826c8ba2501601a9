"""Handwritten digits under a tree of stroke shapes."""

from __future__ import annotations

from typing import Literal, overload

from sklearn.datasets import load_digits

from hierclf.datasets._bunches import DigitsArrays, DigitsBunch
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
strings "0" to "9", so that all nodes of the hierarchy are of one type. The parent of a digit is the
shape that the pen draws. Digits that share it look alike:

* closed loop: 0, 6, 8, 9
* open curve: 2, 3, 5
* straight strokes: 1, 4, 7
"""


@overload
def load_digits_hierarchy(*, return_X_y: Literal[False] = ...) -> DigitsBunch: ...
@overload
def load_digits_hierarchy(*, return_X_y: Literal[True]) -> DigitsArrays: ...
@overload
def load_digits_hierarchy(*, return_X_y: bool) -> DigitsBunch | DigitsArrays: ...
def load_digits_hierarchy(*, return_X_y: bool = False) -> DigitsBunch | DigitsArrays:
    """Load scikit-learn's handwritten digits under a tree of stroke shapes.

    Parameters
    ----------
    return_X_y : bool, default=False
        If True, return ``(data, target)`` instead of a Bunch.

    Returns
    -------
    data : Bunch
        An object with the attributes

        data : ndarray of shape (1797, 64)
            The grey values of the pixels of each image, 0 to 16.
        images : ndarray of shape (1797, 8, 8)
            The same values as images.
        target : ndarray of shape (1797,), str
            The digits, "0" to "9".
        hierarchy : Hierarchy
            The digits under "closed loop", "open curve" and "straight strokes".
        DESCR : str
            A description of the data.
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
    return DigitsBunch(
        data=digits.data,
        images=digits.images,
        target=target,
        hierarchy=Hierarchy.from_dict(_STROKE_SHAPES),
        DESCR=_DESCR,
    )
