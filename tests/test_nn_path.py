"""The path-wise softmax: the hierarchical softmax's numbers, from the groups on the paths alone."""

import contextlib
import copy
import pickle

import numpy as np
import pytest
import torch
from by_hand import RAGGED, fill, parent_of, siblings
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from strategies import trees

import hierclf.nn._fast
import hierclf.nn.path
from hierclf.hierarchy import Hierarchy
from hierclf.nn import (
    FeatureLinear,
    HierarchicalSoftmax,
    LazyAdamW,
    LazyNovoGrad,
    LazyRowwiseAdagrad,
    Linear,
    PathLoss,
    PathSoftmax,
)

HAS_NUMBA = hierclf.nn._fast.has_numba()
NEEDS_NUMBA = pytest.mark.skipif(not HAS_NUMBA, reason="needs numba")
FORMS = [pytest.param(True, id="numba", marks=NEEDS_NUMBA), pytest.param(False, id="torch")]
DTYPES = [torch.float32, torch.float64]
CLOSE = {torch.float32: {"rtol": 1e-4, "atol": 1e-5}, torch.float64: {"rtol": 1e-10, "atol": 1e-12}}


@pytest.fixture(autouse=True)
def form(request, monkeypatch):
    """Run without numba where a test has the parameter ``loops``, and it is False."""
    callspec = getattr(request.node, "callspec", None)
    if callspec is not None and not callspec.params.get("loops", True):
        monkeypatch.setattr(hierclf.nn._fast, "has_numba", lambda: False)


def pair(tree, n_features, dtype, linear=Linear, seed=0):
    """Return a dense and a path-wise softmax of the same weights."""
    dense = HierarchicalSoftmax(n_features, tree, linear=linear, dtype=dtype)
    path = PathSoftmax(n_features, tree, linear=linear, dtype=dtype)
    fill(dense, np.random.default_rng(seed))
    path.load_state_dict(dense.state_dict())
    return dense, path


def outcome(head, hidden, target, **options):
    """Return the steps, level by level, and the gradients of a random function of them."""
    hidden = hidden.clone().requires_grad_()
    steps = head.path_log_proba(hidden, target, **options)
    steps = steps[:, head.step_levels.argsort()]
    factors = torch.randn(steps.shape, generator=torch.Generator().manual_seed(3))
    (steps * factors.to(steps.dtype)).sum().backward()
    grads = [p.grad.to_dense() for p in (head.linear.weight, head.linear.bias)]
    if isinstance(head.linear, FeatureLinear):
        grads[0] = grads[0].t()
    return [steps.detach(), hidden.grad, *grads]


def assert_same(tree, dtype, *, batch, n_features=3, linear=Linear, log_prior=None, **options):
    """Compare with the dense softmax in float64, whose sums over wide groups are exact enough."""
    _, path = pair(tree, n_features, dtype, linear)
    dense, _ = pair(tree, n_features, torch.float64, linear)
    generator = torch.Generator().manual_seed(1)
    hidden = torch.randn(batch, n_features, generator=generator)
    target = torch.randint(len(tree), (batch,), generator=generator)
    priors = [log_prior, log_prior]
    if log_prior is not None:
        priors = [log_prior.to(dtype), log_prior.double()]
    ours = outcome(path, hidden.to(dtype), target, log_prior=priors[0], **options)
    theirs = outcome(dense, hidden.double(), target, log_prior=priors[1], **options)
    for our, their in zip(ours, theirs, strict=True):
        torch.testing.assert_close(our, their.to(dtype), **CLOSE[dtype])


@pytest.mark.parametrize("loops", FORMS)
@settings(max_examples=40)
@given(
    tree=trees(),
    dtype=st.sampled_from(DTYPES),
    batch=st.integers(1, 9),
    smoothing=st.sampled_from([0.0, 0.2]),
    with_prior=st.booleans(),
    linear=st.sampled_from([Linear, FeatureLinear]),
)
def test_steps_and_gradients_are_those_of_the_dense_softmax(
    loops, tree, dtype, batch, smoothing, with_prior, linear
):
    options = {"label_smoothing": smoothing}
    if with_prior:
        options["log_prior"] = torch.linspace(-1, 2, len(tree))
    assert_same(tree, dtype, batch=batch, linear=linear, **options)


