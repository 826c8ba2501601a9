"""Measurements in a process of their own: its peak memory is that of one contestant.

A script that is run with ``--task JSON`` measures one contestant and prints what it found as its
last line. Peers that want other versions of numpy than the package run in an interpreter of
their own; the scripts import what they need of it when a contestant is measured.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")
MISSING = 3  # exit status of a process that lacks a package


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what the scripts with processes of their own have in common."""
    parser.add_argument(
        "--peers",
        default=os.environ.get("HIERCLF_PEERS", sys.executable),
        metavar="PYTHON",
        help="interpreter that has the peers (default: HIERCLF_PEERS, else this one)",
    )
    parser.add_argument("--only", nargs="+", metavar="NAME", help="contestants that hold one")
    parser.add_argument("--report", action="store_true", help="print what is there, run nothing")
    parser.add_argument("--task", help=argparse.SUPPRESS)


def answer(task: str, measure: Callable[[dict[str, Any]], dict[str, Any]]) -> None:
    """Measure in this process, and print the result with the peak memory for the other one."""
    try:
        found = measure(json.loads(task))
    except ImportError as error:
        print(error, file=sys.stderr)
        sys.exit(MISSING)
    print("\n" + json.dumps(found | {"MB": peak_memory()}))


def peak_memory() -> float:
    """Return the most memory that this process has had, in megabytes."""
    status = Path("/proc/self/status")
    if status.exists():  # getrusage counts what the parent had when it started this process
        lines = dict(line.split(":") for line in status.read_text().splitlines())
        return int(lines["VmHWM"].split()[0]) / 2**10
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (2**20 if sys.platform == "darwin" else 2**10)


def ask(script: str, task: dict[str, Any], python: str, limit: float) -> dict[str, Any] | None:
    """Have a process measure a task, and return what it found, or None where a package lacks.

    What takes longer than the limit, in seconds, or fails, is a result, too.
    """
    variables = os.environ | dict.fromkeys(THREADS, "1")
    variables["PYTHONPATH"] = str(Path(script).resolve().parent.parent)
    command = [python, script, "--task", json.dumps(task)]
    try:
        run = subprocess.run(
            command, capture_output=True, text=True, env=variables, timeout=limit, check=False
        )
    except subprocess.TimeoutExpired:
        return {"failed": f"more than {limit:.0f} s"}
    if run.returncode == MISSING:
        print(f"left out: {run.stderr.strip().splitlines()[-1]}", flush=True)
        return None
    if run.returncode:
        print(run.stderr[-2000:], file=sys.stderr, flush=True)
        return {"failed": (run.stderr.strip().splitlines() or [f"exit {run.returncode}"])[-1]}
    return json.loads(run.stdout.splitlines()[-1])
