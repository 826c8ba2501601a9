"""The softmaxes one node, one path and one Python float at a time."""

import math

import numpy as np
import pytest
import torch

import hierclf.nn.groups
from hierclf.hierarchy import Hierarchy

# Groups of 1, 2, 3, 3, 4, 5, 7, 9, 12, 17: most share the power of two above them with another.
# Wide and narrow groups are on the same level, and leaves on every level.
RAGGED = Hierarchy.from_dict(
    {
        "top": ["a", "b", "z"],
        "a": [f"a{i}" for i in range(17)],
        "b": ["b0"],
        "b0": ["b00", "b01"],
        "a3": [f"a3{i}" for i in range(9)],
        "a4": [f"a4{i:02d}" for i in range(12)],
        "a5": [f"a5{i}" for i in range(3)],
        "b00": [f"b00{i}" for i in range(7)],
        "b01": [f"b01{i}" for i in range(5)],
        "b010": [f"b010{i}" for i in range(4)],
    }
)


def logsumexp(values):
    top = max(values)
    return top + math.log(math.fsum(math.exp(value - top) for value in values))


def parent_of(tree, node):
    (parent,) = tree.parents(node)
    return parent


def siblings(tree, node):
    """Return the group of a node: all children of its parent, itself among them."""
    return tree.children(parent_of(tree, node))


def step_log_proba(tree, logit):
    """Equation 3, {node: log P(node | parent)}, from {node: logit}."""
    return {
        node: logit[node] - logsumexp([logit[other] for other in siblings(tree, node)])
        for node in tree.nodes
    }


def node_log_proba(tree, logit):
    """Equations 1 and 2, {node: log P(node)}: the sum of the steps on the path."""
    steps = step_log_proba(tree, logit)
    return {node: math.fsum(steps[above] for above in tree.path(node)) for node in tree.nodes}


def flat_log_proba(tree, logit):
    """{node: log P(node)} from {leaf: logit} of one softmax over all leaves."""
    total = logsumexp(list(logit.values()))
    return {
        node: logsumexp([logit[leaf] for leaf in tree.leaves if node in tree.path(leaf)]) - total
        for node in tree.nodes
    }


def fill(module, rng, scale=1.0):
    """Give a module random parameters: of float32 values, so that both dtypes hold them."""
    with torch.no_grad():
        for parameter in module.parameters():
            values = scale * rng.standard_normal(parameter.shape)
            parameter.copy_(torch.from_numpy(values.astype(np.float32)))
    return module


def rows(rng, *shape, dtype=torch.float64):
    return torch.from_numpy(rng.standard_normal(shape).astype(np.float32)).to(dtype)


def logits(softmax, names, hidden):
    """Return {name: logit} for each row, by numpy in float64."""
    weight, bias = (p.detach().double().numpy() for p in softmax.linear.parameters())
    values = hidden.double().numpy() @ weight.T + bias
    return [dict(zip(names, row, strict=True)) for row in values.tolist()]


def table(tree, by_row, names=None):
    """Stack rows of {node: value} as an array, columns in the order of names."""
    return np.array([[row[name] for name in names or tree.nodes] for row in by_row])


# How the steps of a path may be computed: with the groups on it looked up in a table, worked out
# per batch from the path or from the parents alone, and with wide levels split from narrow ones or
# all side by side.
ROUTES = {
    "table, split": {"_TABLE_ENTRIES": 1 << 30, "_NARROW": 0},
    "table, together": {"_TABLE_ENTRIES": 1 << 30, "_NARROW": 1 << 30},
    "no table, split": {"_TABLE_ENTRIES": 0, "_NARROW": 0},
    "no table, together": {"_TABLE_ENTRIES": 0, "_NARROW": 1 << 30},
    "climb, split": {"_TABLE_ENTRIES": 0, "_SHALLOW": 0, "_NARROW": 0},
    "climb, together": {"_TABLE_ENTRIES": 0, "_SHALLOW": 0, "_NARROW": 1 << 30},
}


def build(head, tree, rng, *, route="table, split", dtype=torch.float64, scale=1.0):
    """Return a head of random weights for hidden states of size 3."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        for name, value in ROUTES[route].items():
            monkeypatch.setattr(hierclf.nn.groups, name, value)
        return fill(head(3, tree, dtype=dtype), rng, scale)


def search_everything(monkeypatch):
    """Let heads search the smallest of trees, for any k and one row, and never give a row up."""
    monkeypatch.setattr("hierclf.nn.softmax.SMALL_TREE", 0)
    for name, value in {
        "_FEW_ROWS": 0,
        "SMALL_TREE": 0,
        "_SMALL_TREE_IN_TORCH": 0,
        "_MANY": 1.0,
        "_MANY_IN_TORCH": 1.0,
        "_NEVER_MANY": 2,
        "_SMALL_BATCH_IN_TORCH": 0,
        "_SHARE": 10.0,
        "_SHARE_IN_TORCH": 10.0,
    }.items():
        monkeypatch.setattr(f"hierclf.nn._search.{name}", value)
