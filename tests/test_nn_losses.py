"""The loss and its gradients, against the equations of the paper."""

import math

import by_hand
import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from strategies import trees

from hierclf.hierarchy import Hierarchy
from hierclf.nn import (
    DAGSoftmax,
    FlatSoftmax,
    HierarchicalSoftmax,
    PathLoss,
    PathSteps,
    SoftLabelLoss,
    SoftmaxHead,
)

HEADS = [HierarchicalSoftmax, FlatSoftmax]
DTYPES = [torch.float32, torch.float64]

seeds = st.integers(0, 2**32 - 1)
quick = settings(max_examples=40, deadline=None)
routes = st.sampled_from([*by_hand.ROUTES])


def loss_of(softmax, hidden, target, weight=None):
    return PathLoss()(softmax, hidden, target, weight)


# -- the loss


class Steps(torch.nn.Module):
    """A head whose steps are known."""

    path_nll = SoftmaxHead.path_nll

    def path_log_proba(self, hidden, target, *, label_smoothing, log_prior):
        return hidden.log()


def test_path_cross_entropy_by_hand():
    steps = torch.tensor([[0.5, 0.25, 1.0], [0.125, 1.0, 0.5]], dtype=torch.float64)
    loss, target = PathLoss(), torch.zeros(2, dtype=torch.long)
    # Row 0 is 3 bits, row 1 is 4.
    assert loss(Steps(), steps, target).item() == pytest.approx(3.5 * math.log(2), rel=1e-15)
    for weight, bits in (([1, 1], 3.5), ([2, 0], 3), ([0, 2], 4), ([3, 0.5], 5.5), ([0, 0], 0)):
        weighted = loss(Steps(), steps, target, torch.tensor(weight, dtype=torch.float64))
        assert weighted.item() == pytest.approx(bits * math.log(2), rel=1e-15)


@pytest.mark.parametrize("head", HEADS)
def test_of_one_level_it_is_torchs_cross_entropy(head):
    rng = np.random.default_rng(0)
    tree = Hierarchy.flat(range(9))
    softmax, hidden = by_hand.build(head, tree, rng), by_hand.rows(rng, 20, 3)
    target = torch.from_numpy(rng.integers(9, size=20))
    weight = torch.from_numpy(rng.random(20))
    logits = torch.nn.functional.linear(hidden, *softmax.parameters())
    each = torch.nn.functional.cross_entropy(logits, target, reduction="none")
    torch.testing.assert_close(loss_of(softmax, hidden, target), each.mean())
    torch.testing.assert_close(loss_of(softmax, hidden, target, weight), (weight * each).mean())


@given(trees(), routes)
@example(by_hand.RAGGED, "table, split")
@example(by_hand.RAGGED, "no table, together")
@quick
def test_zero_logits_lose_the_log_of_the_number_of_children_on_the_path(tree, route):
    softmax = by_hand.build(HierarchicalSoftmax, tree, np.random.default_rng(0), route=route)
    for parameter in softmax.parameters():
        torch.nn.init.zeros_(parameter)
    for i, node in enumerate(tree.nodes):
        loss = loss_of(softmax, torch.ones(1, 3, dtype=torch.float64), torch.tensor([i]))
        on_path = (tree.root, *tree.path(node)[:-1])
        expected = math.fsum(math.log(len(tree.children(parent))) for parent in on_path)
        assert loss.item() == pytest.approx(expected, rel=1e-14, abs=1e-14)


@pytest.mark.parametrize("head", [FlatSoftmax, DAGSoftmax])
def test_weights_of_levels_need_steps(head):
    tree, rng = by_hand.RAGGED, np.random.default_rng(0)
    softmax, hidden = by_hand.build(head, tree, rng), by_hand.rows(rng, 2, 3)
    weights, target = torch.rand(tree.n_levels, dtype=torch.float64), torch.tensor([0, 1])
    with pytest.raises(ValueError, match=rf"{head.__name__} gives the target in one.*PathSteps"):
        PathLoss(level_weights=weights)(softmax, hidden, target)
    # Whichever head it is, `steps` divide its probabilities.
    loss = PathLoss(level_weights=torch.ones_like(weights), steps=PathSteps(tree))
    torch.testing.assert_close(loss(softmax, hidden, target), loss_of(softmax, hidden, target))
    with pytest.raises(ValueError, match="`steps` are what `level_weights` weigh"):
        PathLoss(steps=PathSteps(tree))


