"""What must hold for every head for several labels, whatever it computes."""

import pickle
from copy import deepcopy

import numpy as np
import pytest
import torch
from node_heads import DAG, HEADS, HIERARCHIES, TREE, targets

from hierclf.nn import LazyRowwiseAdagrad, LeanAdamW, NodeLoss
from hierclf.nn.dropout import drawing_from

N_IN = 7

every_head = pytest.mark.parametrize("make", HEADS.values(), ids=HEADS)
every_hierarchy = pytest.mark.parametrize("hierarchy", HIERARCHIES.values(), ids=HIERARCHIES)


def build(make, hierarchy, seed=0, **options):
    return make(N_IN, hierarchy, generator=torch.Generator().manual_seed(seed), **options)


def hidden_of(n, dtype=torch.float32, seed=0):
    return torch.randn(n, N_IN, generator=torch.Generator().manual_seed(seed), dtype=dtype)


@every_head
@every_hierarchy
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_prediction_depends_on_the_row_alone(make, hierarchy, dtype):
    head = build(make, hierarchy, dtype=dtype)
    hidden = hidden_of(6, dtype)
    for start in (0, 2):  # statistics of normalisation that are not those at the start
        head.train()
        head.scores(hidden[start : start + 4])
    head.eval()
    with torch.no_grad():
        together = head(hidden)
        alone = torch.cat([head(row) for row in hidden.split(1)])
        assert together.dtype == dtype
        torch.testing.assert_close(alone, together)
        logits = head.logits(hidden)
        torch.testing.assert_close(head.scores(hidden).logits, logits)
        torch.testing.assert_close(together, torch.nn.functional.logsigmoid(logits))
        head.coherent = True
        coherent = head(hidden)
        for i, node in enumerate(hierarchy.nodes):
            below = [hierarchy.nodes.index(n) for n in (node, *hierarchy.descendants(node))]
            torch.testing.assert_close(coherent[:, i], together[:, below].amax(1))


@every_head
@every_hierarchy
def test_it_is_made_and_trained_without_the_global_generator(make, hierarchy):
    state = torch.get_rng_state()
    one, same, other = (build(make, hierarchy, seed) for seed in (1, 1, 2))
    outputs = []
    for head in (one, same):
        with drawing_from(torch.Generator().manual_seed(3), head):
            outputs.append(head.scores(hidden_of(5)).logits)
    assert torch.equal(*outputs)
    assert torch.equal(torch.get_rng_state(), state)
    weights, same_weights, other_weights = (dict(h.named_parameters()) for h in (one, same, other))
    assert all(torch.equal(weights[name], same_weights[name]) for name in weights)
    drawn = {name for name in weights if not torch.equal(weights[name], other_weights[name])}
    # What is not drawn starts from 0, from 1, or from a prior.
    for name in weights.keys() - drawn:
        assert torch.isin(weights[name], torch.tensor([0.0, 1.0])).all() or "down" in name, name


@every_head
@every_hierarchy
def test_a_batch_of_one_row_can_be_trained_on(make, hierarchy):
    head = build(make, hierarchy)
    scores = head.scores(hidden_of(1))
    assert scores.logits.shape == (1, len(hierarchy))
    target = targets(hierarchy, np.random.default_rng(0), 1)
    loss = NodeLoss(constrained=True)(head, hidden_of(1), target)
    loss.backward()
    assert torch.isfinite(loss)
    assert all(torch.isfinite(p.grad).all() for p in head.parameters() if p.grad is not None)


@every_head
@pytest.mark.parametrize("hierarchy", [TREE, DAG], ids=["tree", "dag"])
def test_every_node_is_trained_by_every_weight_that_can(make, hierarchy):
    head = build(make, hierarchy, dtype=torch.float64)
    n = len(hierarchy)
    hidden = hidden_of(9, torch.float64)
    target = targets(hierarchy, np.random.default_rng(0), 9)
    trained = set()
    for output in head.scores(hidden).trained:
        columns = torch.arange(n) if output.columns is None else output.columns
        assert output.logits.shape == (9, len(columns))
        assert output.weight is None or output.weight.shape == (len(columns),)
        trained |= set(columns.tolist())
    assert trained == set(range(n))
    NodeLoss(constrained=False)(head, hidden, target).backward()
    masked = isinstance(getattr(head, "heads", None), torch.nn.ModuleList) and any(
        part.masked for part in head.parts
    )
    for name, parameter in head.named_parameters():
        assert parameter.grad is not None, name
        if not masked:  # there the rows of other branches are never trained
            moved = parameter.grad.abs().amax() if parameter.numel() else 1
            assert moved > 0, name


@every_head
@pytest.mark.parametrize(
    ("hierarchy", "optimizer"), [(TREE, LeanAdamW), (DAG, LeanAdamW), (TREE, LazyRowwiseAdagrad)]
)
def test_it_learns_and_is_copied(make, hierarchy, optimizer):
    rng = np.random.default_rng(0)
    head, hidden = build(make, hierarchy), hidden_of(8)
    target = targets(hierarchy, rng, 8)
    loss = NodeLoss(constrained=False, recursive_regularization=1e-6)
    step = optimizer(head.parameters(), lr=0.04 if optimizer is LeanAdamW else 0.2)
    losses = []
    for _ in range(80):
        step.zero_grad()
        value = loss(head, hidden, target)
        value.backward()
        step.step()
        losses.append(value.item())
    assert np.mean(losses[-5:]) < 0.75 * losses[0]
    head.eval()
    with torch.no_grad():
        expected = head(hidden)
        for again in (deepcopy(head), pickle.loads(pickle.dumps(head))):
            assert torch.equal(again(hidden), expected)
        fresh = build(make, hierarchy, seed=5).eval()
        fresh.load_state_dict(head.state_dict())
        assert torch.equal(fresh(hidden), expected)


@every_head
def test_no_logit_is_dropped(make):
    """Reference codes drop half of the logits in training: no loss can fall below log(2) / 2."""
    head = build(make, TREE)
    scores = head.scores(hidden_of(50))
    for output in scores.trained:
        assert (output.logits != 0).all()
    assert (scores.logits != 0).all()
