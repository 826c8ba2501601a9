"""What every benchmark prints and writes: a table, and JSON that says where it comes from."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime, timezone
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

PACKAGES = ("hierclf", "numpy", "scipy", "scikit-learn", "torch", "skorch")


def machine() -> dict[str, Any]:
    """Describe what the figures were measured on and with."""
    cpu = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.exists():
        names = [line for line in info.read_text().splitlines() if line.startswith("model name")]
        cpu = names[0].partition(":")[2].strip() if names else cpu
    return {
        "date": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "python": platform.python_version(),
        "system": platform.platform(),
        "cpu": cpu,
        "cores": os.cpu_count(),
        "packages": {name: version(name) for name in PACKAGES},
    }


def print_table(columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """Print rows under a header, the first column to the left and the others to the right."""
    cells = [list(columns), *([str(cell) for cell in row] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    for number, row in enumerate(cells):
        first, *others = (
            cell.rjust(width) if column else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        print("  ".join([first, *others]).rstrip())
        if number == 0:
            print("  ".join("-" * width for width in widths))


def mean_sd(values: Sequence[float], digits: int = 3) -> str:
    """Write a mean with its standard deviation over seeds, if there are several."""
    mean = f"{np.mean(values):.{digits}f}"
    return mean if len(values) == 1 else f"{mean} ± {np.std(values, ddof=1):.{digits}f}"


def significant(value: float) -> str:
    """Write a number with two digits that count, or all before the point."""
    return f"{value:,.0f}" if value >= 10 else f"{value:.2g}"


def save(path: Path, content: dict[str, Any]) -> None:
    """Write results, whatever their form, with the versions and the machine."""
    path.parent.mkdir(parents=True, exist_ok=True)
    text = json.dumps({"machine": machine(), **content}, indent=1)
    path.write_text(text + "\n", encoding="utf-8")


def saved(path: Path) -> dict[str, Any]:
    """Return what is written there, or nothing, less the machine, which is each time of now."""
    found = json.loads(path.read_text("utf-8")) if path.exists() else {}
    return without(found, "machine")


def without(row: dict[str, Any], key: str) -> dict[str, Any]:
    """Return a row less what stands under a key."""
    return {name: value for name, value in row.items() if name != key}


def resume(
    path: Path, trials: Iterable[tuple[dict[str, Any], Callable[[], Any]]], key: str
) -> Iterator[list[dict[str, Any]]]:
    """Run the trials that a file does not have yet, and write each result as soon as it is there.

    A trial is what its result is called, and what finds it, to stand under a key; None is no
    result, and left to another run. Yields all results: at the start, and after each trial, the
    newest last.
    """
    found = saved(path).get("results", [])
    done = [without(row, key) for row in found]
    yield found
    for what, score in trials:
        if what not in done and (scores := score()) is not None:
            found.append(what | {key: scores})
            save(path, {"results": found})
            yield found


def write_json(path: Path, settings: dict[str, Any], results: Any) -> None:
    """Write results and their settings, and say so."""
    save(path, {"settings": settings, "results": results})
    print(f"\nwritten: {path}")


def save_picture(figure: Any, path: Path) -> None:
    """Write a figure of matplotlib, and say so."""
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)
    print(f"\npicture: {path}")