def test_steps_and_soft_labels_need_a_tree():
    dag = Hierarchy([("r", "a"), ("r", "b"), ("a", "c"), ("b", "c")])
    for make, name in (
        (PathSteps, "PathSteps"),
        (lambda h: SoftLabelLoss(h, 1.0), "SoftLabelLoss"),
    ):
        with pytest.raises(ValueError, match=f"^{name} needs a tree, .*this hierarchy is a DAG"):
            make(dag)


# -- the gradients


@given(trees(), seeds, routes)
@example(by_hand.RAGGED, 0, "table, split")
@example(by_hand.RAGGED, 1, "table, together")
@example(by_hand.RAGGED, 2, "no table, split")
@example(by_hand.RAGGED, 3, "no table, together")
@example(by_hand.RAGGED, 4, "climb, split")
@example(by_hand.RAGGED, 5, "climb, together")
@quick
def test_gradients_are_those_of_equations_8_and_9(tree, seed, route):
    rng = np.random.default_rng(seed)
    softmax = by_hand.build(HierarchicalSoftmax, tree, rng, route=route)
    batch = 5
    hidden = by_hand.rows(rng, batch, 3)
    target = rng.integers(len(tree), size=batch)  # inner nodes too
    weight = rng.random(batch)
    row_of = {node: i for i, node in enumerate(tree.nodes)}
    expected = np.zeros((len(tree), 3 + 1))  # the last column is the bias
    to_hidden = np.zeros((batch, 3))
    for b, logit in enumerate(by_hand.logits(softmax, tree.nodes, hidden)):
        steps = by_hand.step_log_proba(tree, logit)
        path = tree.path(tree.nodes[target[b]])
        h = np.append(hidden[b].numpy(), 1.0)
        for chosen in path:
            for member in by_hand.siblings(tree, chosen):
                pull = weight[b] / batch * (math.exp(steps[member]) - (member == chosen))
                expected[row_of[member]] += pull * h
                to_hidden[b] += pull * softmax.linear.weight[row_of[member]].detach().numpy()
    hidden.requires_grad_()
    loss_of(softmax, hidden, torch.from_numpy(target), torch.from_numpy(weight)).backward()
    np.testing.assert_allclose(softmax.linear.weight.grad, expected[:, :3], atol=1e-13)
    np.testing.assert_allclose(softmax.linear.bias.grad, expected[:, 3], atol=1e-13)
    np.testing.assert_allclose(hidden.grad, to_hidden, atol=1e-13)
    off_path = ~expected.any(axis=1)
    assert not softmax.linear.weight.grad[torch.from_numpy(off_path)].any()


def test_gradient_of_the_flat_softmax():
    rng = np.random.default_rng(0)
    softmax, hidden = by_hand.build(FlatSoftmax, by_hand.RAGGED, rng), by_hand.rows(rng, 5, 3)
    leaf = rng.integers(len(by_hand.RAGGED.leaves), size=5)
    loss_of(softmax, hidden, torch.from_numpy(by_hand.RAGGED.leaf_indices[leaf])).backward()
    exp = np.exp(
        by_hand.table(
            by_hand.RAGGED,
            by_hand.logits(softmax, by_hand.RAGGED.leaves, hidden),
            by_hand.RAGGED.leaves,
        )
    )
    pull = exp / exp.sum(axis=1, keepdims=True) - np.eye(len(by_hand.RAGGED.leaves))[leaf]
    np.testing.assert_allclose(softmax.linear.weight.grad, pull.T @ hidden.numpy() / 5, atol=1e-14)
    np.testing.assert_allclose(softmax.linear.bias.grad, pull.mean(axis=0), atol=1e-14)


