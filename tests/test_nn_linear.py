"""Affine maps over dense and over sparse rows, against numpy and their dense twins."""

import by_hand
import numpy as np
import pytest
import scipy.sparse as sp
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from scipy import stats

from hierclf.classifiers._batches import _csr_rows
from hierclf.nn import CSRRows, FeatureLinear, FlatSoftmax, HierarchicalSoftmax, Linear

quick = settings(max_examples=40, deadline=None)
floats = st.sampled_from([np.float32, np.float64])
integers = st.sampled_from([np.int32, np.int64])


@st.composite
def sparse_rows(draw):
    """Small CSR matrices, with rows and columns that hold nothing."""
    n_rows, n_columns = draw(st.integers(0, 6)), draw(st.integers(1, 8))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    dense = rng.standard_normal((n_rows, n_columns))
    dense[rng.random(dense.shape) < draw(st.sampled_from([0.0, 0.5, 0.9, 1.0]))] = 0.0
    return as_csr(dense, draw(floats), draw(integers))


def as_csr(dense, dtype, index_dtype):
    X = sp.csr_array(dense.astype(dtype))
    X.indices, X.indptr = X.indices.astype(index_dtype), X.indptr.astype(index_dtype)
    return X


def twins(X, size=3):
    """Two equal maps: one to give sparse rows, one dense."""
    dtype = torch.from_numpy(X.data).dtype
    generator = torch.Generator().manual_seed(0)
    one, other = (FeatureLinear(X.shape[1], size, dtype=dtype) for _ in range(2))
    with torch.no_grad():
        one.weight.normal_(generator=generator)
        one.bias.normal_(generator=generator)
    other.load_state_dict(one.state_dict())
    return one, other


# -- dense rows


@pytest.mark.parametrize("linear", [Linear, FeatureLinear])
def test_maps_are_affine(linear):
    rng = np.random.default_rng(0)
    module, x = by_hand.fill(linear(4, 3, dtype=torch.float64), rng), by_hand.rows(rng, 5, 4)
    weight = module.weight.detach().numpy()
    product = x.numpy() @ (weight.T if linear is Linear else weight)
    np.testing.assert_allclose(module(x).detach(), product + module.bias.detach().numpy())


@pytest.mark.parametrize("linear", [Linear, FeatureLinear])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_first_weights_are_uniform_within_the_root_of_the_fan_in(linear, dtype):
    module = linear(64, 500, generator=torch.Generator().manual_seed(0), dtype=dtype)
    for parameter in module.parameters():
        scaled = parameter.detach().flatten().numpy() * np.sqrt(64)
        assert parameter.dtype == dtype
        assert stats.kstest(scaled, stats.uniform(-1, 2).cdf).pvalue > 0.01
        assert abs(scaled).max() <= 1


def test_first_weights_come_from_the_generator_alone():
    before = torch.random.get_rng_state()
    generator = torch.Generator().manual_seed(3)
    first, second = (Linear(4, 3, generator=generator) for _ in range(2))
    again = Linear(4, 3, generator=torch.Generator().manual_seed(3))
    assert torch.equal(torch.random.get_rng_state(), before)
    assert torch.equal(first.weight, again.weight)
    assert torch.equal(first.bias, again.bias)
    assert not torch.equal(first.weight, second.weight)


# -- sparse rows


@given(sparse_rows(), st.booleans())
@example(as_csr(np.zeros((4, 5)), np.float32, np.int32), True)
@example(as_csr(np.zeros((4, 5)), np.float64, np.int64), False)
@quick
def test_sparse_rows_are_dense_rows_with_zeros(X, sparse_grad):
    sparse, dense = twins(X)
    sparse.sparse_grad = sparse_grad
    out = sparse(_csr_rows(X, with_transpose=True))
    expected = dense(torch.from_numpy(X.toarray()))
    torch.testing.assert_close(out, expected)
    # An upstream gradient laid out by column, as the softmaxes give.
    upstream = torch.randn(
        out.shape[::-1], generator=torch.Generator().manual_seed(1), dtype=out.dtype
    ).t()
    out.backward(upstream)
    expected.backward(upstream)
    torch.testing.assert_close(sparse.bias.grad, dense.bias.grad)
    grad = sparse.weight.grad
    assert grad.is_sparse == sparse_grad
    if sparse_grad:
        held = np.flatnonzero(np.diff(X.tocsc().indptr))
        assert grad._indices().tolist() == [held.tolist()]  # sorted, and each just once
        grad = grad.to_dense()
    torch.testing.assert_close(grad, dense.weight.grad)


