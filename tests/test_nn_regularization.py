"""Recursive regularisation of softmaxes: against a sum over edges, and closed forms."""

import itertools

import numpy as np
import pytest
import torch
from scipy.optimize import brentq
from torch import nn

from hierclf.hierarchy import Hierarchy
from hierclf.nn import (
    BranchedSoftmax,
    DAGSoftmax,
    FeatureLinear,
    FlatSoftmax,
    HierarchicalSoftmax,
    Linear,
    PathLoss,
    RecursiveRegularization,
)
from tests.by_hand import RAGGED

DAG = Hierarchy(
    [("r", "a"), ("r", "b"), ("a", "c"), ("b", "c"), ("a", "d"), ("c", "e"), ("c", "f"), ("b", "g")]
)


def make(head=HierarchicalSoftmax, hierarchy=RAGGED, linear=Linear, **params):
    generator = torch.Generator().manual_seed(0)
    return head(3, hierarchy, linear=linear, generator=generator, dtype=torch.float64, **params)


def centred_rows(head, hierarchy):
    """Return {edge: its row less the mean of the rows of its siblings}."""
    rows = [row.detach().numpy() for part in head.edge_rows() for row in part]
    by_edge = dict(zip(hierarchy.edges, rows, strict=True))
    means = {
        parent: np.mean([by_edge[parent, child] for child in hierarchy.children(parent)], axis=0)
        for parent, _ in by_edge
    }
    return {edge: row - means[edge[0]] for edge, row in by_edge.items()}


def by_edges(head, hierarchy):
    """Sum over pairs of an edge into a node and one out of it: in a tree, over (p, c)."""
    rows = centred_rows(head, hierarchy)
    return sum(
        0.5 * np.sum((rows[above] - rows[below]) ** 2)
        for above, below in itertools.product(rows, rows)
        if above[1] == below[0]
    )


@pytest.mark.parametrize(
    ("head", "hierarchy", "linear"),
    [
        (HierarchicalSoftmax, RAGGED, Linear),
        (HierarchicalSoftmax, RAGGED, FeatureLinear),
        (DAGSoftmax, RAGGED, Linear),
        (DAGSoftmax, DAG, Linear),
        (DAGSoftmax, DAG, FeatureLinear),
    ],
)
def test_the_penalty_is_the_sum_over_edges_of_centred_rows(head, hierarchy, linear):
    made = make(head, hierarchy, linear)
    loss = RecursiveRegularization(PathLoss(), hierarchy, 0.1)
    assert loss.penalty(made).item() == pytest.approx(by_edges(made, hierarchy), rel=1e-12)


def test_rows_of_different_layers_count_by_the_same_factors():
    # With layers as wide as the hidden state, the rows can be compared, and the sum is defined.
    head = make(BranchedSoftmax, branch_size=3)
    loss = RecursiveRegularization(PathLoss(), RAGGED, 0.1)
    assert loss.penalty(head).item() == pytest.approx(by_edges(head, RAGGED), rel=1e-12)
    narrow = make(BranchedSoftmax, branch_size=2)
    wide = make(BranchedSoftmax, branch_size=3)
    with torch.no_grad():  # a column of zeros more
        wide.linear.weight.copy_(narrow.linear.weight)
        wide.below.weight.copy_(nn.functional.pad(narrow.below.weight, (0, 1)))
    assert loss.penalty(narrow).item() == pytest.approx(by_edges(wide, RAGGED), rel=1e-12)


def test_a_vector_added_to_all_siblings_changes_nothing():
    head = make()
    loss = RecursiveRegularization(PathLoss(), RAGGED, 0.1)
    before = loss.penalty(head).item()
    with torch.no_grad():
        for i, parent in enumerate({parent for parent, _ in RAGGED.edges}):
            rows = torch.tensor(RAGGED.node_indices(RAGGED.children(parent)))
            head.linear.weight[rows] += torch.randn(3, dtype=torch.float64) * (i + 1)
    assert loss.penalty(head).item() == pytest.approx(before, rel=1e-10)
    with torch.no_grad():
        head.linear.bias += torch.randn(len(RAGGED), dtype=torch.float64)
    assert loss.penalty(head).item() == pytest.approx(before, rel=1e-10)


