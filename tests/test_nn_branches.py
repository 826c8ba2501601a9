"""A hidden layer for each branch: against the same model written out node by node."""

import copy

import numpy as np
import pytest
import torch

from hierclf.hierarchy import Hierarchy
from hierclf.nn import (
    BranchedSoftmax,
    CSRRows,
    FeatureLinear,
    HierarchicalSoftmax,
    HierarchyNetwork,
    LazyAdamW,
    LeanAdamW,
    Linear,
    PathLoss,
    SoftLabelLoss,
)
from hierclf.nn.growth import grow
from tests.by_hand import RAGGED, node_log_proba, parent_of, siblings

TOPS = {"a", "b", "z"}  # of RAGGED; "z" has no children
FEATURES, SIZE = 3, 2


def make(tree=RAGGED, *, seed=0, linear=Linear, **params):
    generator = torch.Generator().manual_seed(seed)
    params = {"branch_size": SIZE, "activation": "tanh", **params}
    return BranchedSoftmax(
        FEATURES, tree, linear=linear, generator=generator, dtype=torch.float64, **params
    )


def batch(n=12, seed=0):
    return torch.randn(
        n, FEATURES, dtype=torch.float64, generator=torch.Generator().manual_seed(seed)
    )


def targets(tree=RAGGED):
    """Return all nodes, inner ones too, some of them twice."""
    return torch.cat([torch.arange(len(tree)), torch.arange(0, len(tree), 3)])


def top_of(tree, node):
    return tree.path(node)[0]


def logits_by_hand(head, tree, h):
    """Write the model out for one sample: {node: logit}, as functions of the weights."""
    n_top = len(tree.level(0))
    roots = [node for node in tree.level(0) if tree.children(node)]
    logits = {}
    for i, node in enumerate(tree.nodes):
        if i < n_top:
            logits[node] = h @ head.linear.by_output()[i] + head.linear.bias[i]
            continue
        units = slice(*(SIZE * (roots.index(top_of(tree, node)) + step) for step in (0, 1)))
        weight = head.branches.by_output()[units]
        own = torch.tanh(weight @ h + head.branches.bias[units])
        logits[node] = own @ head.below.weight[i - n_top] + head.below.bias[i - n_top]
    return logits


def path_by_hand(logits, tree, node):
    """Sum the log-softmaxes on the path to a node."""
    steps = []
    for above in tree.path(node):
        group = torch.stack([logits[other] for other in siblings(tree, above)])
        steps.append(logits[above] - torch.logsumexp(group, 0))
    return torch.stack(steps).sum()


def as_csr(x):
    """Return dense rows as CSRRows, with their transpose."""
    rows, columns = x.nonzero(as_tuple=True)
    offsets = torch.cat(
        [torch.zeros(1, dtype=torch.long), torch.bincount(rows, minlength=len(x)).cumsum(0)]
    )
    by_column = columns.argsort(stable=True)
    held, counts = columns.unique(return_counts=True)
    starts = torch.cat([torch.zeros(1, dtype=torch.long), counts.cumsum(0)])
    transpose = held, starts, rows[by_column], x[rows, columns][by_column]
    return CSRRows(columns, offsets, x[rows, columns], transpose)


# -- the model


@pytest.mark.parametrize("linear", [Linear, FeatureLinear])
def test_every_node_has_the_probability_of_the_model_written_out(linear):
    head, x = make(linear=linear), batch(5)
    found = head(x).detach()
    for row, h in enumerate(x):
        logits = {k: float(v.detach()) for k, v in logits_by_hand(head, RAGGED, h).items()}
        wanted = node_log_proba(RAGGED, logits)
        np.testing.assert_allclose(found[row], [wanted[node] for node in RAGGED.nodes], rtol=1e-12)
    leaves = RAGGED.leaf_indices.tolist()
    np.testing.assert_allclose(head.leaf_log_proba(x).detach(), found[:, leaves], rtol=1e-12)
    np.testing.assert_allclose(found[:, leaves].exp().sum(1), 1, rtol=1e-12)