@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize("method", ["forward", "leaf_log_proba", "path_log_proba"])
def test_gradcheck(head, method):
    rng = np.random.default_rng(0)
    softmax, hidden = (
        by_hand.build(head, by_hand.RAGGED, rng),
        by_hand.rows(rng, 3, 3).requires_grad_(),
    )
    target = torch.from_numpy(rng.choice(by_hand.RAGGED.leaf_indices, 3))
    args = (target,) if method == "path_log_proba" else ()

    def call(hidden, weight, bias):
        class Map(torch.nn.Module):
            def forward(self, x):
                return torch.nn.functional.linear(x, weight, bias)

        softmax.linear = Map()
        return getattr(softmax, method)(hidden, *args)

    assert torch.autograd.gradcheck(call, (hidden, *softmax.linear.parameters()), fast_mode=True)


@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize("targets", ["leaf_indices", "nodes"])
@pytest.mark.parametrize("options", [{}, {"label_smoothing": 0.1}, {"log_prior": True}])
def test_a_head_may_know_the_sum_but_not_another_one(head, targets, options):
    rng = np.random.default_rng(0)
    softmax = by_hand.build(head, by_hand.RAGGED, rng)
    hidden = by_hand.rows(rng, 20, 3).requires_grad_()
    nodes = by_hand.RAGGED.leaf_indices if targets == "leaf_indices" else len(by_hand.RAGGED)
    target = torch.from_numpy(rng.choice(nodes, 20))
    if "log_prior" in options:
        options = {"log_prior": by_hand.rows(rng, 1, len(by_hand.RAGGED))[0]}
    inputs = (hidden, *softmax.parameters())
    expected = -softmax.path_log_proba(hidden, target, **options).sum()
    found = softmax.path_nll(hidden, target, **options)
    torch.testing.assert_close(found, expected, rtol=1e-13, atol=0)
    gradients = (torch.autograd.grad(nll, inputs) for nll in (found, expected))
    for of_found, of_expected in zip(*gradients, strict=True):
        torch.testing.assert_close(of_found, of_expected, rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("route", by_hand.ROUTES)
def test_logits_of_ten_thousand_have_finite_losses_and_gradients(dtype, route):
    rng = np.random.default_rng(0)
    softmax = by_hand.build(HierarchicalSoftmax, by_hand.RAGGED, rng, route=route, dtype=dtype)
    with torch.no_grad():
        softmax.linear.weight.zero_()
        softmax.linear.bias.copy_(torch.from_numpy(rng.integers(-1, 2, len(by_hand.RAGGED)) * 1e4))
    hidden = torch.ones(1, 3, dtype=dtype)
    (logit,) = by_hand.logits(softmax, by_hand.RAGGED.nodes, hidden)
    steps = by_hand.step_log_proba(by_hand.RAGGED, logit)
    losses = []
    for i, node in enumerate(by_hand.RAGGED.nodes):
        softmax.zero_grad()
        loss = loss_of(softmax, hidden, torch.tensor([i]))
        loss.backward()
        losses.append(loss.item())
        path = by_hand.RAGGED.path(node)
        assert loss.item() == pytest.approx(-math.fsum(steps[n] for n in path), rel=1e-6, abs=1e-6)
        on_path = {other for n in path for other in by_hand.siblings(by_hand.RAGGED, n)}
        pull = [
            math.exp(steps[other]) - (other in path) if other in on_path else 0.0
            for other in by_hand.RAGGED.nodes
        ]
        np.testing.assert_allclose(softmax.linear.bias.grad, pull, rtol=1e-6, atol=1e-6)
        np.testing.assert_allclose(softmax.linear.weight.grad[:, 0], pull, rtol=1e-6, atol=1e-6)
    assert max(losses) > 2e4  # the targets that the logits rule out


# -- only children


@given(tree=trees(), seed=seeds, data=st.data())
@quick
def test_only_child_links_change_nothing(tree, seed, data):
    """An edge p -> c becomes p -> link -> c: the link takes over the weights of c."""
    rng = np.random.default_rng(seed)
    split = data.draw(st.sets(st.sampled_from(tree.edges), min_size=1))
    link = {child: f"l{rng.integers(1 << 30)} to {child}" for _, child in split}
    longer = Hierarchy(
        [
            edge
            for parent, child in tree.edges
            for edge in (
                [(parent, link[child]), (link[child], child)]
                if child in link
                else [(parent, child)]
            )
        ],
        root=tree.root,
    )
    stands_for = [longer.nodes.index(link.get(node, node)) for node in tree.nodes]
    itself = [longer.nodes.index(node) for node in tree.nodes]
    below_link = [longer.nodes.index(node) for node in link]
    softmax, other = (
        by_hand.build(HierarchicalSoftmax, tree, rng),
        by_hand.build(HierarchicalSoftmax, longer, rng),
    )
    with torch.no_grad():
        for parameter, source in zip(other.parameters(), softmax.parameters(), strict=True):
            parameter[stands_for] = source
    hidden = by_hand.rows(rng, 6, 3)
    target = rng.integers(len(tree), size=6)

    log_proba = other(hidden)
    torch.testing.assert_close(log_proba[:, itself], softmax(hidden))
    torch.testing.assert_close(log_proba[:, stands_for], softmax(hidden))
    loss = loss_of(softmax, hidden, torch.from_numpy(target))
    other_loss = loss_of(other, hidden, torch.from_numpy(np.array(itself)[target]))
    torch.testing.assert_close(other_loss, loss)
    loss.backward()
    other_loss.backward()
    for parameter, source in zip(other.parameters(), softmax.parameters(), strict=True):
        torch.testing.assert_close(parameter.grad[stands_for], source.grad)
        assert not parameter.grad[below_link].any()


CHAIN = [(i, i + 1) for i in range(3000)]
CATERPILLAR = [edge for i in range(0, 3000, 2) for edge in ((i, i + 1), (i, i + 2))]


@pytest.mark.parametrize("edges", [CHAIN, CATERPILLAR], ids=["chain", "caterpillar"])
@pytest.mark.parametrize("kind", ["path", "soft"])
def test_memory_of_deep_trees_is_near_the_number_of_nodes(edges, kind):
    """Tables of paths would take 9 or 4.5 million entries for each of their columns."""
    tree = Hierarchy(edges)
    softmax = HierarchicalSoftmax(3, tree, dtype=torch.float64)
    by_hand.fill(softmax, np.random.default_rng(0))
    loss = PathLoss() if kind == "path" else SoftLabelLoss(tree, 1.0)
    entries = sum(part.numel() for module in (softmax, loss) for part in module.buffers())
    assert entries < 40 * len(tree)

    hidden, deepest = by_hand.rows(np.random.default_rng(1), 1, 3), len(tree) - 1
    (logit,) = by_hand.logits(softmax, tree.nodes, hidden)
    step = by_hand.step_log_proba(tree, logit)
    found = loss(softmax, hidden, torch.tensor([deepest]))
    found.backward()  # although no step of a chain depends on a weight
    assert torch.isfinite(softmax.linear.weight.grad).all()
    path = tree.path(tree.nodes[deepest])
    if kind == "path":
        expected = -math.fsum(step[node] for node in path)
    else:
        height = dict(zip(tree.nodes, tree.heights.tolist(), strict=True)) | {0: tree.depth}
        total = {0: 0.0}
        for node in tree.nodes:
            total[node] = total[tree.parents(node)[0]] + step[node]
        target = path[-1]
        lca = {leaf: (tree.parents(leaf)[0] if leaf != target else target) for leaf in tree.leaves}
        if edges is CATERPILLAR:  # the last two leaves are siblings
            lca[deepest], lca[target] = tree.parents(target)[0], target
        weight = {leaf: math.exp(-height[lca[leaf]] / tree.depth) for leaf in tree.leaves}
        weight[target] = 1.0
        expected = -math.fsum(weight[leaf] * total[leaf] for leaf in tree.leaves)
        expected /= math.fsum(weight.values())
    assert found.item() == pytest.approx(expected, rel=1e-9, abs=1e-12)
