"""The heads that a user chooses: what they are, what they refuse, and a fit with each."""

import pickle

import numpy as np
import pytest
import scipy.sparse as sp
import torch
from node_heads import DAG, TREE
from sklearn.base import clone

from hierclf import HierarchicalMultilabelClassifier, Hierarchy, nn
from hierclf.heads import HMCN, HiAGM, HiMTL, HiTIN, LinearHead, as_head
from hierclf.nn.himtl import split_hierarchy

HEADS = [
    LinearHead(),
    HMCN(hidden_size=16, dropout=0.2),
    HMCN(hidden_size=16, recurrent=True, dropout=0.2),
    HiAGM(node_dim=6, dropout=0.1),
    HiAGM(node_dim=6, graph="tree_lstm", dropout=0.1),
    HiAGM("attention", node_dim=6, dropout=0.1),
    HiTIN(node_dim=8, dropout=0.1),
    HiMTL(),
    HiMTL(HiAGM(node_dim=6, dropout=0.1), split_depth=2),
    HiMTL(HiTIN(node_dim=8, dropout=0.1), method="masking", combine="mean"),
]

every_head = pytest.mark.parametrize("head", HEADS, ids=repr)


def samples(hierarchy, n=120, seed=0):
    """Features that tell the labels, several of them, and none now and then."""
    rng = np.random.default_rng(seed)
    chosen = [
        [hierarchy.nodes[i] for i in rng.integers(len(hierarchy), size=rng.integers(3))]
        for _ in range(n)
    ]
    Y = hierarchy.to_indicator(chosen)
    X = Y @ rng.normal(size=(len(hierarchy), 12)) + 0.1 * rng.normal(size=(n, 12))
    return X, Y


def classifier(head, hierarchy, **params):
    defaults = {
        "hidden_layer_sizes": (16,),
        "learning_rate_init": 0.02,
        "max_iter": 25,
        "n_iter_no_change": 25,
        "random_state": 0,
    }
    return HierarchicalMultilabelClassifier(hierarchy, head=head, **(defaults | params))


@every_head
@pytest.mark.parametrize("hierarchy", [TREE, DAG], ids=["tree", "dag"])
def test_a_fit_with_each(head, hierarchy):
    X, Y = samples(hierarchy)
    state = torch.get_rng_state()
    clf = classifier(head, hierarchy).fit(X, Y)
    assert torch.equal(torch.get_rng_state(), state)
    found = clf.predict(X)
    assert (found == Y).mean() > 0.93
    proba = clf.predict_proba(X)
    position = {node: i for i, node in enumerate(hierarchy.nodes)}
    for parent, child in hierarchy.edges:
        if parent in position:
            assert (proba[:, position[child]] <= proba[:, position[parent]]).all()
    np.testing.assert_allclose(clf.predict_proba(X[:1]), proba[:1], rtol=1e-9, atol=1e-12)
    again = pickle.loads(pickle.dumps(clf))
    np.testing.assert_array_equal(again.predict_proba(X), proba)
    np.testing.assert_array_equal(clone(clf).fit(X, Y).predict_proba(X), proba)


@every_head
@pytest.mark.parametrize("constraint", ["loss", "prediction", None])
def test_each_constraint_and_recursive_regularisation_in_float32(head, constraint):
    X, Y = samples(TREE, 40)
    clf = classifier(
        head, TREE, constraint=constraint, recursive_regularization=1e-3, max_iter=4
    ).fit(X.astype(np.float32), Y)
    assert clf.predict_proba(X.astype(np.float32)).dtype == np.float32
    assert clf.loss_curve_[-1] < clf.loss_curve_[0]


@every_head
def test_a_fit_goes_on_and_stops_early(head):
    X, Y = samples(TREE, 60)
    whole = classifier(head, TREE, early_stopping=True, n_iter_no_change=3, max_iter=12)
    whole.fit(X, Y)
    assert len(whole.loss_curve_) == whole.n_iter_
    clf = classifier(head, TREE, warm_start=True, max_iter=3).fit(X, Y)
    before = clf.loss_curve_[-1]
    for _ in range(3):
        clf.fit(X, Y)
    assert clf.n_iter_ == 12
    assert clf.loss_curve_[-1] < before


@every_head
def test_head_without_hidden_layers(head):
    X, Y = samples(TREE, 40)
    clf = classifier(head, TREE, hidden_layer_sizes=(), max_iter=3).fit(X, Y)
    assert clf.loss_curve_[-1] < clf.loss_curve_[0]
    sparse = classifier(head, TREE, hidden_layer_sizes=(), max_iter=3)
    if head.reads_sparse:
        sparse.fit(sp.csr_matrix(X), Y)
        return
    with pytest.raises(ValueError, match=r"reads dense vectors, and here .* give a hidden layer"):
        sparse.fit(sp.csr_matrix(X), Y)


def test_what_each_builds():
    counts = np.arange(len(TREE), 0, -1)
    kinds = {
        LinearHead(): nn.LinearNodeHead,
        HMCN(): nn.HMCNHead,
        HiAGM(): nn.HiAGMPropagationHead,
        HiAGM("attention", n_rows=3): nn.HiAGMAttentionHead,
        HiTIN(): nn.HiTINHead,
        HiMTL(): nn.HiMTLHead,
    }
    for head, kind in kinds.items():
        assert isinstance(head.build(TREE, counts=counts)(5, TREE), kind)
    attention = HiAGM("attention", n_rows=3).build(TREE, counts=counts)(5, TREE)
    assert attention.n_rows == 3
    assert HiAGM("attention").build(TREE, counts=counts)(5, TREE).n_rows == 8
    for prior in ("sibling", "conditional"):
        built = HiAGM(prior=prior).build(TREE, counts=counts)(5, TREE, dtype=torch.float64)
        expected = nn.edge_priors(TREE, counts, prior)
        assert built.graph[0].downward.tolist() == expected.tolist()