@pytest.mark.parametrize("linear", [Linear, FeatureLinear])
def test_loss_and_gradients_are_those_of_the_model_written_out(linear):
    head, target = make(linear=linear), targets()
    x = batch(len(target)).requires_grad_()
    head.path_nll(x, target).backward()
    found = [x.grad, *(p.grad for p in head.parameters())]
    twin, other = copy.deepcopy(head), x.detach().clone().requires_grad_()
    for p in twin.parameters():
        p.grad = None
    nll = -sum(
        path_by_hand(logits_by_hand(twin, RAGGED, h), RAGGED, RAGGED.nodes[node])
        for h, node in zip(other, target.tolist(), strict=True)
    )
    nll.backward()
    torch.testing.assert_close(head.path_nll(x, target), nll)
    for ours, wanted in zip(found, [other.grad, *(p.grad for p in twin.parameters())], strict=True):
        torch.testing.assert_close(ours, wanted)
    steps = head.path_log_proba(x, target)
    torch.testing.assert_close(steps.sum(1), head(x).gather(1, target[:, None])[:, 0])


def test_sparse_rows_are_dense_rows():
    head, target = make(linear=FeatureLinear), targets()
    x = batch(len(target)) * (batch(len(target), seed=1) > 0)
    rows = as_csr(x)
    torch.testing.assert_close(head(rows), head(x))
    gradients = []
    for read in (x, rows):
        for p in head.parameters():
            p.grad = None
        head.path_nll(read, target).backward()
        gradients.append([p.grad.to_dense() for p in head.parameters()])
    torch.testing.assert_close(*gradients)


def test_a_sample_has_no_gradient_for_another_branch():
    head = make()
    target = torch.tensor(RAGGED.node_indices(["b0100", "b011"]))
    head.path_nll(batch(2), target).backward()
    n_top = len(TOPS)
    of_a = [
        i - n_top
        for i, node in enumerate(RAGGED.nodes)
        if i >= n_top and top_of(RAGGED, node) == "a"
    ]
    assert not head.branches.weight.grad[:SIZE].any()  # the branch "a"
    assert not head.branches.bias.grad[:SIZE].any()
    assert not head.below.weight.grad[of_a].any()
    assert head.branches.weight.grad[SIZE:].all()
    assert head.linear.weight.grad.all()
    # A leaf of the top level trains the root's softmax alone.
    for p in head.parameters():
        p.grad = None
    head.path_nll(batch(1), torch.tensor(RAGGED.node_indices(["z"]))).backward()
    assert not head.branches.weight.grad.any()
    assert not head.below.weight.grad.any()
    assert head.linear.weight.grad.all()


def test_layers_that_pass_the_hidden_state_on_are_the_plain_softmax():
    plain = HierarchicalSoftmax(FEATURES, RAGGED, dtype=torch.float64)
    head = make(branch_size=FEATURES, activation="identity")
    n_top = len(TOPS)
    with torch.no_grad():
        head.branches.weight.copy_(torch.eye(FEATURES, dtype=torch.float64).repeat(2, 1))
        head.branches.bias.zero_()
        for name in ("weight", "bias"):
            values = getattr(plain.linear, name)
            getattr(head.linear, name).copy_(values[:n_top])
            getattr(head.below, name).copy_(values[n_top:])
    target, prior = targets(), torch.linspace(-1, 1, len(RAGGED), dtype=torch.float64)
    x = batch(len(target))
    torch.testing.assert_close(head(x, log_prior=prior), plain(x, log_prior=prior))
    options = {"label_smoothing": 0.2, "log_prior": prior}
    ours = head.path_log_proba(x, target, **options)
    torch.testing.assert_close(ours, plain.path_log_proba(x, target, **options))
    assert head.step_levels.tolist() == plain.step_levels.tolist()
    weight = torch.rand(len(target), dtype=torch.float64)
    level_weights = torch.linspace(1, 2, RAGGED.n_levels, dtype=torch.float64)
    for loss in (PathLoss(level_weights=level_weights), SoftLabelLoss(RAGGED, 2.0).double()):
        torch.testing.assert_close(loss(head, x, target, weight), loss(plain, x, target, weight))
    best, wanted = head.topk_leaves(x, 5), plain.topk_leaves(x, 5)
    assert best.positions.tolist() == wanted.positions.tolist()


