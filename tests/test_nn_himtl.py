"""HiMTL: branches, their weights in the loss, and what they predict together."""

import math

import by_hand
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from node_heads import CHAIN, DAG, FLAT, ONE_NODE, TREE, himtl, hitin, hmcn, targets
from strategies import dags, trees

from hierclf.hierarchy import Hierarchy
from hierclf.nn import HiMTLHead, LinearNodeHead, NodeLoss
from hierclf.nn.himtl import split_hierarchy

N_IN = 3
quick = settings(max_examples=40, deadline=None)


def build(hierarchy, heads=None, **options):
    _, branches = split_hierarchy(hierarchy, options.get("split_depth", 1))
    heads = [LinearNodeHead] * len(branches) if heads is None else heads
    generator = torch.Generator().manual_seed(0)
    return HiMTLHead(
        N_IN, hierarchy, heads=heads, generator=generator, dtype=torch.float64, **options
    )


def depth_of(hierarchy, node):
    return 1 + max(
        (depth_of(hierarchy, p) for p in hierarchy.parents(node) if p != hierarchy.root), default=0
    )


@given(st.one_of(trees(), dags()), st.integers(1, 3))
@quick
def test_branches_are_what_is_below_their_first_node(hierarchy, split_depth):
    if split_depth > hierarchy.depth:
        with pytest.raises(ValueError, match=f"split_depth must be .* got {split_depth}"):
            split_hierarchy(hierarchy, split_depth)
        return
    above, branches = split_hierarchy(hierarchy, split_depth)
    starts = [n for n in hierarchy.nodes if depth_of(hierarchy, n) == split_depth]
    higher = {n for n in hierarchy.nodes if depth_of(hierarchy, n) < split_depth}
    assert (set() if above is None else set(above.hierarchy.nodes)) == higher
    expected = [({start, *hierarchy.descendants(start)}) for start in starts]
    assert [set(branch.hierarchy.nodes) for branch in branches] == expected
    for part in [*branches, *([above] if above else [])]:
        names = [hierarchy.nodes[i] for i in part.columns]
        assert tuple(names) == part.hierarchy.nodes
        inside = {e for e in part.hierarchy.edges if e[0] != part.hierarchy.root}
        assert inside == {(p, c) for p, c in hierarchy.edges if p in set(names) and c in set(names)}


def test_branches_of_nodes_that_are_tuples():
    tree = Hierarchy([("top", ("a", 1)), (("a", 1), ("a", 2)), ("top", ("b", 1))])
    _, branches = split_hierarchy(tree)
    assert [branch.hierarchy.nodes for branch in branches] == [(("a", 1), ("a", 2)), (("b", 1),)]


@pytest.mark.parametrize("hierarchy", [TREE, DAG, CHAIN, FLAT, ONE_NODE])
@pytest.mark.parametrize("constrained", [False, True])
@pytest.mark.parametrize("split_depth", [1, 2])
def test_masking_is_projection_with_branches_weighted_by_size(hierarchy, constrained, split_depth):
    if split_depth > hierarchy.depth:
        return
    rng = np.random.default_rng(0)
    options = {"split_depth": split_depth}
    masked = by_hand.fill(build(hierarchy, method="masking", **options), rng)
    projected = build(hierarchy, weighting="label", **options)
    alone = build(hierarchy, weighting="branch", **options)
    columns = [part.columns for part in masked.parts]
    with torch.no_grad():
        for own, other, third, rows in zip(
            masked.heads, projected.heads, alone.heads, columns, strict=True
        ):
            kept = slice(None) if len(own.linear.weight) == len(rows) else rows
            for head in (other, third):
                head.linear.weight.copy_(own.linear.weight[kept])
                head.linear.bias.copy_(own.linear.bias[kept])
    hidden, target = by_hand.rows(rng, 6, N_IN), targets(hierarchy, rng, 6)
    read = [hidden.clone().requires_grad_() for _ in range(2)]
    loss = NodeLoss(constrained=constrained)
    losses = [loss(head, x, target) for head, x in zip((masked, projected), read, strict=True)]
    assert losses[0].item() == pytest.approx(losses[1].item(), rel=1e-12)
    for value in losses:
        value.backward()
    torch.testing.assert_close(read[0].grad, read[1].grad)
    for own, other, rows in zip(masked.heads, projected.heads, columns, strict=True):
        kept = slice(None) if len(own.linear.weight) == len(rows) else rows
        torch.testing.assert_close(own.linear.weight.grad[kept], other.linear.weight.grad)
        dead = torch.ones(len(own.linear.weight), dtype=torch.bool)
        dead[kept] = False
        assert not own.linear.weight.grad[dead].any()
    torch.testing.assert_close(masked(hidden), projected(hidden))
    # By hand: each branch is a mean of its own, weighted by its share of the nodes.
    if constrained:
        return
    by_branch = []
    for own, rows in zip(alone.heads, columns, strict=True):
        p = torch.sigmoid(own.linear(hidden)).detach().numpy()
        y = target[:, rows].numpy()
        by_branch.append(np.mean(-np.log(np.where(y, p, 1 - p))))
    shares = [len(rows) / len(hierarchy) for rows in columns]
    assert losses[0].item() == pytest.approx(np.dot(shares, by_branch), rel=1e-10)
    assert loss(alone, hidden, target).item() == pytest.approx(sum(by_branch), rel=1e-10)


