"""HiAGM: against the equations in numpy, and without the faults of the reference code."""

import math

import by_hand
import numpy as np
import pytest
import torch
from node_heads import CHAIN, DAG, FLAT, ONE_NODE, TREE, targets

from hierclf.nn import (
    HiAGMAttentionHead,
    HiAGMPropagationHead,
    LeanAdamW,
    NodeLoss,
    edge_priors,
)
from hierclf.nn.hiagm import check_size

N_IN, D, ROWS = 3, 4, 5
HIERARCHIES = [TREE, DAG, CHAIN, FLAT, ONE_NODE]


def build(kind, hierarchy, **options):
    prior = edge_priors(hierarchy, np.ones(len(hierarchy)))
    options = {"node_dim": D, "dtype": torch.float64, **options}
    return kind(N_IN, hierarchy, prior=prior, **options)


def numbers(module):
    return {name: value.detach().numpy() for name, value in module.named_parameters()}


def through_graph(head, features):
    with torch.no_grad():
        return head.graph(torch.from_numpy(features)).numpy()


@pytest.mark.parametrize("hierarchy", HIERARCHIES)
@pytest.mark.parametrize("graph", ["gcn", "tree_lstm"])
@pytest.mark.parametrize("low_rank", [None, 2])
def test_propagation_by_hand(hierarchy, graph, low_rank):
    rng = np.random.default_rng(0)
    head = build(HiAGMPropagationHead, hierarchy, graph=graph, low_rank=low_rank, n_layers=2)
    head = by_hand.fill(head, rng).eval()
    hidden = by_hand.rows(rng, 6, N_IN)
    own = numbers(head)

    def affine(name, x):
        if low_rank is not None:
            x = x @ own[f"{name}.0.weight"].T + own[f"{name}.0.bias"]
            return x @ own[f"{name}.1.weight"].T + own[f"{name}.1.bias"]
        return x @ own[f"{name}.weight"].T + own[f"{name}.bias"]

    features = affine("reader", hidden.numpy()).reshape(6, len(hierarchy), D)
    expected = affine("output", through_graph(head, features).reshape(6, -1))
    np.testing.assert_allclose(head.logits(hidden).detach().numpy(), expected, rtol=1e-10)
    ((weight, _),) = head.output_rows()
    assert len(weight) == len(hierarchy)


@pytest.mark.parametrize("hierarchy", HIERARCHIES)
@pytest.mark.parametrize("graph", ["gcn", "tree_lstm"])
def test_attention_by_hand(hierarchy, graph):
    rng = np.random.default_rng(0)
    head = build(HiAGMAttentionHead, hierarchy, graph=graph, n_rows=ROWS)
    head = by_hand.fill(head, rng).eval()
    hidden = by_hand.rows(rng, 6, N_IN)
    own, n = numbers(head), len(hierarchy)
    labels = through_graph(head, own["embedding"][None])[0]
    expected = np.empty((6, n))
    for b, x in enumerate(hidden.numpy()):
        rows = (own["reader.weight"] @ x + own["reader.bias"]).reshape(ROWS, D)
        taken = []
        for label in labels:
            fit = np.exp([row @ label for row in rows])
            taken.append(sum(w * row for w, row in zip(fit / fit.sum(), rows, strict=True)))
        expected[b] = own["output.weight"] @ np.concatenate(taken) + own["output.bias"]
    np.testing.assert_allclose(head.logits(hidden).detach().numpy(), expected, rtol=1e-9)


def test_attention_over_one_row_is_refused():
    """In the published configuration the attention is 1, and labels are never trained."""
    with pytest.raises(ValueError, match="n_rows must be at least 2, got 1"):
        build(HiAGMAttentionHead, TREE, n_rows=1)
    head = build(HiAGMAttentionHead, TREE, n_rows=2, dropout=0.0, graph_dropout=0.0)
    head.logits(torch.ones(3, N_IN, dtype=torch.float64)).square().sum().backward()
    assert (head.embedding.grad.abs().sum(1) > 0).all()


@pytest.mark.parametrize("kind", [HiAGMPropagationHead, HiAGMAttentionHead])
def test_logits_are_dropped_on_demand_alone(kind):
    hidden = torch.randn(400, N_IN, dtype=torch.float64)
    assert (build(kind, TREE).logits(hidden) != 0).all()
    faithful = build(kind, TREE, logit_dropout=0.5)
    logits = faithful.logits(hidden)
    assert (logits == 0).double().mean().item() == pytest.approx(0.5, abs=0.04)
    assert (faithful.eval().logits(hidden) != 0).all()


