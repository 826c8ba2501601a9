"""Settings that all tests share."""

import os
from pathlib import Path

import pytest
import torch
from hypothesis import settings

# One thread each: tests run side by side, and two pools that spin for the same cores
# are slower than either alone.
torch.set_num_threads(1)

# Runs in processes of its own, with arguments.
collect_ignore = ["threads_script.py"]

# No test is about time: other programs may want the same cores.
settings.register_profile("any time", deadline=None)
settings.load_profile("any time")

# The assertions of these helpers say as much when they fail as those of a test.
pytest.register_assert_rewrite("encoder_cases")


@pytest.fixture(scope="session")
def data_home() -> Path:
    """Return the folder of the real data sets, or skip where there is none."""
    folder = os.environ.get("HIERCLF_DATA")
    if not folder or not Path(folder).is_dir():
        pytest.skip("needs real data: set HIERCLF_DATA to the folder that holds it")
    return Path(folder)


@pytest.fixture(scope="session")
def bert_folder(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Return the folder of a tiny transformer of random weights and its tokenizer."""
    from encoder_cases import save_transformer  # here: most tests need none of its data

    return save_transformer(tmp_path_factory)


@pytest.fixture(autouse=True)
def seeded() -> None:
    """Let weights that a test draws from torch's global generator be the same in each run."""
    torch.manual_seed(0)