def test_masking_with_branches_of_the_same_weight():
    rng = np.random.default_rng(0)
    masked = by_hand.fill(build(TREE, method="masking", weighting="branch"), rng)
    hidden, target = by_hand.rows(rng, 6, N_IN), targets(TREE, rng, 6)
    total = 0.0
    for part, head in zip(masked.parts, masked.heads, strict=True):
        p = torch.sigmoid(head.linear(hidden))[:, part.columns].detach().numpy()
        y = target[:, part.columns].numpy()
        total += np.mean(-np.log(np.where(y, p, 1 - p)))
    assert NodeLoss(constrained=False)(masked, hidden, target).item() == pytest.approx(total)


def test_a_masked_node_is_not_trained_and_not_predicted():
    """A logit that is multiplied by 0 is a probability of one half, and a constant loss."""
    head = build(TREE, method="masking")
    with torch.no_grad():
        for part, own in zip(head.parts, head.heads, strict=True):
            outside = torch.ones(len(TREE), dtype=torch.bool)
            outside[part.columns] = False
            own.linear.bias.fill_(-3.0)
            own.linear.bias[outside] = 50.0
            own.linear.weight.zero_()
    hidden = torch.zeros(2, N_IN, dtype=torch.float64)
    assert head.logits(hidden).unique().tolist() == [-3.0]
    loss = NodeLoss(constrained=False)(head, hidden, torch.zeros(2, len(TREE)))
    assert loss.item() == pytest.approx(math.log1p(math.exp(-3)))


def test_a_sample_without_a_label_in_a_branch_is_all_wrong_there():
    head = build(TREE)
    target = torch.from_numpy(TREE.to_indicator([["b0"]]))
    loss = NodeLoss(constrained=False)(head, torch.ones(1, N_IN, dtype=torch.float64), target)
    loss.backward()
    start = TREE.nodes.index("a")
    (part, own), *_ = [
        (p, h) for p, h in zip(head.parts, head.heads, strict=True) if start in p.columns
    ]
    p = torch.sigmoid(own.linear(torch.ones(N_IN, dtype=torch.float64)))
    torch.testing.assert_close(own.linear.bias.grad, p / len(part.columns))


def test_a_node_in_several_branches():
    # "d" and "e" are in the branches of "a" and "b", "f" in that of "a" alone.
    hidden = torch.ones(1, N_IN, dtype=torch.float64)
    heads = {combine: build(DAG, combine=combine) for combine in ("max", "mean")}
    for head in heads.values():
        rng = np.random.default_rng(0)
        by_hand.fill(head, rng)
    found = {combine: head(hidden)[0].exp() for combine, head in heads.items()}
    parts = heads["max"].parts, heads["max"].heads
    for i, node in enumerate(DAG.nodes):
        own = [
            torch.sigmoid(h.linear(hidden))[0, part.columns.tolist().index(i)].item()
            for part, h in zip(*parts, strict=True)
            if i in part.columns.tolist()
        ]
        assert len(own) == (2 if node in ("d", "e") else 1)
        assert found["max"][i].item() == pytest.approx(max(own), rel=1e-10)
        assert found["mean"][i].item() == pytest.approx(np.mean(own), rel=1e-10)
    with pytest.raises(ValueError, match=r"'d', which is in 2 branches.*use 'max' or 'mean'"):
        build(DAG, combine="sum")
    # Its loss counts once for each of them.
    held = [c for output in heads["max"].scores(hidden).trained for c in output.columns.tolist()]
    assert held.count(DAG.nodes.index("d")) == 2


@pytest.mark.parametrize("split_depth", [1, 2])
def test_in_a_tree_all_combinations_are_the_same(split_depth):
    hidden = torch.ones(2, N_IN, dtype=torch.float64)
    results = [
        build(TREE, combine=combine, split_depth=split_depth)(hidden)
        for combine in ("max", "sum", "mean")
    ]
    torch.testing.assert_close(results[0], results[1])
    torch.testing.assert_close(results[0], results[2])