@pytest.mark.parametrize(("logit_dropout", "falls"), [(0.0, True), (0.5, False)])
def test_the_loss_falls_below_half_of_log_2(logit_dropout, falls):
    """What is told of the dropout of logits is so: it keeps the loss above 0.3466."""
    rng = np.random.default_rng(0)
    head = build(
        HiAGMPropagationHead,
        TREE,
        node_dim=8,
        dropout=0.0,
        logit_dropout=logit_dropout,
        generator=torch.Generator().manual_seed(0),
    )
    hidden, target = by_hand.rows(rng, 8, N_IN), targets(TREE, rng, 8)
    optimizer = LeanAdamW(head.parameters(), lr=0.02)
    losses = []
    torch.manual_seed(0)
    for _ in range(300):
        optimizer.zero_grad()
        loss = NodeLoss(constrained=False)(head, hidden, target)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert (np.mean(losses[-100:]) < 0.9 * math.log(2) / 2) == falls


def test_what_starts_from_a_prior_starts_from_that_of_the_edges():
    prior = edge_priors(TREE, [10, 6, 2, 5, 3, 2, 4, 2, 1, 1])
    head = HiAGMPropagationHead(N_IN, TREE, prior=prior, node_dim=D)
    np.testing.assert_allclose(head.graph[0].downward.tolist(), prior, rtol=1e-6)
    head = HiAGMPropagationHead(N_IN, TREE, prior=prior, node_dim=D, graph="tree_lstm")
    np.testing.assert_allclose(head.graph[0].down.weight.tolist(), prior, rtol=1e-6)
    assert prior.tolist() == pytest.approx([5 / 10, 3 / 10, 2 / 10, 4 / 6, 2 / 6, 1 / 2, 1 / 2])


@pytest.mark.parametrize("kind", [HiAGMPropagationHead, HiAGMAttentionHead])
@pytest.mark.parametrize("low_rank", [None, 2])
@pytest.mark.parametrize("graph", ["gcn", "tree_lstm"])
def test_number_of_parameters(kind, low_rank, graph):
    n, d, r = len(TREE), D, low_rank
    edges = n - 3
    options = {"n_rows": ROWS} if kind is HiAGMAttentionHead else {}
    head = build(kind, TREE, low_rank=low_rank, graph=graph, n_layers=2, **options)
    of_layers = 2 * (
        2 * edges + 2 * n * d + 3 * d + 2 * n if graph == "gcn" else 6 * d * d + 4 * d + 2 * edges
    )
    expected = (n * d + 1) * n if r is None else (n * d + 1) * r + (r + 1) * n
    if kind is HiAGMAttentionHead:
        expected += n * d + (N_IN + 1) * ROWS * d
        of_text = None
    else:
        expected += (N_IN + 1) * n * d if r is None else (N_IN + 1) * r + (r + 1) * n * d
        of_text = N_IN
    assert sum(p.numel() for p in head.parameters()) == expected + of_layers
    # The limit is on the maps over all nodes: one weight more is refused, and the message tells.
    own = n * d + (N_IN + 1) * ROWS * d if kind is HiAGMAttentionHead else 0
    check_size(n, d, r, of_text, expected - own)
    with pytest.raises(ValueError, match=f" {expected - own:,} weights"):
        check_size(n, d, r, of_text, expected - own - 1)
    with pytest.raises(ValueError, match=f" {3 * (expected - own):,} weights"):
        check_size(n, d, r, of_text, expected - own, 3)


def test_large_hierarchies_are_refused_with_a_way_out():
    message = (
        r"HiAGM maps 100 features of each of 4,000 nodes to 4,000 scores: its maps have "
        r"1,640,404,000 weights, more than max_parameters=100,000,000\. Use HiTIN, .*"
        r"low_rank=32 \(26,135,264 weights\).*HiMTL with HiAGM for each branch"
    )
    from hierclf.hierarchy import Hierarchy

    large = Hierarchy.flat(range(4000))
    with pytest.raises(ValueError, match=message):
        HiAGMPropagationHead(100, large, prior=[])
    with pytest.raises(ValueError, match="a low_rank below 300;"):
        HiAGMPropagationHead(100, large, prior=[], low_rank=300)
