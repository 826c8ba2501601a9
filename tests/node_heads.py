"""What tests of the heads for several labels share."""

import numpy as np
import torch

from hierclf.hierarchy import Hierarchy
from hierclf.nn import (
    HiAGMAttentionHead,
    HiAGMPropagationHead,
    HiMTLHead,
    HiTINHead,
    HMCNHead,
    LinearNodeHead,
    edge_priors,
)
from hierclf.nn.himtl import split_hierarchy

TREE = Hierarchy.from_dict(
    {
        "top": ["a", "b", "z"],
        "a": ["a0", "a1", "a2"],
        "a1": ["a10", "a11"],
        "b": ["b0", "b1"],
    }
)
# "d" is in the branches of "a" and "b", "e" below it, too; "f" is on the first level and the third.
DAG = Hierarchy(
    [
        ("top", "a"),
        ("top", "b"),
        ("top", "z"),
        ("a", "c"),
        ("a", "d"),
        ("b", "d"),
        ("b", "g"),
        ("d", "e"),
        ("top", "f"),
        ("c", "f"),
    ]
)
ONE_NODE = Hierarchy([("top", "a")])
FLAT = Hierarchy.flat(["a", "b", "c"])
CHAIN = Hierarchy([("top", "a"), ("a", "b"), ("b", "c"), ("c", "d")])
HIERARCHIES = {"tree": TREE, "dag": DAG, "one node": ONE_NODE, "flat": FLAT, "chain": CHAIN}


def _hiagm(kind):
    def make(n_in, hierarchy, **options):
        prior = edge_priors(hierarchy, np.arange(len(hierarchy), 0, -1))
        return kind(n_in, hierarchy, prior=prior, **{"node_dim": 4, **options})

    return make


def hitin(n_in, hierarchy, **options):
    return HiTINHead(n_in, hierarchy, **{"node_dim": 5, **options})


def hmcn(n_in, hierarchy, **options):
    return HMCNHead(n_in, hierarchy, **{"hidden_size": 6, **options})


def hmcn_recurrent(n_in, hierarchy, **options):
    return hmcn(n_in, hierarchy, recurrent=True, **options)


propagation = _hiagm(HiAGMPropagationHead)
attention = _hiagm(HiAGMAttentionHead)


def tree_lstm(n_in, hierarchy, **options):
    return propagation(n_in, hierarchy, graph="tree_lstm", **options)


def himtl(inner, **own):
    def make(n_in, hierarchy, **options):
        _, branches = split_hierarchy(hierarchy, own.get("split_depth", 1))
        masked = own.get("method") == "masking"
        heads = [
            inner if masked or len(branch.hierarchy) > 1 else LinearNodeHead for branch in branches
        ]
        return HiMTLHead(n_in, hierarchy, heads=heads, **own, **options)

    return make


SINGLE = {
    "linear": LinearNodeHead,
    "hmcn-f": hmcn,
    "hmcn-r": hmcn_recurrent,
    "hiagm-tp": propagation,
    "hiagm-tp lstm": tree_lstm,
    "hiagm-la": attention,
    "hitin": hitin,
}
HEADS = SINGLE | {
    "himtl linear": himtl(LinearNodeHead),
    "himtl hmcn": himtl(hmcn),
    "himtl hiagm": himtl(propagation),
    "himtl hitin": himtl(hitin),
    "himtl hitin masking": himtl(hitin, method="masking"),
}


def targets(hierarchy, rng, n):
    """Draw labels that are closed under ancestors, a few rows without any."""
    chosen = [[node for node in hierarchy.nodes if rng.random() < 0.25] for _ in range(n)]
    return torch.from_numpy(hierarchy.to_indicator(chosen))
