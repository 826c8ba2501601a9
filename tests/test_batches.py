"""Batches: texts with others of about their length, each row once, and back in order."""

from itertools import chain

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from hierclf.classifiers import _batches as batches_module
from hierclf.classifiers._batches import Batches, Rows

lengths_and_size = st.tuples(
    st.lists(st.integers(0, 9), min_size=1, max_size=80), st.integers(1, 30)
)


def token_rows(lengths, width=None):
    """Return ids above 0 in rows of the given lengths."""
    width = width or max([*lengths, 1])
    rng = np.random.default_rng(0)
    ids = rng.integers(1, 100, (len(lengths), width)).astype(np.int32)
    return np.where(np.arange(width) < np.array(lengths)[:, None], ids, 0)


def numbered(X):
    """Return rows whose targets are their numbers."""
    return Rows(X, np.arange(len(X)))


def passes(rows, batch_size, seed=0, n=1):
    """Return the row numbers of each batch of some passes."""
    batches = Batches(rows, batch_size, generator=torch.Generator().manual_seed(seed))
    return [[target.tolist() for _, (target, _) in batches] for _ in range(n)]


def check_cut(X, x, row_numbers):
    """Check that x holds the rows, and is as wide as the longest of them (at least 1)."""
    longest = max(1, max(np.flatnonzero(X[i]).max(initial=-1) + 1 for i in row_numbers))
    assert x.shape == (len(row_numbers), longest)
    np.testing.assert_array_equal(x, X[row_numbers, :longest])
    assert not X[row_numbers, longest:].any()


@given(lengths_and_size, st.integers(0, 3), st.booleans())
@settings(deadline=None)
def test_a_pass_visits_each_row_once_and_cuts_padding(given_rows, extra, is_training):
    lengths, size = given_rows
    X = token_rows(lengths, width=max([*lengths, 1]) + extra)
    weight = np.arange(len(X)) / 2
    generator = torch.Generator().manual_seed(0) if is_training else None
    batches = Batches(Rows(X, np.arange(len(X)), weight), size, generator=generator)
    for _ in range(2):
        seen = []
        for x, (target, weights) in batches:
            check_cut(X, x.numpy(), target.numpy())
            assert weights.tolist() == [i / 2 for i in target.tolist()]
            seen.append(target.tolist())
        assert sorted(chain(*seen)) == list(range(len(X)))
        # as many batches as there must be, and only one that is not full; in training a row that
        # is left over joins another batch
        assert len(batches) == len(seen)
        sizes = sorted(map(len, seen))
        if is_training and len(X) % size == 1 < size < len(X):
            assert sizes == [size] * (len(X) // size - 1) + [size + 1]
        else:
            assert len(seen) == -(-len(X) // size)
            assert sizes[1:] == [size] * (len(seen) - 1)


@given(lengths_and_size)
@settings(deadline=None)
def test_predictions_come_back_in_order(given_rows):
    lengths, size = given_rows
    X = token_rows(lengths)
    batches = Batches(Rows(X), size)
    widths = [x.shape[1] for x, _ in batches]
    assert widths == sorted(widths)
    sums = [np.stack([x.sum(dim=1), x[:, 0]], axis=1) for x, _ in batches]
    np.testing.assert_array_equal(
        batches.in_order(sums), np.stack([X.sum(axis=1), X[:, 0]], axis=1)
    )


def test_a_zero_inside_a_text_is_no_end():
    rows = Rows(np.array([[5, 0, 7, 0, 0], [0, 3, 0, 0, 0], [0, 0, 0, 0, 0]]))
    assert rows.lengths.tolist() == [3, 2, 1]
    x, _ = rows.take(torch.tensor([1, 0]), "cpu", training=True)
    assert x.tolist() == [[0, 3, 0], [5, 0, 7]]


def test_the_seed_decides_the_order_and_passes_differ():
    rows = numbered(token_rows(np.random.default_rng(0).integers(1, 30, 200)))
    first = passes(rows, 8, n=3)
    assert first == passes(rows, 8, n=3)
    assert first != passes(rows, 8, seed=1, n=3)
    # Not the batches alone come in another order: their rows have new companions.
    one, other = ({frozenset(batch) for batch in order} for order in first[:2])
    assert len(one & other) < len(one) / 2


def test_lengths_of_the_batches_come_in_no_order():
    lengths = np.random.default_rng(0).integers(1, 30, 200)
    (order,) = passes(numbered(token_rows(lengths)), 8)
    means = [lengths[batch].mean() for batch in order]
    assert abs(np.corrcoef(means, np.arange(len(means)))[0, 1]) < 0.5
    # while each batch holds rows of about one length
    assert np.mean([np.ptp(lengths[batch]) for batch in order]) < np.ptp(lengths) / 4


@pytest.fixture(scope="module")
def long_texts():
    lengths = np.random.default_rng(0).lognormal(4, 1, 5000).astype(int).clip(1, 512)
    return lengths, Rows(token_rows(lengths))


@pytest.mark.parametrize(
    "batch_size",
    [10, 32, 64, 100, 128],
)
@pytest.mark.parametrize("is_training", [True, False])
def test_little_of_a_pass_is_padding(long_texts, batch_size, is_training):
    lengths, rows = long_texts
    generator = torch.Generator().manual_seed(0) if is_training else None
    tokens = sum(x.numel() for x, _ in Batches(rows, batch_size, generator=generator))
    assert lengths.sum() <= tokens
    assert 1 - lengths.sum() / tokens < (0.2 if is_training else 0.1)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_floats_come_in_the_order_that_is_drawn(dtype):
    X = np.zeros((23, 4), dtype)
    X[:, 0] = np.arange(23)  # a row of zeros at its end is no shorter
    rows = numbered(X)
    assert rows.lengths is None
    generator = torch.Generator().manual_seed(5)
    expected = [torch.randperm(23, generator=generator).tolist() for _ in range(2)]
    assert [list(chain(*order)) for order in passes(rows, 5, seed=5, n=2)] == expected
    for x, (target, _) in Batches(rows, 5, generator=generator):
        np.testing.assert_array_equal(x, X[target])
    in_turn = Batches(rows, 5)
    assert in_turn.order is None
    taken = [x.numpy() for x, _ in in_turn]
    assert [len(x) for x in taken] == [5, 5, 5, 5, 3]
    np.testing.assert_array_equal(np.concatenate(taken), X)
    np.testing.assert_array_equal(in_turn.in_order(taken), X)


@pytest.mark.parametrize("gathered", [1, 40, 1 << 18])
def test_dense_rows_come_in_the_same_batches_however_many_are_gathered(monkeypatch, gathered):
    monkeypatch.setattr(batches_module, "_GATHERED", gathered)
    X = np.arange(31 * 4, dtype=np.float32).reshape(31, 4)
    rows = Rows(X, np.arange(31), np.arange(31) / 2)
    batches = Batches(rows, 5, generator=torch.Generator().manual_seed(0))
    order = torch.randperm(31, generator=torch.Generator().manual_seed(0)).tolist()
    expected = [order[i : i + 5] for i in range(0, 25, 5)] + [order[25:]]  # no batch of one row
    for (x, (target, weight)), numbers in zip(batches, expected, strict=True):
        assert target.tolist() == numbers
        assert weight.tolist() == [i / 2 for i in numbers]
        np.testing.assert_array_equal(x, X[numbers])
