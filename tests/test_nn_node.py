"""Heads, constraint and loss for several labels per sample: against loops over the definitions."""

import math
import pickle

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from strategies import dags, trees

from hierclf import Hierarchy
from hierclf.nn import (
    CSRRows,
    FeatureLinear,
    Head,
    HierarchyNetwork,
    Linear,
    LinearNodeHead,
    MaxConstraint,
    NodeHead,
    NodeLoss,
    NodeScores,
    OutputRows,
    TrainedOutput,
)

TREE = Hierarchy.from_dict({"animal": ["cat", "dog"], "plant": ["oak"], "stone": []})


@st.composite
def cases(draw, n_rows=4):
    """Draw a hierarchy, logits without ties, and labels closed under ancestors, some rows none."""
    h = draw(trees() | dags())
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    n = len(h)
    z = rng.permutation(n_rows * n).reshape(n_rows, n) / n - 1.5
    chosen = [list(rng.choice(h.nodes, size=rng.integers(0, 4))) for _ in range(n_rows - 1)]
    y = h.to_indicator([*chosen, []])
    return h, torch.from_numpy(z), torch.from_numpy(y)


def at_or_below(h):
    """Return the positions of each node and its descendants."""
    return [h.node_indices([node, *h.descendants(node)]).tolist() for node in h.nodes]


def largest(values):
    """Return the largest of some scalars, with a gradient to it alone."""
    return values[max(range(len(values)), key=lambda i: values[i].item())]


# -- the constraint


@given(cases())
def test_the_constraint_is_the_maximum_over_descendants(case):
    h, z, y = case
    below = at_or_below(h)
    constraint = MaxConstraint(h)
    for dtype in (torch.float32, torch.float64):
        values = z.to(dtype)
        expected = [[max(row[i] for i in nodes) for nodes in below] for row in values.tolist()]
        assert constraint(values).tolist() == expected
        for labels in (y, y.bool(), y.to(dtype)):
            found = constraint(values, labels)
            assert found.dtype is dtype
            assert found.tolist() == [
                [max(row[i] for i in nodes if on[i] == on[nodes[0]]) for nodes in below]
                for row, on in zip(values.tolist(), y.tolist(), strict=True)
            ]


@given(cases())
def test_the_gradient_goes_to_the_maximum_alone(case):
    h, z, y = case
    factor = torch.arange(1.0, z.numel() + 1, dtype=z.dtype).view_as(z)
    z.requires_grad_()
    (MaxConstraint(h)(z, y) * factor).sum().backward()
    expected = torch.zeros_like(z)
    for row, on in enumerate(y.tolist()):
        for node, nodes in enumerate(at_or_below(h)):
            best = max((i for i in nodes if on[i] == on[node]), key=z[row].tolist().__getitem__)
            expected[row, best] += factor[row, node]
    assert z.grad.tolist() == expected.tolist()


def test_wide_and_deep_levels_share_the_work_of_small_ones():
    """Inner nodes with very different numbers of children, so that a level has several tables."""
    edges = [("root", f"p{i}") for i in range(60)]
    edges += [(f"p{i}", f"c{i}.{j}") for i in range(60) for j in range(i + 1)]
    edges += [(f"p{i}", f"c{i + 1}.0") for i in range(59)]
    h = Hierarchy.from_edges(edges)
    constraint = MaxConstraint(h)
    assert len(constraint.shapes) > 3
    assert sum(rows for rows, _ in constraint.shapes) == 60
    z = torch.randn(3, len(h), generator=torch.Generator().manual_seed(0))
    expected = [[max(row[i] for i in nodes) for nodes in at_or_below(h)] for row in z.tolist()]
    assert constraint(z).tolist() == expected


def test_of_one_level_nothing_changes():
    h = Hierarchy.flat(["a", "b", "c"])
    z = torch.tensor([[1.0, 3.0, 2.0]])
    assert MaxConstraint(h)(z).tolist() == z.tolist()
    assert MaxConstraint(h)(z, torch.tensor([[1, 0, 1]])).tolist() == z.tolist()


def test_among_equals_the_gradient_is_that_of_one():
    z = torch.zeros(1, len(TREE), requires_grad=True)
    MaxConstraint(TREE)(z).sum().backward()
    assert z.grad.sum().item() == len(TREE)
    assert z.grad[0, TREE.node_indices(["stone"])].item() == 1


# -- the heads