def test_a_tree_of_one_level_is_the_plain_softmax():
    flat = Hierarchy.flat(list("abcd"))
    head = make(flat)
    generator = torch.Generator().manual_seed(0)
    plain = HierarchicalSoftmax(FEATURES, flat, generator=generator, dtype=torch.float64)
    x, target = batch(8), torch.arange(8) % 4
    assert torch.equal(head(x), plain(x))
    assert torch.equal(head.path_nll(x, target), plain.path_nll(x, target))
    assert head.branches.weight.numel() == head.below.weight.numel() == 0


def test_many_leaves_of_a_large_tree_are_found_without_a_search():
    tree = Hierarchy.balanced([f"{i:04}" for i in range(3000)], branching=30)
    head, x = make(tree), batch(20)
    best = head.topk_leaves(x, 7)
    wanted = head.leaf_log_proba(x).topk(7)
    assert not head.searches(7)
    assert best.positions.tolist() == wanted.indices.tolist()
    torch.testing.assert_close(best.log_proba, wanted.values)


def test_dropout_drops_units_of_branches_in_training_alone():
    head = make(dropout=0.5)
    x, target = batch(4), torch.tensor(RAGGED.node_indices(["b0100"] * 4))
    head.eval()
    torch.testing.assert_close(head.path_nll(x, target), make().path_nll(x, target))
    head.train()
    torch.manual_seed(0)
    assert len({head.path_nll(x, target).item() for _ in range(20)}) > 5


def test_a_dag_is_refused_and_a_node_is_named():
    dag = Hierarchy([("r", "a"), ("r", "b"), ("a", "c"), ("b", "c"), ("b", "d")])
    with pytest.raises(ValueError, match="'c' has the parents 'a', 'b': give a tree"):
        make(dag)


# -- growing

BEFORE = Hierarchy.from_dict({"b": ["b1", "b2"], "d": ["d1", "d2", "d3"], "e": []})
AFTER = Hierarchy.from_dict(
    {"b": ["b0", "b1"], "c": ["c1", "c2"], "d": ["d1", "up"], "up": ["d2", "d3"], "e": ["e1", "e2"]}
)


@pytest.mark.parametrize("linear", [Linear, FeatureLinear])
@pytest.mark.parametrize("optimizer", [LeanAdamW, LazyAdamW])
def test_a_grown_head_has_the_rows_and_branches_of_its_names(linear, optimizer):
    network = HierarchyNetwork(FEATURES, BEFORE, head=make_head, dtype=torch.float64)
    network.head = make(BEFORE, linear=linear)
    moved = optimizer(network.parameters(), lr=0.01)
    x, target = batch(8), torch.arange(8)
    network.head.path_nll(x, target).backward()
    moved.step()
    if optimizer is LazyAdamW:
        moved.flush()
    old = copy.deepcopy(network.head)
    state = copy.deepcopy(moved.state[network.head.branches.bias])
    grow(network, make_head, BEFORE, AFTER, moved)
    head = network.head

    def row(found, tree, node):
        i, n_top = tree.nodes.index(node), len(tree.level(0))
        part = found.linear if i < n_top else found.below
        i -= n_top * (i >= n_top)
        return [*part.by_output()[i].tolist(), part.bias[i].item()]

    for node in set(BEFORE.nodes) & set(AFTER.nodes):
        assert row(head, AFTER, node) == row(old, BEFORE, node), node
    np.testing.assert_allclose(row(head, AFTER, "b0"), row(old, BEFORE, "b1"))  # the mean of one
    for node in ("c1", "c2", "e1", "e2"):
        assert not any(row(head, AFTER, node))
    top = [row(old, BEFORE, node) for node in "bde"]
    np.testing.assert_allclose(row(head, AFTER, "c"), np.mean(top, axis=0))

    def units(found, number):
        part = slice(number * SIZE, (number + 1) * SIZE)
        return found.branches.by_output()[part], found.branches.bias[part]

    for now, before in ((0, 0), (2, 1)):  # "b" and "d"
        torch.testing.assert_close(units(head, now), units(old, before), rtol=0, atol=0)
    for number in (1, 3):  # "c" and "e" are drawn anew, so that they can learn
        weight, bias = units(head, number)
        assert weight.any(dim=1).all()
        assert bias.all()
        assert weight.abs().max() <= FEATURES**-0.5
    carried = moved.state[head.branches.bias]["exp_avg"]
    np.testing.assert_array_equal(carried[:SIZE], state["exp_avg"][:SIZE])
    np.testing.assert_array_equal(carried[2 * SIZE : 3 * SIZE], state["exp_avg"][SIZE:])
    assert not carried[SIZE : 2 * SIZE].any()
    # And it can be trained: the gradients have the new shapes.
    head.path_nll(x, torch.arange(8)).backward()
    moved.step()