@pytest.mark.parametrize("head", [HierarchicalSoftmax, BranchedSoftmax])
def test_gradients_are_finite_differences(head):
    params = {"branch_size": 2, "activation": "tanh"} if head is BranchedSoftmax else {}
    made = make(head, **params)
    loss = RecursiveRegularization(PathLoss(), RAGGED, 0.3)
    x, target = torch.randn(6, 3, dtype=torch.float64), torch.arange(0, 36, 6)
    loss(made, x, target).backward()
    step = 1e-6
    for p in made.parameters():
        flat, grad = p.data.view(-1), p.grad.view(-1)
        for i in range(0, len(flat), max(len(flat) // 7, 1)):
            values, kept = [], flat[i].item()
            for sign in (1, -1):
                flat[i] = kept + sign * step
                values.append(loss(made, x, target).item())
            flat[i] = kept
            assert grad[i].item() == pytest.approx((values[0] - values[1]) / (2 * step), abs=1e-7)


def test_it_is_added_in_training_alone():
    head, x, target = make(), torch.randn(4, 3, dtype=torch.float64), torch.arange(4)
    loss = RecursiveRegularization(PathLoss(), RAGGED, 0.1)
    plain = PathLoss()(head, x, target).item()
    added = loss(head, x, target).item() - plain
    assert added == pytest.approx(0.1 * by_edges(head, RAGGED), rel=1e-10)
    assert loss.eval()(head, x, target).item() == plain
    weight = torch.rand(4, dtype=torch.float64)
    assert loss(head, x, target, weight) == PathLoss()(head, x, target, weight)


def test_a_softmax_without_data_goes_to_the_mean_of_its_rows():
    # Each row of {b1, b2} has one edge, so that a step shrinks what is centred by 1 - lr * strength
    # and leaves the mean where it was: (1 - 0.5 * 0.2)^n after n steps, 0 at the end.
    tree = Hierarchy.from_dict({"a": ["a1", "a2"], "b": ["b1", "b2"]})
    head = make(hierarchy=tree)
    loss = RecursiveRegularization(PathLoss(), tree, 0.2)
    rows = torch.tensor(tree.node_indices(["b1", "b2"]))
    start = head.linear.weight[rows].detach().clone()
    optimizer = torch.optim.SGD(head.parameters(), lr=0.5)
    x, target = (
        torch.randn(6, 3, dtype=torch.float64),
        torch.tensor(tree.node_indices(["a1", "a2"] * 3)),
    )
    mean = start.mean(0)
    for n in range(1, 400):
        optimizer.zero_grad()
        loss(head, x, target).backward()
        optimizer.step()
        if n in (1, 10, 399):
            wanted = mean + (1 - 0.5 * 0.2) ** n * (start - mean)
            torch.testing.assert_close(head.linear.weight[rows].detach(), wanted)


def test_the_minimum_with_data_is_that_of_a_ridge():
    # Two leaves below "a", one constant feature, 3 samples against 1. Rows are +-u, both have one
    # edge, so that the penalty is u^2: minimise -(3/4) log s(2u) - (1/4) log s(-2u) + strength u^2.
    tree, strength = Hierarchy.from_dict({"a": ["a1", "a2"], "z": []}), 0.05
    u = brentq(lambda u: -1.5 + 2 / (1 + np.exp(-2 * u)) + 2 * strength * u, -5, 5)
    head = HierarchicalSoftmax(1, tree, dtype=torch.float64)
    with torch.no_grad():
        head.linear.bias.zero_()
        head.linear.weight.copy_(
            torch.tensor([[7.0], [9.0], [3 + u], [3 - u]], dtype=torch.float64)
        )
    loss = RecursiveRegularization(PathLoss(), tree, strength)
    target = torch.tensor(tree.node_indices(["a1", "a1", "a1", "a2"]))
    loss(head, torch.ones(4, 1, dtype=torch.float64), target).backward()
    assert head.linear.weight.grad[2:].abs().max() < 1e-9
    assert head.linear.bias.grad[2:].abs().min() > 1e-3  # which has no penalty


def test_a_flat_softmax_has_no_rows_for_it():
    loss = RecursiveRegularization(PathLoss(), RAGGED, 0.1)
    with pytest.raises(ValueError, match="FlatSoftmax has none"):
        loss.penalty(make(FlatSoftmax))