def test_branches_get_heads_of_their_own_nodes_and_counts():
    counts = np.arange(len(TREE), 0, -1)
    head = HiMTL(HiAGM(prior="conditional")).build(TREE, counts=counts)(5, TREE)
    _, branches = split_hierarchy(TREE)
    kinds = [type(inner) for inner in head.heads]
    assert kinds == [nn.HiAGMPropagationHead] * 2 + [nn.LinearNodeHead]  # "z" is alone
    for branch, inner in zip(branches[:2], head.heads, strict=False):
        number = dict(zip(TREE.nodes, counts, strict=True))
        expected = [
            number[c] / number[p]
            for p, c in branch.hierarchy.edges
            if p in branch.hierarchy and p != branch.hierarchy.root
        ]
        np.testing.assert_allclose(inner.graph[0].downward.tolist(), expected, rtol=1e-6)
    masked = HiMTL(HiTIN(), method="masking").build(TREE, counts=counts)(5, TREE)
    assert [len(inner.output.weight) for inner in masked.heads] == [len(TREE)] * 3


@pytest.mark.parametrize(
    ("head", "message"),
    [
        (HMCN(beta=1.5), "'beta' parameter of HMCN"),
        (HMCN(hidden_size=0), "'hidden_size' parameter of HMCN"),
        (HMCN(violation_penalty=-1), "'violation_penalty' parameter of HMCN"),
        (HiTIN(height=0), "'height' parameter of HiTIN"),
        (HiTIN(pooling="min"), "'pooling' parameter of HiTIN"),
        (HiTIN(criterion="x"), "'criterion' parameter of HiTIN"),
        (HiAGM("x"), "'method' parameter of HiAGM"),
        (HiAGM(graph="x"), "'graph' parameter of HiAGM"),
        (HiAGM(dropout=1.0), "'dropout' parameter of HiAGM"),
        (HiAGM("attention", n_rows=1), "n_rows must be at least 2, got 1: the attention over"),
        (HiAGM(n_rows=4), "n_rows=4 is for method='attention'"),
        (HiAGM(graph="tree_lstm", node_dim=5), "node_dim must be even for graph='tree_lstm'"),
        (HiMTL(method="x"), "'method' parameter of HiMTL"),
        (HiMTL(split_depth=0), "'split_depth' parameter of HiMTL"),
        (HiMTL(HMCN(), method="masking"), "violation_penalty of HMCN looks at all nodes"),
        (HiMTL(HiAGM(dropout=2)), "'dropout' parameter of HiAGM"),
        (HiMTL(split_depth=5), "split_depth must be from 1 to the 3 levels .* got 5"),
        (HiMTL(combine="sum"), "combine='sum' adds up the probabilities of 'd'"),
        (HiAGM(max_parameters=100), "HiAGM maps 100 features of each of 8 nodes"),
        (HiMTL(HiAGM(node_dim=2), method="masking"), None),
        # 3 branches, each over 8 nodes with 2 features: (16 + 1) * 8 weights, and 16 or more.
        (
            HiMTL(HiAGM(node_dim=2, max_parameters=450), method="masking"),
            "to 8 scores, 3 times: its maps have 456 weights",
        ),
        (HiMTL(HMCN(violation_penalty=0), method="masking"), None),
    ],
)
def test_what_does_not_fit_is_refused_before_any_work(head, message):
    X, Y = samples(DAG, 20)
    clf = classifier(head, DAG, max_iter=1)
    if message is None:
        clf.fit(X, Y)
        return
    with pytest.raises(ValueError, match=message):
        clf.fit(X, Y)
    assert not hasattr(clf, "net_")


def test_a_head_in_a_head_must_be_one():
    with pytest.raises(TypeError, match=r"did you mean HiTIN\(\)\?"):
        HiMTL(HiTIN).check()
    with pytest.raises(TypeError, match=r"head must be None or an object of hierclf\.heads"):
        as_head("hitin")


def test_parameters_of_a_head_in_a_head():
    clf = classifier(HiMTL(HiAGM()), TREE)
    clf.set_params(head__head__node_dim=4, head__method="masking")
    assert clf.head.head.node_dim == 4
    assert clf.head.method == "masking"


def test_large_hierarchies():
    large = Hierarchy.from_dict(
        {"top": [f"t{i}" for i in range(8)]}
        | {f"t{i}": [f"t{i}-{j}" for j in range(499)] for i in range(8)}
    )
    assert len(large) == 4000
    with pytest.raises(ValueError, match="4,000 nodes"):
        HiAGM().check_hierarchy(large)
    HiAGM(low_rank=32).check_hierarchy(large)
    HiMTL(HiAGM()).check_hierarchy(large)  # 8 branches of 500 nodes
    HiTIN().check_hierarchy(large)
    with pytest.raises(ValueError, match="more than max_parameters=100,000,000"):
        HiMTL(HiAGM(node_dim=8), method="masking").check_hierarchy(large)
