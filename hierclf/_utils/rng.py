"""torch's global random generators, which dropout and other people's modules draw from.

They are not ours: whoever seeds them here finds them restored at the end.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def restored(device: str = "cpu") -> Iterator[None]:
    """Restore the generators of the processor and of a device at the end."""
    kind, index = torch.device(device).type, torch.device(device).index or 0
    accelerators, kind = ([], "cuda") if kind == "cpu" else ([index], kind)
    with torch.random.fork_rng(accelerators, device_type=kind):
        yield


def seed_global(seed: int, device: str = "cpu") -> None:
    """Seed the generators of the processor and of a device; within :func:`restored`."""
    torch.default_generator.manual_seed(seed)
    kind = torch.device(device).type
    if kind != "cpu":
        getattr(torch, kind).manual_seed(seed)


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Draw from this seed on the processor, and restore its generator at the end."""
    with restored():
        seed_global(seed)
        yield
