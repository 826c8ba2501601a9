"""How many threads torch has while a classifier computes, and afterwards."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import scipy.sparse as sp
import torch
from torch import nn

from hierclf import Hierarchy
from hierclf._utils.threads import PER_THREAD, limited_threads, threads_for
from hierclf.classifiers._batches import Batches, Rows, count_weights
from hierclf.nn import HierarchyNetwork, RecurrentEncoder, WordEmbedding

SCRIPT = Path(__file__).with_name("threads_script.py")


@pytest.mark.parametrize(
    ("work", "available", "expected"),
    [
        (0, 8, 1),
        (1.9 * PER_THREAD, 8, 1),
        (2 * PER_THREAD, 8, 2),
        (3.5 * PER_THREAD, 8, 3),
        (100 * PER_THREAD, 8, 8),
        (100 * PER_THREAD, 1, 1),
    ],
)
def test_each_thread_has_its_share_of_the_work(work, available, expected):
    assert threads_for(work, available) == expected


def test_a_single_thread_stays_one():
    assert torch.get_num_threads() == 1  # conftest.py says so
    with limited_threads(100 * PER_THREAD):
        assert torch.get_num_threads() == 1
    assert torch.get_num_threads() == 1


def work(encoder, layers, X):
    return Rows(X).work(count_weights(encoder, *layers))


def network(n_features, hidden=()):
    """Return the layers of a network over the tree {a: x, y; b}, whose head has four nodes."""
    tree = Hierarchy.from_dict({"root": ["a", "b"], "a": ["x", "y"]})
    made = HierarchyNetwork(n_features, tree, hidden_layer_sizes=hidden)
    return made.hidden, made.head


def test_work_of_a_row_of_features():
    X = np.zeros((7, 5), dtype=np.float32)
    assert work(None, network(5), X) == 5 * 4
    assert work(None, network(5, (3, 2)), X) == 5 * 3 + 3 * 2 + 2 * 4


def test_work_of_a_sparse_row_is_that_of_its_values():
    X = sp.csr_matrix(np.array([[1.0, 0, 0, 2, 0], [0, 0, 0, 0, 0], [0, 3, 0, 0, 0]]))
    assert work(None, network(5), X) == pytest.approx(3 / 3 * 4)
    assert work(None, network(5, (3,)), X) == pytest.approx(3 / 3 * 3 + 3 * 4)


def test_work_of_an_encoder():
    ids = np.array([[2, 3, 4, 5], [2, 3, 0, 0]], dtype=np.int32)  # three tokens on average
    dense = nn.Sequential(nn.Embedding(6, 2), nn.Linear(2, 5))
    layers = [nn.Linear(5, 4)]
    assert work(dense, layers, ids) == 3 * 2 * 5 + 5 * 4
    # An LSTM: four gates of two units, that each read three inputs and two states, two ways.
    lstm = RecurrentEncoder(WordEmbedding(torch.zeros(6, 3)), 2)
    assert work(lstm, [nn.Linear(4, 4)], ids) == 2 * 4 * 2 * (3 + 2) + 4 * 4
    images = np.zeros((2, 3, 8, 6), dtype=np.float32)
    assert work(nn.Conv2d(3, 2, 3), [], images) == 8 * 6 * 3 * 2 * 3 * 3
    vectors = np.zeros((2, 7), dtype=np.float32)
    assert work(nn.Linear(7, 3), [], vectors) == 7 * 3


def test_work_of_a_batch():
    rows, weights = Rows(np.zeros((7, 5), dtype=np.float32)), count_weights(None, *network(5))
    assert Batches(rows, 3).work(weights) == 3 * 5 * 4
    assert Batches(rows, 100).work(weights) == 7 * 5 * 4
    assert Batches(rows, 3, "cuda").work(weights) == 0  # is done elsewhere


def run(*cases, **environment):
    """Run cases of the script in a process of its own, where nobody has chosen a number."""
    env = {k: v for k, v in os.environ.items() if not k.endswith("_NUM_THREADS")} | environment
    command = [sys.executable, SCRIPT, *cases]
    done = subprocess.run(command, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.fixture(scope="module")
def free():
    """What was seen where torch starts with four threads that nobody has asked for."""
    return run("free")


@pytest.mark.parametrize(
    ("case", "during"),
    [
        ("a small fit", [1]),
        ("a small prediction", [1]),
        ("a fit with work for three", [3]),
        ("a prediction with work for two", [2]),
        ("a fit with work for hundreds", [4]),
        ("a small frozen encoder", [1]),
        ("a frozen encoder with work for two", [1, 2]),  # one for the two rows that tell its size
        ("a fit that fails", [1]),
        ("a large fit in a small one", [1]),
        ("a small fit limited to two", [2]),
        ("a large fit limited to two", [2]),
    ],
)
def test_threads_during_and_after(free, case, during):
    seen, after = free[case]
    assert seen == during
    assert after == (2 if "limited" in case else 4)


def test_fits_side_by_side_leave_each_thread_its_number(free):
    # Four for the threads that fit; the last two began after them, and are as they were before.
    assert free["side by side"] == [[1, 4], [1, 4]]
    assert free["a new thread before"] == free["a new thread during"] == free["a new thread after"]


@pytest.mark.parametrize("name", ["OMP_NUM_THREADS", "MKL_NUM_THREADS"])
def test_a_number_in_the_environment_holds(name):
    start, seen, after = run("set", **{name: "2"})  # torch may find one core only
    assert seen == [start]
    assert after == start


@pytest.mark.parametrize("number", [3, 4])
def test_a_number_that_was_set_holds(number):
    if number == 4 and not torch.backends.mkl.is_available():
        pytest.skip("without MKL nothing tells it from the number that was there")
    assert run("torch", str(number)) == [[number], number]


@pytest.mark.skipif(os.cpu_count() == 1, reason="needs two cores")
def test_in_a_worker_of_joblib_the_environment_is_a_limit():
    assert run("worker") == [[[1], 2], [[2], 2]]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_after_a_small_fit_a_process_can_be_forked():
    n = os.cpu_count()
    assert all(seen == [1] and after <= n for seen, after in run("fork"))
