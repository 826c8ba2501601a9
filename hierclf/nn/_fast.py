"""Whether numba is there, and may be used for a tensor."""

from __future__ import annotations

from functools import cache
from importlib import import_module
from typing import Any

import torch
from torch import Tensor

_TYPES = (torch.float32, torch.float64)


@cache
def kernels() -> Any:
    """Return the module of compiled loops, or None without numba."""
    try:
        import_module("numba")
    except ImportError:
        return None
    return import_module("hierclf.nn._kernels")


def kernels_for(*tensors: Tensor) -> Any:
    """Return the compiled loops if they can work on some tensors, else None."""
    dtype = tensors[0].dtype
    if all(t.is_cpu and t.dtype == dtype for t in tensors) and dtype in _TYPES:
        return kernels()
    return None