def test_repeated_and_unsorted_entries_add_up():
    X = sp.csr_array((np.array([1.0, 2.0, 4.0, 8.0]), [2, 0, 2, 1], [0, 3, 4]), shape=(2, 4))
    assert not X.has_canonical_format
    sparse, dense = twins(X)
    out = sparse(_csr_rows(X, with_transpose=True))
    expected = dense(torch.tensor([[2.0, 0, 5, 0], [0, 8, 0, 0]], dtype=torch.float64))
    torch.testing.assert_close(out, expected)
    out.square().sum().backward()
    expected.square().sum().backward()
    torch.testing.assert_close(sparse.weight.grad.to_dense(), dense.weight.grad)


def test_gradients_of_two_passes_add_up():
    rng = np.random.default_rng(0)
    first, second = (
        as_csr(np.diag(rng.random(4)), np.float64, np.int32)[rows] for rows in ([0, 1], [1, 3])
    )
    sparse, dense = twins(first)
    for X in (first, second):
        sparse(_csr_rows(X, with_transpose=True)).square().sum().backward()
        dense(torch.from_numpy(X.toarray())).square().sum().backward()
    torch.testing.assert_close(sparse.weight.grad.to_dense(), dense.weight.grad)


def test_a_backward_pass_needs_the_transpose():
    X = as_csr(np.eye(3), np.float32, np.int32)
    sparse, dense = twins(X)
    out = sparse(_csr_rows(X, with_transpose=False))
    torch.testing.assert_close(out, dense(torch.eye(3)))
    with pytest.raises(ValueError, match="needs their `transpose`"):
        out.sum().backward()


@pytest.mark.parametrize("with_transpose", [True, False])
def test_rows_move_to_another_device_whole(with_transpose):
    rows = _csr_rows(as_csr(np.eye(3), np.float32, np.int32), with_transpose=with_transpose)
    moved, same = rows.to(device="meta"), rows.to(device="cpu")
    assert isinstance(moved, CSRRows)
    assert isinstance(same, CSRRows)
    assert len(flat(same)) == (7 if with_transpose else 3)
    for part, moved_part, same_part in zip(flat(rows), flat(moved), flat(same), strict=True):
        assert moved_part.device.type == "meta"
        assert torch.equal(part, same_part)


def flat(rows):
    return [*rows[:3], *(rows.transpose or ())]


@pytest.mark.parametrize("head", [HierarchicalSoftmax, FlatSoftmax])
@pytest.mark.parametrize("route", ["forward", "leaf_log_proba", "path_log_proba"])
def test_a_softmax_reads_sparse_features(head, route):
    rng = np.random.default_rng(0)
    dense = rng.standard_normal((6, 5)) * (rng.random((6, 5)) < 0.3)
    tree, (one, other) = (
        by_hand.RAGGED,
        (head(5, by_hand.RAGGED, linear=FeatureLinear, dtype=torch.float64) for _ in range(2)),
    )
    other.load_state_dict(by_hand.fill(one, rng).state_dict())
    target = torch.from_numpy(rng.choice(tree.leaf_indices, 6))
    args = (target,) if route == "path_log_proba" else ()
    X = _csr_rows(as_csr(dense, np.float64, np.int32), with_transpose=True)
    found = getattr(one, route)(X, *args)
    expected = getattr(other, route)(torch.from_numpy(dense), *args)
    torch.testing.assert_close(found, expected)
    found.square().sum().backward()
    expected.square().sum().backward()
    torch.testing.assert_close(one.linear.weight.grad.to_dense(), other.linear.weight.grad)
    torch.testing.assert_close(one.linear.bias.grad, other.linear.bias.grad)