@pytest.mark.parametrize("loops", FORMS)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("smoothing", [0.0, 0.2])
@pytest.mark.parametrize(
    "tree", [RAGGED, Hierarchy.flat(range(3000)), Hierarchy.balanced(range(900), 30)]
)
def test_so_are_groups_that_are_worth_a_matrix_product(loops, dtype, smoothing, tree, monkeypatch):
    monkeypatch.setattr(hierclf.nn.path, "_PRODUCT", 200)
    monkeypatch.setattr(hierclf.nn.path, "_PRODUCT_BESIDE_LOOPS", 200)
    prior = torch.linspace(-1, 2, len(tree))
    assert_same(tree, dtype, batch=40, label_smoothing=smoothing, log_prior=prior)


@pytest.mark.parametrize("loops", FORMS)
def test_rows_are_the_groups_on_the_paths_each_once_and_in_order(loops):
    _, head = pair(RAGGED, 2, torch.float64)
    labels = ["a31", "a32", "b0103", "b", "z"]
    target = torch.tensor(RAGGED.node_indices(labels))
    head.path_log_proba(torch.randn(5, 2, dtype=torch.float64), target).sum().backward()
    on_paths = {
        n for label in labels for above in RAGGED.path(label) for n in siblings(RAGGED, above)
    }
    expected = sorted(RAGGED.nodes.index(n) for n in on_paths if len(siblings(RAGGED, n)) > 1)
    for parameter in head.parameters():
        rows = parameter.grad._indices()[0].tolist()
        assert rows == expected  # "b0", an only child, is not among them


@pytest.mark.parametrize("loops", FORMS)
def test_a_gradient_is_not_written_over_by_the_next(loops):
    tree = Hierarchy.balanced(range(64), 4)
    _, head = pair(tree, 3, torch.float64)
    hidden, target = torch.randn(8, 3, dtype=torch.float64), torch.tensor(tree.leaf_indices[:8])
    (kept,) = torch.autograd.grad(head.path_log_proba(hidden, target).sum(), head.linear.weight)
    before = kept.to_dense().clone()
    other = torch.tensor(tree.leaf_indices[-8:])
    torch.autograd.grad(head.path_log_proba(-2 * hidden, other).sum(), head.linear.weight)
    assert torch.equal(kept.to_dense(), before)
    # Gradients of two passes add up.
    for _ in range(2):
        head.path_log_proba(hidden, target).sum().backward()
    torch.testing.assert_close(head.linear.weight.grad.to_dense(), 2 * before)