def test_penalties_are_those_of_the_branches():
    rng = np.random.default_rng(0)
    hidden = by_hand.rows(rng, 4, N_IN)
    head = himtl(hmcn)(N_IN, TREE, dtype=torch.float64).eval()
    own = [inner.scores(hidden).penalty for inner in head.heads]
    expected = sum(penalty for penalty in own if penalty is not None)
    torch.testing.assert_close(head.scores(hidden).penalty, expected)
    head.weighting = "label"
    shares = [len(part.columns) / len(TREE) for part in head.parts]
    expected = sum(p * s for p, s in zip(own, shares, strict=True) if p is not None)
    torch.testing.assert_close(head.scores(hidden).penalty, expected)
    masked = himtl(hmcn, method="masking")(N_IN, TREE, dtype=torch.float64)
    with pytest.raises(ValueError, match="penalty of HMCNHead looks at all nodes"):
        masked.scores(hidden)


def test_outputs_of_levels_are_masked_too():
    """With several outputs a head weighs each on its own, and those of no node are left out."""
    rng = np.random.default_rng(0)
    hidden, target = by_hand.rows(rng, 4, N_IN), targets(TREE, rng, 4)
    masked = himtl(hmcn, method="masking")(
        N_IN, TREE, dtype=torch.float64, generator=torch.Generator().manual_seed(0)
    ).eval()
    for inner in masked.heads:
        inner.violation_penalty = 0.0
    total = 0.0
    for part, inner in zip(masked.parts, masked.heads, strict=True):
        for output in inner.scores(hidden).trained:
            every = np.arange(len(TREE)) if output.columns is None else output.columns.numpy()
            inside = np.isin(every, part.columns)
            p = torch.sigmoid(output.logits).detach().numpy()
            y = target[:, every].numpy()
            total += (-np.log(np.where(y, p, 1 - p)))[:, inside].sum(1).mean() / len(every)
    found = NodeLoss(constrained=False)(masked, hidden, target)
    assert found.item() == pytest.approx(total, rel=1e-10)


def test_recursive_regularisation_is_that_of_each_branch():
    rng = np.random.default_rng(0)
    head = by_hand.fill(build(TREE, split_depth=2), rng)
    row = {}
    for part, own in zip(head.parts, head.heads, strict=True):
        for i, weight in zip(part.columns.tolist(), own.linear.weight, strict=True):
            row[TREE.nodes[i]] = weight.detach().numpy()
    # The branches start at the second level: no row is above a1 that is in its branch.
    pairs = [("a1", "a10"), ("a1", "a11")]
    expected = sum(0.5 * np.sum((row[p] - row[c]) ** 2) for p, c in pairs)
    found = sum(
        0.5 * (weight[edges[0]] - weight[edges[1]]).square().sum().item()
        for weight, edges in head.output_rows()
    )
    assert found == pytest.approx(expected, rel=1e-12)


def test_branches_of_branches():
    inner = himtl(hitin, split_depth=2)
    tree = Hierarchy.from_dict({"top": ["a"], "a": ["b", "c"], "b": ["d", "e"], "c": ["f"]})
    head = HiMTLHead(N_IN, tree, heads=[inner]).eval()
    columns = [output.columns.tolist() for output in head.scores(torch.zeros(1, N_IN)).trained]
    names = [[tree.nodes[i] for i in part] for part in columns]
    assert names == [["a"], ["b", "d", "e"], ["c", "f"]]


def test_weights_of_a_square_head_shrink_to_the_sum_of_squares():
    # N² weights become the sum of those of the branches, and with masking n times as many.
    def square(n_in, hierarchy, **options):
        head = LinearNodeHead(n_in, hierarchy, **options)
        head.extra = torch.nn.Parameter(torch.zeros(len(hierarchy), len(hierarchy)))
        return head

    sizes = {"projection": 0, "masking": 0}
    for method in sizes:
        head = build(TREE, [square] * 3, method=method)
        sizes[method] = sum(inner.extra.numel() for inner in head.heads)
    assert sizes == {"projection": 6**2 + 3**2 + 1, "masking": 3 * 10**2}


def test_what_is_refused():
    with pytest.raises(ValueError, match="there are 3 branches, and 2 heads"):
        build(TREE, [LinearNodeHead] * 2)
    with pytest.raises(ValueError, match="from 1 to the 3 levels of the hierarchy, got 4"):
        build(TREE, [], split_depth=4)
    for name, others in (("method", "projection"), ("weighting", "branch"), ("combine", "max")):
        with pytest.raises(ValueError, match=f"{name} must be '{others}'.*got 'x'"):
            build(TREE, **{name: "x"})
