"""Margins: the optimum, whichever the way to it, against other solvers and by its definition."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp
from scipy.optimize import minimize
from sklearn.svm import LinearSVC

import hierclf.nn._fast
from hierclf.nn import margins
from hierclf.nn.margins import solve_margins

HAS_NUMBA = hierclf.nn._fast.has_numba()
WAYS = [
    "exact",
    "exact, sparse",
    "Newton",
    "Newton, sparse",
    *(
        pytest.param(kind, marks=pytest.mark.skipif(not HAS_NUMBA, reason="needs numba"))
        for kind in ("descent", "descent, sparse")
    ),
]


@pytest.fixture(params=WAYS)
def way(request, monkeypatch):
    """Solve in one of the ways; returns whether rows are to be sparse."""
    kind = request.param
    if "exact" not in kind:
        monkeypatch.setattr(margins, "EXACT_FEATURES", 0)
    if "Newton" in kind:
        monkeypatch.setattr(margins, "loops_for", lambda *args: None)
    return kind


def as_way(X, way):
    return sp.csr_matrix(X) if "sparse" in way else X


def problem(seed=0, n=40, d=6, n_columns=3, dtype=np.float64):
    """Rows with a structure, zeros among the values, and sides of several weights, 0 included."""
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((n, d)) * (rng.random((n, d)) < 0.7)
    true = X @ rng.standard_normal((d, n_columns)) + rng.standard_normal((n, n_columns)) - 0.5
    sides = np.where(true > 0, 1.0, -1.0) * rng.choice([0.0, 0.5, 1.0, 3.0], (n, n_columns))
    return X.astype(dtype), sides


def objective(X, sides, weight, bias):
    """Return the objective of each column, by its definition."""
    found = []
    for j in range(sides.shape[1]):
        loss = 0.0
        for i in range(len(sides)):
            y, c = np.sign(sides[i, j]), abs(sides[i, j])
            loss += c * max(0.0, 1 - y * (X[i] @ weight[j] + bias[j])) ** 2
        found.append(weight[j] @ weight[j] / 2 + (bias[j] + 1) ** 2 / 2 + loss)
    return np.array(found)


def by_scipy(X, sides):
    """Minimise the objective of each column with a solver that knows nothing of it."""
    found = []
    for side in sides.T:

        def value(point, side=side):
            slack = np.maximum(0, 1 - np.sign(side) * (X @ point[:-1] + point[-1]))
            pulled = point + np.append(np.zeros(X.shape[1]), 1)
            slope = -2 * side * slack
            gradient = pulled + np.append(X.T @ slope, slope.sum())
            return pulled @ pulled / 2 + abs(side) @ slack**2, gradient

        start = np.zeros(X.shape[1] + 1)
        options = {"ftol": 1e-15, "gtol": 1e-10, "maxiter": 10_000}
        found.append(minimize(value, start, jac=True, method="L-BFGS-B", options=options).x)
    found = np.array(found)
    return found[:, :-1], found[:, -1]


def solve(X, sides, tol=1e-12, **options):
    return solve_margins(
        X, lambda columns: sides[:, columns].copy(), sides.shape[1], tol=tol, **options
    )


def test_the_optimum_is_that_of_another_solver(way):
    X, sides = problem()
    found = solve(as_way(X, way), sides)
    weight, bias = by_scipy(X, sides)
    np.testing.assert_allclose(found.weight, weight, atol=1e-5)
    np.testing.assert_allclose(found.bias, bias, atol=1e-5)
    best = objective(X, sides, weight, bias)
    assert (objective(X, sides, found.weight, found.bias) <= best * (1 + 1e-9)).all()
    assert found.is_converged


def test_where_the_bias_costs_nothing_the_objective_is_that_of_liblinear(way):
    X, _ = problem(n=60, d=8)
    y = np.where(X[:, 0] + X[:, 1] ** 2 > 0.5, 1, -1)
    large = 100.0  # a feature that is always so large is a bias that is penalised 10,000 times less
    svc = LinearSVC(C=0.7, intercept_scaling=large, tol=1e-10, max_iter=1_000_000, random_state=0)
    svc.fit(X, y)
    slack = np.maximum(0, 1 - y * svc.decision_function(X))
    of_liblinear = (svc.coef_**2).sum() / 2 + 0.7 * (slack**2).sum()

    with_large = np.hstack([X, np.full((len(X), 1), large)])
    found = solve(as_way(with_large, way), 0.7 * y[:, None].astype(float), max_iter=100_000)
    slack = np.maximum(0, 1 - y * (with_large @ found.weight[0] + found.bias[0]))
    ours = (found.weight[0, :-1] ** 2).sum() / 2 + 0.7 * (slack**2).sum()
    assert ours == pytest.approx(of_liblinear, rel=1e-3)


@pytest.mark.parametrize("tol", [1e-2, 1e-4])
def test_the_objective_is_above_the_optimum_by_the_tolerance(way, tol):
    X, sides = problem(seed=3, n=300, d=100, n_columns=5)
    sides *= [1, 0.01, 30, 1, 10]  # some columns are solved long before others
    best = solve(X, sides, tol=1e-13)
    found = solve(as_way(X, way), sides, tol=tol)
    above = objective(X, sides, found.weight, found.bias) / objective(
        X, sides, best.weight, best.bias
    )
    assert (above >= 1 - 1e-9).all()
    assert (above <= 1 + tol).all()


def test_a_weight_of_two_is_two_rows(way):
    X, sides = problem(seed=1)
    times = np.arange(len(X)) % 3
    weighted = solve(as_way(X, way), sides * times[:, None])
    repeated = solve(as_way(np.repeat(X, times, axis=0), way), np.repeat(sides, times, axis=0))
    np.testing.assert_allclose(weighted.weight, repeated.weight, atol=2e-5)
    np.testing.assert_allclose(weighted.bias, repeated.bias, atol=2e-5)


def test_the_exact_way_is_exact_whatever_the_order_and_the_size_of_the_features():
    X, sides = problem(seed=2)
    X = X * [1e-3, 1, 1e3, 1, 1, 1e2]
    found = solve(X, sides)
    order = np.random.default_rng(0).permutation(len(X))
    again = solve(X[order], sides[order])
    np.testing.assert_allclose(found.weight, again.weight, rtol=1e-9, atol=1e-12)
    assert found.n_iter < 30


def test_without_positive_rows_all_is_right_at_once(way):
    X, _ = problem()
    found = solve(as_way(X, way), np.full((len(X), 1), -1.0))
    assert not found.weight.any()
    assert found.bias == [-1]
    assert found.is_converged


def test_rows_held_out_are_scored_by_columns_that_were_solved_without_them(way):
    X, sides = problem(seed=4)
    rows = np.array([0, 7, 8, 31])
    found = solve(as_way(X, way), sides, hold_out=rows)
    np.testing.assert_allclose(found.weight, solve(as_way(X, way), sides).weight, rtol=1e-12)
    kept = np.delete(np.arange(len(X)), rows)
    without = solve(as_way(X[kept], way), sides[kept])
    expected = X[rows] @ without.weight.T + without.bias
    np.testing.assert_allclose(found.held_out, expected, atol=1e-4)
    in_all = X[rows] @ found.weight.T + found.bias
    assert abs(in_all - expected).max() > 0.05  # they would have been known


@pytest.mark.parametrize("n_jobs", [2, -1])
def test_threads_change_no_bit(way, n_jobs):
    X, sides = problem(n_columns=70)  # three blocks
    X, rows = as_way(X, way), np.arange(5)
    one = solve(X, sides, tol=1e-3, hold_out=rows)
    several = solve(X, sides, tol=1e-3, hold_out=rows, n_jobs=n_jobs)
    for first, second in zip(one, several, strict=True):
        np.testing.assert_array_equal(first, second)


def test_a_column_is_the_same_in_any_block(way):
    X, sides = problem(n_columns=40)
    X = as_way(X, way)
    found, alone = solve(X, sides), solve(X, sides[:, 37:38])
    np.testing.assert_allclose(found.weight[37], alone.weight[0], atol=1e-5)


def test_float32_is_about_float64(way):
    X, sides = problem(seed=5)
    single = solve(as_way(X.astype(np.float32), way), sides, tol=1e-5)
    assert single.weight.dtype == single.bias.dtype == single.held_out.dtype == np.float32
    np.testing.assert_allclose(single.weight, solve(as_way(X, way), sides).weight, atol=2e-2)


def test_a_feature_that_is_written_twice_in_a_row_is_their_sum(way):
    if as_way(np.zeros((1, 1)), way).__class__ is np.ndarray:
        pytest.skip("sparse rows only")
    X, sides = problem()
    whole = sp.csr_matrix(X)
    parts = sp.csr_matrix(
        (np.repeat(whole.data / 2, 2), np.repeat(whole.indices, 2), 2 * whole.indptr), whole.shape
    )
    assert not parts.has_canonical_format
    np.testing.assert_allclose(solve(parts, sides).weight, solve(whole, sides).weight, atol=1e-5)
    assert parts.nnz == 2 * whole.nnz


def test_read_only_rows_and_empty_rows(way):
    X, sides = problem()
    X[[0, 5, -1]] = 0
    expected = solve(X.copy(), sides).weight
    rows = as_way(X, way)
    for part in (rows.data, rows.indices, rows.indptr) if sp.issparse(rows) else (rows,):
        part.setflags(write=False)
    np.testing.assert_allclose(solve(rows, sides).weight, expected, atol=1e-5)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_from_tiny_weights_nothing_is_learnt(way, dtype):
    X, sides = problem(dtype=dtype)
    found = solve(as_way(X, way), sides * 1e-35, tol=1e-3, max_iter=20)
    np.testing.assert_allclose(found.weight, 0, atol=1e-20)
    np.testing.assert_allclose(found.bias, -1)


def test_too_few_steps_are_no_solution(way):
    X, sides = problem()
    found = solve(as_way(X, way), sides, max_iter=1)
    assert not found.is_converged
    assert found.n_iter == 1


def test_steps_of_no_column_hang_on_another(way):
    """A block has columns that are solved at once, and others that take long."""
    X, sides = problem(n_columns=4)
    sides[:, 1] = -1
    sides[:, 2] *= 100
    found = solve(as_way(X, way), sides)
    for j in range(4):
        alone = solve(as_way(X, way), sides[:, [j]])
        np.testing.assert_allclose(found.weight[j], alone.weight[0], atol=2e-5)
