"""The tables of the documentation are what the benchmarks print of their results."""

import subprocess
import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parent.parent / "benchmarks"


@pytest.mark.skipif(not BENCHMARKS.exists(), reason="needs the repository, not the package alone")
@pytest.mark.parametrize(
    ("table", "command"),
    [
        ("paper", "paper.py"),
        ("peers", "peers.py"),
        ("ablations", "ablations.py tasks local tree depth transformer"),
        ("coarse", "ablations.py coarse"),
        ("decisions", "decisions.py"),
        ("branches", "branches.py"),
        ("first_models", "first_models.py"),
        ("first_models_study", "first_models.py --study"),
        ("first_models_margins", "first_models.py --margins"),
        ("linear", "linear.py"),
        ("induction", "induction.py"),
        ("induction_margins", "induction.py --margins"),
        ("newton", "newton.py"),
        ("overhead", "overhead.py"),
        ("heads", "heads.py"),
        ("hmc", "hmc.py"),
        ("himtl", "himtl.py"),
        ("himtl_details", "himtl.py --details"),
        ("streams", "streams.py"),
        ("threads", "threads.py"),
        ("scale", "scale.py"),
        ("many_classes", "many_classes.py"),
        ("many_classes_study", "many_classes.py --study"),
        ("texts", "texts.py"),
        ("texts_study", "texts.py --study"),
    ],
)
def test_tables_are_reports_of_the_results(table, command):
    script, *parts = command.split()
    run = subprocess.run(
        [sys.executable, BENCHMARKS / script, *parts, "--report"],
        cwd=BENCHMARKS.parent,
        capture_output=True,
        text=True,
    )
    assert run.returncode == 0, run.stderr
    committed = (BENCHMARKS / "results" / f"{table}.txt").read_text("utf-8")
    assert run.stdout.strip() == committed.strip()