def make_head(in_features, hierarchy, **kwargs):
    return BranchedSoftmax(in_features, hierarchy, branch_size=SIZE, activation="tanh", **kwargs)


def test_a_flat_tree_grows_branches():
    flat = Hierarchy.flat(["a", "b"])
    network = HierarchyNetwork(FEATURES, flat, head=make_head, dtype=torch.float64)
    before = network(batch(4)).detach()
    after = Hierarchy.from_dict({"a": ["a1", "a2"], "b": []})
    optimizer = LeanAdamW(network.parameters(), fused=True)
    network.head.path_nll(batch(2), torch.tensor([0, 1])).backward()
    optimizer.step()
    before = network(batch(4)).detach()
    grow(network, make_head, flat, after, optimizer)
    log_proba = network(batch(4)).detach()
    torch.testing.assert_close(log_proba[:, :2], before)
    torch.testing.assert_close(log_proba[:, 2:], before[:, :1].expand(-1, 2) - np.log(2))


@pytest.mark.parametrize(
    ("after", "told"),
    [
        (
            {"b": ["b1"], "d": ["d1", "d2", "d3", "b2"], "e": []},
            "'b2' was in the branch 'b' and is now in 'd'",
        ),
        (
            {"x": ["b", "d"], "b": ["b1"], "d": ["d1"], "e": []},
            "'b' was in the branch 'b' and is now in 'x'",
        ),
        ({"b1": ["b3", "b4"], "b2": [], "e": []}, "'b1' was in the branch 'b' and is now in 'b1'"),
    ],
)
def test_a_node_that_changes_its_branch_is_refused(after, told):
    network = HierarchyNetwork(FEATURES, BEFORE, head=make_head, dtype=torch.float64)
    head = network.head
    with pytest.raises(ValueError, match=told):
        grow(network, make_head, BEFORE, Hierarchy.from_dict(after))
    assert network.head is head


def test_every_branch_has_all_of_its_nodes():
    # By another route than ancestors by level: each node's parent is in the same branch.
    head = make()
    roots = [node for node in RAGGED.level(0) if RAGGED.children(node)]
    branch = dict(zip(RAGGED.nodes, head.branch.tolist(), strict=True))
    for node in RAGGED.nodes:
        if node not in TOPS:
            assert branch[node] == branch[parent_of(RAGGED, node)]
    assert [branch[root] for root in roots] == [0, 1]


def test_a_sample_is_multiplied_with_one_branch_in_training():
    n_below = len(RAGGED) - len(TOPS)
    assert make().training_weights == FEATURES * (len(TOPS) + SIZE) + SIZE * n_below
    assert make(linear=FeatureLinear).training_weights is None