@given(dags(), st.booleans())
def test_probabilities_of_a_head(h, coherent):
    head = LinearNodeHead(
        3, h, coherent=coherent, generator=torch.Generator().manual_seed(0), dtype=torch.float64
    )
    x = torch.randn(5, 3, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    p = 1 / (1 + np.exp(-(x @ head.linear.weight.t() + head.linear.bias).detach().numpy()))
    if coherent:
        p = np.stack([p[:, nodes].max(axis=1) for nodes in at_or_below(h)], axis=1)
    np.testing.assert_allclose(head(x).exp().detach(), p, rtol=1e-13)


def test_a_head_reads_sparse_rows():
    dense = torch.tensor([[0.0, 2.0, 0.0], [1.0, 0.0, 3.0], [0.0, 0.0, 0.0]])
    rows = CSRRows(torch.tensor([1, 0, 2]), torch.tensor([0, 1, 3, 3]), torch.tensor([2.0, 1, 3]))
    head = LinearNodeHead(
        3, TREE, linear=FeatureLinear, generator=torch.Generator().manual_seed(0), coherent=True
    )
    torch.testing.assert_close(head(rows), head(dense))


def test_the_network_takes_a_head_of_either_kind():
    network = HierarchyNetwork(3, TREE, head=LinearNodeHead, hidden_layer_sizes=(4,), seed=1)
    assert isinstance(network.head, Head)
    assert not network.head.one_label
    x = torch.randn(2, 3)
    assert network(x).tolist() == network.head(network.hidden(x)).tolist()
    assert pickle.loads(pickle.dumps(network))(x).tolist() == network(x).tolist()
    assert not any("constraint" in name for name in network.state_dict())


# -- the loss


class Given(NodeHead):
    """A head whose scores are known."""

    def __init__(self, hierarchy, scores=None, rows=()):
        super().__init__(hierarchy)
        self.given, self.rows = scores, rows

    def scores(self, hidden):
        given = self.given
        if given is None:
            given = NodeScores(hidden, (TrainedOutput(hidden, constraint=self.constraint),))
        return given

    def output_rows(self):
        return self.rows


def loop_loss(h, z, y, constrained):
    """Return the loss of each sample by the equation of C-HMCNN(h), or binary cross-entropy."""
    rows = []
    for p, on in zip(z.sigmoid(), y.tolist(), strict=True):
        terms = []
        for node, nodes in enumerate(at_or_below(h)):
            nodes = nodes if constrained else [node]
            if on[node]:
                terms.append(-largest([p[i] for i in nodes if on[i]]).log())
            else:
                terms.append(-(1 - largest([p[i] for i in nodes])).log())
        rows.append(sum(terms) / len(terms))
    return torch.stack(rows)


@given(cases(), st.booleans(), st.booleans())
def test_loss_and_gradient_are_those_of_the_loop(case, constrained, weighted):
    h, z, y = case
    weight = torch.tensor([1.0, 0.5, 2.0, 0.25], dtype=torch.float64) if weighted else None
    loop = z.clone().requires_grad_()
    expected = loop_loss(h, loop, y, constrained)
    expected = (expected if weight is None else expected * weight).mean()
    expected.backward()
    loss = NodeLoss(constrained=constrained)
    for dtype, rtol in ((torch.float64, 1e-12), (torch.float32, 1e-5)):
        scores = z.detach().to(dtype, copy=True).requires_grad_()
        found = loss(Given(h), scores, y, None if weight is None else weight.to(dtype))
        found.backward()
        assert found.dtype is dtype
        assert found.item() == pytest.approx(expected.item(), rel=rtol)
        torch.testing.assert_close(scores.grad, loop.grad.to(dtype), rtol=rtol, atol=rtol / 100)


def test_large_logits_have_a_finite_loss_and_gradient():
    z = torch.tensor([[300.0, -300, 400, -400, 200, 0]], requires_grad=True)
    y = torch.from_numpy(TREE.to_indicator([["dog"]]))
    order = TREE.node_indices(["animal", "plant", "stone", "cat", "dog", "oak"])
    by_name = z[:, np.argsort(order)]
    # The animal may borrow from the dog (-400 < 300: its own), not from the cat.
    loss = NodeLoss(constrained=True)(Given(TREE), by_name, y)
    loss.backward()
    values = {"animal": 300.0, "plant": 0.0, "stone": 400.0, "cat": -400.0, "dog": 200.0, "oak": 0}
    on = {"animal", "dog"}
    terms = [np.logaddexp(0, -v if name in on else v) for name, v in values.items()]
    assert loss.item() == pytest.approx(np.mean(terms), rel=1e-6)
    assert z.grad.isfinite().all()


def test_outputs_are_added_up_each_with_its_nodes_and_weights():
    z = torch.tensor([[0.5, -1.0, 2.0, 0.1, 0.2, 0.3], [1.0, 0, -1, 2, 3, -3]])
    y = torch.from_numpy(TREE.to_indicator([["cat"], ["oak", "stone"]]))
    branch = TREE.node_indices(["animal", "cat", "dog"])
    local = torch.tensor([[0.0, 1.0, -2.0], [1.0, 1.5, 0.5]])
    weight = torch.tensor([1.0, 2.0, 0.5])
    penalty = torch.tensor([0.25, 0.75])
    sub = MaxConstraint(Hierarchy.from_dict({"animal": ["cat", "dog"]}, root="above"))
    outputs = (
        TrainedOutput(z),
        TrainedOutput(local, torch.from_numpy(branch), weight, sub),
    )
    head = Given(TREE, NodeScores(z, outputs, penalty))

    def nll(value, on):
        return math.log1p(math.exp(-value if on else value))

    # Row 0 has the cat and the animal, which may borrow from it; row 1 has none of the branch.
    branch_loss = [
        1 * nll(1.0, True) + 2 * nll(1.0, True) + 0.5 * nll(-2.0, False),
        1 * nll(1.5, False) + 2 * nll(1.5, False) + 0.5 * nll(0.5, False),
    ]
    whole = [
        sum(nll(v, on) for v, on in zip(row, labels, strict=True)) / 6
        for row, labels in zip(z.tolist(), y.tolist(), strict=True)
    ]
    rows = [a + b + c for a, b, c in zip(whole, branch_loss, penalty.tolist(), strict=True)]
    loss = NodeLoss(constrained=True)
    assert loss(head, z, y).item() == pytest.approx(sum(rows) / 2, rel=1e-6)
    weights = torch.tensor([3.0, 0.5])
    expected = (3 * rows[0] + 0.5 * rows[1]) / 2
    assert loss(head, z, y, weights).item() == pytest.approx(expected, rel=1e-6)


# -- recursive regularisation


def test_recursive_regularisation_by_hand():
    h = Hierarchy.from_dict({"a": ["b", "c"], "d": []})
    rows = {"a": [1.0, 2.0], "b": [0.0, 2.0], "c": [3.0, 5.0], "d": [100.0, 100.0]}
    weight = torch.tensor([rows[node] for node in h.nodes])
    head = Given(h, rows=(OutputRows(weight, Given(h).edges),))
    z, y = torch.zeros(1, 4), torch.zeros(1, 4)
    found = NodeLoss(constrained=False, recursive_regularization=0.1)(head, z, y)
    # |a - b|^2 = 1, |a - c|^2 = 4 + 9; the root has no row.
    assert found.item() == pytest.approx(math.log(2) + 0.1 * (1 + 13) / 2, rel=1e-6)


@given(dags())
def test_an_inner_node_without_data_is_the_mean_of_its_neighbours(h):
    """Gopal and Yang: w = (sum of parents + sum of children) / their number, where no data is."""
    rng = np.random.default_rng(0)
    weight = torch.tensor(rng.normal(size=(len(h), 3)), requires_grad=True)
    neighbours = {node: list(h.children(node)) for node in h.nodes}
    for node in h.nodes:
        neighbours[node] += [above for above in h.parents(node) if above != h.root]
    inner = next((node for node in h.nodes if h.children(node) and len(neighbours[node]) > 1), None)
    if inner is None:
        return
    near = h.node_indices(neighbours[inner])
    with torch.no_grad():
        weight[h.node_indices([inner])[0]] = weight[near].mean(dim=0)
    head = Given(h, rows=(OutputRows(weight, Given(h).edges),))
    z, y = torch.zeros(1, len(h), dtype=torch.float64), torch.zeros(1, len(h))
    NodeLoss(constrained=False, recursive_regularization=1.0)(head, z, y).backward()
    at_inner = weight.grad[h.node_indices([inner])[0]]
    np.testing.assert_allclose(at_inner, 0, atol=1e-13)


def test_recursive_regularisation_of_the_layer_that_reads_the_features():
    """It holds its weights the other way round, and is penalised the same."""
    y = torch.from_numpy(TREE.to_indicator([["cat"], []]))
    x = torch.randn(2, 3, generator=torch.Generator().manual_seed(1))
    heads = [LinearNodeHead(3, TREE, linear=linear) for linear in (FeatureLinear, Linear)]
    heads[1].linear.weight.data = heads[0].linear.weight.detach().t().clone()
    heads[1].linear.bias.data = heads[0].linear.bias.detach().clone()
    loss = NodeLoss(constrained=True, recursive_regularization=0.5)
    found = [loss(head, x, y) for head in heads]
    assert found[0].item() == pytest.approx(found[1].item(), rel=1e-6)
    for value in found:
        value.backward()
    by_feature, by_node = (head.linear.weight.grad for head in heads)
    torch.testing.assert_close(by_feature.t(), by_node)


def test_a_head_without_rows_cannot_be_penalised():
    z, y = torch.zeros(1, len(TREE)), torch.zeros(1, len(TREE))
    loss = NodeLoss(constrained=False, recursive_regularization=0.1)
    with pytest.raises(ValueError, match=r"^recursive_regularization draws .* Given has no rows"):
        loss(Given(TREE), z, y)
