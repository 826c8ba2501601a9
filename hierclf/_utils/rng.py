"""torch's global random generators, which other people's modules draw from.

They are not ours, and all threads share them: whoever seeds them here has them alone, and
leaves them as they were found.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import torch

# One that the same thread may take again: a module may fit another classifier.
_lock = threading.RLock()


def _renew_lock() -> None:
    global _lock  # in a forked process the thread that may hold it does not exist
    _lock = threading.RLock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew_lock)


@contextmanager
def seeded(seed: int, device: str = "cpu") -> Iterator[None]:
    """Draw from this seed, on the processor and on a device, and restore the generators.

    Other threads that want to do the same wait for the end.

    Parameters
    ----------
    seed : int
        The seed of both generators.
    device : str
        A device that torch knows.
    """
    kind, index = torch.device(device).type, torch.device(device).index
    devices = []
    if kind == "cuda":
        devices = [torch.cuda.current_device() if index is None else index]
    elif kind != "cpu":
        devices = [index or 0]
    with _lock, torch.random.fork_rng(devices, device_type="cuda" if kind == "cpu" else kind):
        torch.default_generator.manual_seed(seed)
        if kind == "cuda":
            torch.cuda.default_generators[devices[0]].manual_seed(seed)
        elif kind != "cpu":
            getattr(torch, kind).manual_seed(seed)
        yield
