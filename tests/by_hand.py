"""The softmaxes one node, one path and one Python float at a time."""

import math

import numpy as np
import torch


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
