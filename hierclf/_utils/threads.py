"""How many threads torch computes with: as many as a step can feed, where nobody has said.

The threads of a step wait for each other dozens of times, and they spin meanwhile. If another
program wants one of their cores, each wait can last as long as the system lets that program
run, which is longer than a small step. So a step has a second thread only if it is long.

The rule counts multiply-adds and never looks at a clock: how sums are split between threads
changes their rounding, and the same seed is to give the same result.
"""

from __future__ import annotations

import multiprocessing
import os
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from threadpoolctl import ThreadpoolController

# Multiply-adds of a forward pass that each thread gets, at the least. benchmarks/threads.py
# shows why. On an idle machine two threads begin to pay at about 15 million in all, and take a
# third off a step of 100 million, which lasts 5 milliseconds. With something beside them, each
# step takes 10 to 100 milliseconds more: a step must last about as long to be worth that risk.
PER_THREAD = 1 << 27

# torch takes these names from the environment. In a worker process they are no wish of the
# user's: joblib writes the worker's share of the cores there, which is a limit.
_IS_WORKER = multiprocessing.parent_process() is not None
_IN_ENVIRONMENT = not _IS_WORKER and any(
    os.environ.get(name) for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS")
)
_AT_START = torch.get_num_threads()
_MKL = re.compile(r"mkl_get_max_threads\(\) : (\d+)")
_THREAD = threading.local()


def _openmp_of_torch() -> Any:
    """Find the OpenMP library whose number of threads is that of torch, or None."""
    for library in ThreadpoolController().select(user_api="openmp").lib_controllers:
        number = library.get_num_threads()
        library.set_num_threads(number + 1)
        is_of_torch = torch.get_num_threads() != _AT_START
        library.set_num_threads(number)
        if is_of_torch:
            return library
    return None


# Its number belongs to the calling thread, and MKL follows it. torch.set_num_threads would also
# change what threads that start meanwhile begin with, and would fix MKL's number for good.
_OPENMP = _openmp_of_torch()


def threads_for(work: float, available: int) -> int:
    """Choose a number of threads.

    Parameters
    ----------
    work : float
        Multiply-adds of the forward pass over one batch.
    available : int
        How many threads there may be.

    Returns
    -------
    int
        At least 1.
    """
    return max(1, min(available, int(work // PER_THREAD)))


@contextmanager
def limited_threads(work: float) -> Iterator[None]:
    """Let torch use, in this thread, as many threads as some work can feed.

    The number is put back at the end. It is left alone if the user has chosen one: in the
    environment, with ``torch.set_num_threads``, or with threadpoolctl; so is that of a
    context around this one. It is never raised.

    Parameters
    ----------
    work : float
        Multiply-adds of the forward pass over one batch.
    """
    found = torch.get_num_threads()
    chosen = threads_for(work, found)
    if chosen == found or found != _AT_START or _IN_ENVIRONMENT:
        yield
        return
    # In a worker MKL has a number of its own, from the environment.
    openmp = None if _IS_WORKER else _OPENMP
    set_number = torch.set_num_threads if openmp is None else openmp.set_num_threads
    set_number(chosen)
    try:
        if openmp is not None and _set_by_user(chosen):
            set_number(found)
        yield
    finally:
        set_number(found)


def _set_by_user(limit: int) -> bool:
    """Tell whether torch.set_num_threads was called, though OpenMP's number is a limit of ours.

    It gives MKL a number of its own, which does not follow OpenMP's. Without MKL nothing tells
    a number that was set from the same number that was there. To look takes as long as to
    predict a row, so each thread is looked at once: in one that sets the number later, MKL,
    at least, has that number.
    """
    if not hasattr(_THREAD, "is_set_by_user"):
        found = _MKL.search(torch.__config__.parallel_info())
        _THREAD.is_set_by_user = found is not None and int(found[1]) > limit
    return bool(_THREAD.is_set_by_user)