@pytest.mark.parametrize("loops", FORMS)
@pytest.mark.parametrize("row_steps", [False, True])
def test_training_is_adamw_where_every_group_is_visited_at_every_step(loops, row_steps):
    tree = Hierarchy.balanced(range(27), 3)
    dense, path = pair(tree, 4, torch.float64)
    options = {"lr": 0.05, "weight_decay": 0.1}
    plain = torch.optim.AdamW(dense.parameters(), **options)
    lazy = LazyAdamW(path.parameters(), row_steps=row_steps, **options)
    level_weights = torch.tensor([1.0, 0.5, 2.0], dtype=torch.float64)
    loss = PathLoss(level_weights=level_weights, label_smoothing=0.1)
    generator = torch.Generator().manual_seed(0)
    for _ in range(30):
        hidden = torch.randn(27, 4, dtype=torch.float64, generator=generator)
        target = torch.tensor(tree.leaf_indices)  # each leaf once
        weight = torch.rand(27, dtype=torch.float64, generator=generator)
        for head, optimizer in ((dense, plain), (path, lazy)):
            optimizer.zero_grad()
            loss(head, hidden, target, weight).backward()
            optimizer.step()
    for ours, theirs in zip(path.parameters(), dense.parameters(), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("loops", FORMS)
@pytest.mark.parametrize("dtype", DTYPES)
def test_each_row_has_its_own_count_of_steps_and_all_of_the_decay(loops, dtype):
    """Against AdamW of each row alone, at the steps that have it, and decay at the others."""
    lr, decay, n_rows = 0.1, 0.2, 4
    start = torch.arange(8.0, dtype=dtype).view(n_rows, 2) - 3
    table = torch.nn.Parameter(start.clone())
    lazy = LazyAdamW([table], lr=lr, weight_decay=decay, row_steps=True)
    alone = [torch.nn.Parameter(row.clone()) for row in start]
    plain = [torch.optim.AdamW([row], lr=lr, weight_decay=decay) for row in alone]
    generator = torch.Generator().manual_seed(0)
    for step in range(12):
        rows = [row for row in range(n_rows) if step % (row + 1) == 0]
        values = torch.randn(len(rows), 2, dtype=dtype, generator=generator)
        table.grad = torch.sparse_coo_tensor([rows], values, table.shape, check_invariants=True)
        lazy.step()
        for row in range(n_rows):
            if row in rows:
                alone[row].grad = values[rows.index(row)].clone()
                plain[row].step()
            else:
                alone[row].data.mul_(1 - lr * decay)
    lazy.flush()
    torch.testing.assert_close(table.data, torch.stack([row.data for row in alone]))


def trained(head, *, inside):
    """Train for some steps, moved inside the passes or after them, and three steps after that."""
    optimizer = LazyAdamW(head.parameters(), lr=0.05, weight_decay=0.1, row_steps=True)
    generator, dtype = torch.Generator().manual_seed(0), head.linear.weight.dtype
    n_nodes, hidden_grads = len(head.linear.bias), []

    def step():
        hidden = torch.randn(7, 4, generator=generator).to(dtype).requires_grad_()
        target = torch.randint(n_nodes, (7,), generator=generator)
        optimizer.zero_grad()
        PathLoss(label_smoothing=0.1)(head, hidden, target).backward()
        moved = [p.grad is None for p in head.parameters()]
        optimizer.step()
        hidden_grads.append(hidden.grad)
        return all(moved)

    with head.moved_by(optimizer) if inside else contextlib.nullcontext():
        assert all(step() == inside for _ in range(8))
    assert not any(step() for _ in range(3))
    optimizer.flush()
    states = [optimizer.state[p] for p in head.parameters()]
    keys = ("exp_avg", "exp_avg_sq", "row_step", "row_log_decay", "step")
    return [*head.parameters(), *hidden_grads, *(state[key] for state in states for key in keys)]


@pytest.mark.parametrize("loops", FORMS)
@pytest.mark.parametrize("wide", [None, 30])
@pytest.mark.parametrize("dtype", DTYPES)
@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(tree=trees())
def test_rows_moved_in_the_pass_are_where_the_optimiser_moves_them(
    monkeypatch, loops, dtype, wide, tree
):
    if wide:
        monkeypatch.setattr(hierclf.nn.path, "_PRODUCT", wide)
        monkeypatch.setattr(hierclf.nn.path, "_PRODUCT_BESIDE_LOOPS", wide)
    _, inside = pair(tree, 4, dtype)
    after = copy.deepcopy(inside)
    if not len(inside.step_levels):
        return  # nobody has siblings
    ours, theirs = trained(inside, inside=True), trained(after, inside=False)
    for our, their in zip(ours, theirs, strict=True):
        torch.testing.assert_close(our, their, **CLOSE[dtype])


@pytest.mark.parametrize("loops", FORMS)
@pytest.mark.parametrize("watch", ["weight", "step", "frozen", "group", "class", "dense"])
def test_rows_wait_for_the_optimiser_where_somebody_looks_at_gradients(loops, watch):
    tree = Hierarchy.balanced(range(9), 3)
    _, head = pair(tree, 4, torch.float64)
    weight, bias = head.linear.weight, head.linear.bias
    kind = LazyNovoGrad if watch == "class" else LazyAdamW
    groups = [{"params": [weight]}, {"params": [bias]}] if watch == "group" else [weight, bias]
    optimizer, looked = kind(groups, row_steps=True, lr=0.1), []
    if watch == "weight":
        weight.register_hook(looked.append)
    elif watch == "step":
        optimizer.register_step_pre_hook(lambda *_: looked.append(weight.grad))
    elif watch == "frozen":
        bias.requires_grad_(False)
    elif watch == "dense":  # one of both has been moved by itself before, so they are not in step
        bias.grad = torch.ones_like(bias)
        optimizer.step()
        bias.grad = None
    with head.moved_by(optimizer):
        head.path_nll(torch.ones(1, 4, dtype=torch.float64), torch.tensor([5])).backward()
        assert weight.grad is not None
        optimizer.step()
    assert len(looked) == (watch in ("weight", "step"))


@pytest.mark.parametrize("loops", FORMS)
@pytest.mark.parametrize("shape", [(5, 3), (5,)])
@pytest.mark.parametrize("is_sparse", [True, False])
def test_rowwise_adagrad_is_its_equation(loops, shape, is_sparse):
    rng = np.random.default_rng(0)
    weight = rng.standard_normal(shape)
    parameter = torch.nn.Parameter(torch.tensor(weight))
    lr, decay, eps = 0.3, 0.1, 1e-10
    optimizer = LazyRowwiseAdagrad([parameter], lr=lr, weight_decay=decay, eps=eps)
    total = np.zeros(5)
    for step in range(6):
        rows = [0, 2, 3] if step % 2 else [2, 4]
        grad = np.zeros(shape)
        grad[rows] = rng.standard_normal(grad[rows].shape)
        total += (grad.reshape(5, -1) ** 2).mean(1)
        scale = lr / (np.sqrt(total) + eps)
        weight = weight * (1 - lr * decay) - scale.reshape(-1, *[1] * (len(shape) - 1)) * grad
        given = torch.tensor(grad)
        parameter.grad = given.to_sparse(1) if is_sparse else given
        optimizer.step()
    optimizer.flush()
    np.testing.assert_allclose(parameter.detach().numpy(), weight, rtol=1e-12)
    # Its state goes on from a copy.
    other = torch.nn.Parameter(parameter.detach().clone())
    copied = LazyRowwiseAdagrad([other], lr=1.0)
    copied.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    other.grad = parameter.grad.clone()
    optimizer.step()
    copied.step()
    assert torch.equal(other, parameter)


@pytest.mark.parametrize("loops", FORMS)
def test_a_number_that_is_not_finite_reaches_the_loss(loops):
    _, head = pair(Hierarchy.balanced(range(16), 4), 3, torch.float32)
    with torch.no_grad():
        head.linear.weight[1, 0] = torch.nan
    target = torch.tensor([4])
    assert head.path_log_proba(torch.ones(1, 3), target).isnan().any()


@pytest.mark.parametrize("loops", FORMS)
@pytest.mark.parametrize("dtype", DTYPES)
def test_probabilities_too_small_to_matter_have_no_gradient(loops, dtype):
    """Numbers so small that a processor is slow with them never come to be."""
    tree = Hierarchy.flat(["a", "b", "c"])
    _, head = pair(tree, 1, dtype)
    with torch.no_grad():
        head.linear.weight.zero_()
        head.linear.bias.copy_(torch.tensor([0.0, -80.0, -1.0]) * (1 if dtype == DTYPES[0] else 9))
    head.path_log_proba(torch.ones(1, 1, dtype=dtype), torch.tensor([0])).sum().backward()
    gradient = head.linear.bias.grad.to_dense()
    assert gradient[1] == 0
    assert gradient[2] < 0


def test_weights_start_and_move_between_the_two_as_they_are():
    tree = RAGGED
    for linear in (Linear, FeatureLinear):
        made = [
            cls(5, tree, linear=linear, generator=torch.Generator().manual_seed(0))
            for cls in (HierarchicalSoftmax, PathSoftmax)
        ]
        for a, b in (made, made[::-1]):
            assert list(a.state_dict()) == list(b.state_dict())
            for name, values in a.state_dict().items():
                assert torch.equal(values, b.state_dict()[name])
            fill(a, np.random.default_rng(1))
            b.load_state_dict(a.state_dict())
            hidden = torch.randn(4, 5)
            torch.testing.assert_close(a(hidden), b(hidden))
    weight = made[1].linear.weight  # by node, though saved by feature
    assert weight.shape == (len(tree), 5)
    torch.testing.assert_close(weight, made[0].linear.weight.t())


def test_a_copy_and_a_pickle_hold_no_memory_of_the_last_gradient():
    _, head = pair(Hierarchy.balanced(range(5000), 10), 64, torch.float32)
    weights = len(pickle.dumps(head))
    target = torch.arange(2000, 3000)
    head.path_log_proba(torch.randn(1000, 64), target).sum().backward()
    head.zero_grad()
    assert len(pickle.dumps(head)) == weights
    assert copy.deepcopy(head).buffer._array is None


def test_a_dag_and_sparse_rows_are_refused():
    dag = Hierarchy.from_dict({"a": ["c"], "b": ["c", "d"]})
    with pytest.raises(ValueError, match="DAG"):
        PathSoftmax(2, dag)
    head = PathSoftmax(2, Hierarchy.flat(["a", "b"]), linear=FeatureLinear)
    with pytest.raises(ValueError, match=r"trains on dense rows.* hidden layer"):
        head.path_log_proba((None, None), torch.tensor([0]))


def test_mean_path_nodes_counts_the_softmaxes_of_the_leaves():
    counted = [
        sum(
            len(siblings(RAGGED, node))
            for node in RAGGED.path(leaf)
            if len(siblings(RAGGED, node)) > 1
        )
        for leaf in RAGGED.leaves
    ]
    assert hierclf.nn.path.mean_path_nodes(RAGGED) == pytest.approx(np.mean(counted))
    assert parent_of(RAGGED, "b0") == "b"  # whose step is certain, and not counted
