"""HiTIN: against dense matrices over the coding tree."""

import by_hand
import numpy as np
import pytest
import torch
from node_heads import CHAIN, DAG, FLAT, ONE_NODE, TREE

from hierclf.hierarchy import Hierarchy
from hierclf.nn import BatchNorm, HiTINHead
from hierclf.nn.coding_tree import coding_tree

N_IN, D = 3, 4
HIERARCHIES = [TREE, DAG, CHAIN, FLAT, ONE_NODE]


def build(hierarchy, **options):
    options = {"node_dim": D, "dtype": torch.float64, **options}
    return HiTINHead(N_IN, hierarchy, **options)


def logits_by_hand(head, hierarchy, hidden, *, height, pooling, node_map, norm):
    """Compute all of it for each sample with 0/1 matrices from level to level."""
    own = {name: value.detach().numpy() for name, value in head.named_parameters()}
    buffers = {name: value.numpy() for name, value in head.named_buffers()}
    position = {node: i for i, node in enumerate(hierarchy.nodes)}
    edges = [(position[p], position[c]) for p, c in hierarchy.edges if p in position]
    tree = coding_tree(len(hierarchy), np.array(edges).reshape(-1, 2).T, height)
    pool = {"sum": np.sum, "mean": np.mean, "max": np.max, "root": np.sum}[pooling]

    def normalised(name, x):
        if norm == "batch":
            mean, variance = buffers[f"{name}.running_mean"], buffers[f"{name}.running_var"]
        else:
            mean, variance = x.mean(1, keepdims=True), x.var(1, keepdims=True)
        return (x - mean) / np.sqrt(variance + 1e-5) * own[f"{name}.weight"] + own[f"{name}.bias"]

    rows = []
    for x in hidden.numpy():
        mapped = own["linear.weight"] @ x + own["linear.bias"]
        if node_map == "matrix":
            copies = np.tile(mapped, (len(hierarchy), 1))
            features = own["node_map.linear.weight"] @ copies
            features += own["node_map.linear.bias"][:, None]
        else:
            features = np.outer(own["node_map.scale"], mapped) + own["node_map.shift"][:, None]
        read = [pool(features, axis=0)]
        for i, parents in enumerate(tree):
            s = np.zeros((parents.max() + 1, len(parents)))
            s[parents, np.arange(len(parents))] = 1
            features = s @ features
            for j in (0, 3):
                features = features @ own[f"mlps.{i}.{j}.weight"].T + own[f"mlps.{i}.{j}.bias"]
                features = np.maximum(normalised(f"mlps.{i}.{j + 1}", features), 0)
            read.append(pool(features, axis=0))
        read = read[-1] if pooling == "root" else np.concatenate(read)
        rows.append(own["output.weight"] @ read + own["output.bias"])
    return np.array(rows)


