"""Loops that numba compiles: whether it is there, and may work on a tensor.

The files of loops, ``_kernels`` and ``_search_loops``, are imported where they are used.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from importlib import import_module
from typing import Any, TypeVar

import torch
from torch import Tensor

_Function = TypeVar("_Function", bound=Callable[..., Any])

_TYPES = (torch.float32, torch.float64)
# Sums may be split over the lanes of the processor. NaN and infinity stay what they are.
_FAST = {"reassoc", "contract", "nsz", "arcp"}


@cache
def has_numba() -> bool:
    """Tell whether numba can be imported."""
    try:
        import_module("numba")
    except ImportError:
        return False
    return True


def loops_for(file: str, *tensors: Tensor) -> Any:
    """Return a file of compiled loops if they can work on some tensors, else None."""
    dtype = tensors[0].dtype
    is_readable = all(t.is_cpu and t.dtype == dtype for t in tensors) and dtype in _TYPES
    return _import(file) if is_readable and has_numba() else None


@cache
def _import(file: str) -> Any:
    return import_module(f"hierclf.nn.{file}")


def compiled(function: _Function) -> _Function:
    """Compile a function when it is first called, and keep the result on the disk if that goes."""
    import numba  # here: whoever asks whether it is there must not fail

    options: dict[str, Any] = {"nogil": True, "fastmath": _FAST, "error_model": "numpy"}
    try:
        result: _Function = numba.njit(cache=True, **options)(function)
    except RuntimeError:  # no folder to write to
        result = numba.njit(**options)(function)
    return result
