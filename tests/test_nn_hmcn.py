"""HMCN: against the equations in numpy, and its loss against one written out by hand."""

import math

import by_hand
import numpy as np
import pytest
import torch
from node_heads import CHAIN, DAG, FLAT, ONE_NODE, TREE, targets

from hierclf.nn import HMCNHead, NodeLoss

N_IN, H = 3, 4
HIERARCHIES = [TREE, DAG, CHAIN, FLAT, ONE_NODE]


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def build(hierarchy, rng, **options):
    options = {"hidden_size": H, "batch_norm": False, "dtype": torch.float64, **options}
    return by_hand.fill(HMCNHead(N_IN, hierarchy, **options), rng, 0.4).eval()


def outputs_by_hand(head, hierarchy, x):
    """Return the probabilities P_L and P_G of the nodes for one sample, by names of weights."""
    own = {name: value.detach().numpy() for name, value in head.named_parameters()}

    def affine(name, values):
        return own[f"{name}.weight"] @ values + own[f"{name}.bias"]

    levels = [
        [node for node in hierarchy.nodes if depth_of(hierarchy, node) == k]
        for k in range(1, hierarchy.depth + 1)
    ]
    local, a = {}, np.zeros(H)
    cell = np.zeros(H)
    for k, level in enumerate(levels):
        if head.recurrent:
            gates = affine("cell", np.concatenate([a, x]))
            i, f, o = (sigmoid(gates[j * H : (j + 1) * H]) for j in range(3))
            cell = f * cell + i * np.tanh(gates[3 * H :])
            a = o * np.tanh(cell)
            read = a
        else:
            a = np.maximum(affine(f"layers.{k}.0", np.concatenate([a, x]) if k else x), 0)
            read = np.maximum(affine(f"transitions.{k}.0", a), 0)
        local |= dict(zip(level, sigmoid(affine(f"local.{k}", read)), strict=True))
    overall = affine("overall", np.concatenate([a, x]) if head.recurrent else a)
    return local, dict(zip(hierarchy.nodes, sigmoid(overall), strict=True))


def depth_of(hierarchy, node):
    """The longest way from the root."""
    return 1 + max(
        (depth_of(hierarchy, p) for p in hierarchy.parents(node) if p != hierarchy.root), default=0
    )


@pytest.mark.parametrize("hierarchy", HIERARCHIES)
@pytest.mark.parametrize("recurrent", [False, True])
@pytest.mark.parametrize("beta", [0.0, 0.3, 1.0])
def test_probabilities_and_loss_by_hand(hierarchy, recurrent, beta):
    rng = np.random.default_rng(0)
    penalty = 0.7
    head = build(hierarchy, rng, recurrent=recurrent, beta=beta, violation_penalty=penalty)
    hidden, target = by_hand.rows(rng, 5, N_IN), targets(hierarchy, rng, 5)
    losses, found = [], head(hidden).exp().detach().numpy()

    def cross_entropy(p, label):
        return -math.log(p if label else 1 - p)

    for b, x in enumerate(hidden.numpy()):
        local, overall = outputs_by_hand(head, hierarchy, x)
        final = {n: beta * local[n] + (1 - beta) * overall[n] for n in hierarchy.nodes}
        np.testing.assert_allclose(found[b], list(final.values()), rtol=1e-10)
        label = dict(zip(hierarchy.nodes, target[b].tolist(), strict=True))
        loss = np.mean([cross_entropy(overall[n], label[n]) for n in hierarchy.nodes])
        for k in range(1, hierarchy.depth + 1):
            level = [n for n in hierarchy.nodes if depth_of(hierarchy, n) == k]
            loss += np.mean([cross_entropy(local[n], label[n]) for n in level])
        loss += penalty * sum(
            max(0.0, final[c] - final[p]) ** 2 for p, c in hierarchy.edges if p != hierarchy.root
        )
        losses.append(loss)
    value = NodeLoss(constrained=False)(head, hidden, target)
    assert value.item() == pytest.approx(np.mean(losses), rel=1e-10)
    weight = torch.tensor([0.5, 2.0, 1.0, 0.0, 1.5], dtype=torch.float64)
    value = NodeLoss(constrained=False)(head, hidden, target, weight)
    assert value.item() == pytest.approx(np.mean(weight.numpy() * losses), rel=1e-10)


def test_without_a_penalty_there_is_none():
    head = build(TREE, np.random.default_rng(0), violation_penalty=0.0)
    assert head.scores(torch.zeros(1, N_IN, dtype=torch.float64)).penalty is None


@pytest.mark.parametrize("recurrent", [False, True])
@pytest.mark.parametrize("batch_norm", [False, True])
def test_number_of_parameters(recurrent, batch_norm):
    n, k = len(TREE), TREE.depth
    head = HMCNHead(N_IN, TREE, hidden_size=H, recurrent=recurrent, batch_norm=batch_norm)
    if recurrent:
        expected = 4 * (H + N_IN + 1) * H + n * (H + 1) + n * (H + N_IN + 1)
    else:
        expected = (N_IN + 1) * H + (k - 1) * (H + N_IN + 1) * H + k * (H + 1) * H + 2 * n * (H + 1)
    layers = k if recurrent else 2 * k
    expected += 2 * H * layers * batch_norm
    assert sum(p.numel() for p in head.parameters()) == expected


@pytest.mark.parametrize("recurrent", [False, True])
def test_sure_outputs_stay_finite(recurrent):
    head = build(TREE, np.random.default_rng(0), recurrent=recurrent).float()
    with torch.no_grad():
        for name, parameter in head.named_parameters():
            if "local" in name or "overall" in name:
                parameter.mul_(1e4)
    hidden = torch.randn(4, N_IN, generator=torch.Generator().manual_seed(0))
    scores = head.scores(hidden)
    assert scores.logits.abs().max() > 100  # a probability would be rounded to 0 or 1
    scores.logits.sum().backward()
    assert torch.isfinite(scores.logits).all()
    assert all(torch.isfinite(p.grad).all() for p in head.parameters() if p.grad is not None)


def test_hidden_layers_are_normalised_and_then_dropped():
    head = HMCNHead(N_IN, TREE, hidden_size=200, dropout=0.6)
    units = head.layers[0](torch.randn(64, N_IN))
    dropped = (units == 0).float().mean().item()
    assert dropped == pytest.approx(0.6, abs=0.03)
    units = head.layers[0][2][0](torch.randn(64, 200))
    torch.testing.assert_close(units.mean(0), torch.zeros(200), atol=1e-5, rtol=0)
    torch.testing.assert_close(units.var(0, unbiased=False), torch.ones(200), atol=1e-3, rtol=0)


def test_recursive_regularisation_is_of_the_output_over_all_nodes():
    head = build(TREE, np.random.default_rng(0))
    ((weight, edges),) = head.output_rows()
    assert weight is head.overall.weight
    names = [(TREE.nodes[p], TREE.nodes[c]) for p, c in edges.t().tolist()]
    assert names == [(p, c) for p, c in TREE.edges if p != "top"]


def test_sparse_rows_are_refused():
    from hierclf.nn import CSRRows

    rows = CSRRows(torch.zeros(0), torch.zeros(2), torch.zeros(0))
    with pytest.raises(TypeError, match="HMCNHead reads dense hidden states"):
        HMCNHead(N_IN, TREE).scores(rows)