@pytest.mark.parametrize("hierarchy", HIERARCHIES)
@pytest.mark.parametrize("height", [1, 2, 3])
@pytest.mark.parametrize("pooling", ["sum", "mean", "max", "root"])
@pytest.mark.parametrize("node_map", ["scale", "matrix"])
@pytest.mark.parametrize("norm", ["batch", "layer"])
def test_logits_by_hand(hierarchy, height, pooling, node_map, norm):
    options = {"height": height, "pooling": pooling, "node_map": node_map, "norm": norm}
    rng = np.random.default_rng(0)
    head = by_hand.fill(build(hierarchy, **options), rng)
    head.logits(by_hand.rows(rng, 8, N_IN))  # statistics of normalisation
    head.eval()
    hidden = by_hand.rows(rng, 5, N_IN)
    expected = logits_by_hand(head, hierarchy, hidden, **options)
    np.testing.assert_allclose(head.logits(hidden).detach().numpy(), expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("pooling", ["sum", "max"])
def test_two_numbers_for_each_node_do_what_the_matrix_does(pooling):
    rng = np.random.default_rng(0)
    faithful = by_hand.fill(build(TREE, node_map="matrix", pooling=pooling), rng)
    cheap = build(TREE, pooling=pooling)
    weights = faithful.state_dict()
    matrix = weights.pop("node_map.linear.weight")
    weights["node_map.scale"] = matrix.sum(1)
    weights["node_map.shift"] = weights.pop("node_map.linear.bias")
    cheap.load_state_dict(weights)
    hidden = by_hand.rows(rng, 5, N_IN)
    torch.testing.assert_close(cheap.eval().logits(hidden), faithful.eval().logits(hidden))


def test_both_start_with_features_of_the_same_spread():
    large = Hierarchy.flat(range(300))
    generator = torch.Generator().manual_seed(0)
    cheap = build(large, generator=generator).node_map
    faithful = build(large, node_map="matrix", generator=generator).node_map
    assert cheap.scale.std().item() == pytest.approx(
        faithful.linear.weight.sum(1).std().item(), rel=0.15
    )
    assert cheap.shift.std().item() == pytest.approx(faithful.linear.bias.std().item(), rel=0.15)


@pytest.mark.parametrize("node_map", ["scale", "matrix"])
def test_batches_of_any_size_follow_each_other(node_map):
    """The reference code keeps the tree for the size of the first batch."""
    head = build(TREE, node_map=node_map, dropout=0.0, feature_dropout=0.0)
    for n in (8, 3, 1, 8):
        assert head.scores(torch.ones(n, N_IN, dtype=torch.float64)).logits.shape == (n, len(TREE))


def test_normalisation_of_one_row_is_by_what_was_seen_before():
    """torch refuses it, since a row by itself has no spread."""
    rng = np.random.default_rng(0)
    norm, rows = BatchNorm(3, dtype=torch.float64), by_hand.rows(rng, 20, 3)
    torch_norm = torch.nn.BatchNorm1d(3, dtype=torch.float64)
    torch.testing.assert_close(norm(rows), torch_norm(rows))
    row = by_hand.rows(rng, 1, 3)
    before = norm.running_mean.clone()
    in_training = norm(row)
    assert torch.equal(norm.running_mean, before)
    torch.testing.assert_close(in_training, norm.eval()(row))
    torch.testing.assert_close(in_training, torch_norm.eval()(row))


def test_features_are_dropped_for_each_node_or_for_all_at_once():
    hidden = torch.ones(1, N_IN, dtype=torch.float64)
    kept = {}
    for node_map in ("scale", "matrix"):
        head = build(TREE, node_map=node_map, feature_dropout=0.5, node_dim=100)
        head.node_map.get_parameter("shift" if node_map == "scale" else "linear.bias").data.zero_()
        kept[node_map] = head.node_map(head.linear(hidden))[0] != 0
    assert (kept["scale"] == kept["scale"][0]).all()
    assert not (kept["matrix"] == kept["matrix"][0]).all()
    for mask in kept.values():
        assert mask.double().mean().item() == pytest.approx(0.5, abs=0.2)


@pytest.mark.parametrize("node_map", ["scale", "matrix"])
@pytest.mark.parametrize("pooling", ["sum", "root"])
def test_number_of_parameters(node_map, pooling):
    n, k, m = len(TREE), 3, 2
    head = build(TREE, node_map=node_map, pooling=pooling, height=k, n_layers=m)
    expected = (N_IN + 1) * D + (2 * n if node_map == "scale" else (n + 1) * n)
    expected += k * m * (D + 1) * D + 2 * k * m * D
    expected += (D + 1) * n if pooling == "root" else ((k + 1) * D + 1) * n
    assert sum(p.numel() for p in head.parameters()) == expected


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"criterion": "x"}, "criterion must be 'combine' or 'merge', got 'x'"),
        ({"node_map": "x"}, "node_map must be 'scale' or 'matrix', got 'x'"),
        ({"pooling": "x"}, "pooling must be 'sum', 'mean', 'max' or 'root', got 'x'"),
        ({"norm": "x"}, "norm must be 'batch' or 'layer', got 'x'"),
    ],
)
def test_unknown_words_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        build(TREE, **options)
