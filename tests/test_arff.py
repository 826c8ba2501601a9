"""ARFF files with a hierarchical class, small ones by hand and those of the public sets."""

import gzip
import json

import numpy as np
import pytest

from hierclf.datasets import load_arff_hierarchy
from hierclf.hierarchy import Hierarchy

TREE = """\
% A file by hand.
@RELATION 'two words'
@ATTRIBUTE 'the length' numeric
@attribute grown_in_2% real
@attribute shape {'very long', round}
@attribute class hierarchical 01,01/01,02,02/01
@data
1.5,-2,'very long',01/01@02/01 % of both
?,3e2,?,02
   % nothing
0,0,round,01/01
"""
DAG = """\
@relation r
@attribute x numeric
@attribute class hierarchical root/a,root/b,a/c,b/c
@data
1,c
2,a@b
"""


def saved(folder, text, name="set.arff"):
    path = folder / name
    if name.endswith(".gz"):
        path.write_bytes(gzip.compress(text.encode()))
    else:
        path.write_text(text)
    return path


@pytest.mark.parametrize("name", ["set.arff", "set.arff.gz"])
def test_numbers_words_and_paths(tmp_path, name):
    found = load_arff_hierarchy(saved(tmp_path, TREE, name))
    columns = ["the length", "grown_in_2%", "shape=very long", "shape=round"]
    assert found.feature_names == columns
    np.testing.assert_array_equal(found.data, [[1.5, -2, 1, 0], [np.nan, 300, 0, 0], [0, 0, 0, 1]])
    assert found.target == [["01/01", "02/01"], ["02"], ["01/01"]]
    # Both branches have a node 01: its name is its whole path.
    assert found.hierarchy == Hierarchy.from_dict({"01": ["01/01"], "02": ["02/01"]})
    X, y = load_arff_hierarchy(saved(tmp_path, TREE), return_X_y=True)
    np.testing.assert_array_equal(X, found.data)
    assert y == found.target


def test_edges_of_a_dag(tmp_path):
    path = saved(tmp_path, DAG)
    graph = load_arff_hierarchy(path).hierarchy
    assert graph.root == "root"
    assert set(graph.parents("c")) == {"a", "b"}
    assert load_arff_hierarchy(path, kind="dag").hierarchy == graph
    # Without a root among them, only the user can tell that two parts are an edge.
    rootless = saved(tmp_path, DAG.replace("root/a,root/b,", ""))
    assert load_arff_hierarchy(rootless, kind="dag").hierarchy.parents("c") == ("a", "b")


@pytest.mark.parametrize(
    ("before", "after", "message"),
    [
        ("hierarchical 01", "numeric 01", "no attribute of the type hierarchical"),
        ("01/01@02/01", "01/01@03", "line 8: '03' is no node of the class attribute"),
        ("@data", "@attribute more numeric\n@data", "line 7: the hierarchical attribute must be"),
        ("@attribute grown_in_2% real", "@attribute grown", "line 4: '@attribute grown' has no"),
        ("0,0,round", "0,round", "line 11: there are 2 values before the class, and 3 attributes"),
        ("0,0,round,01/01", "{0 1, 3 01/01}", "line 11: sparse rows are not read"),
        ("0,0,round", "0,0,square", "square"),
        ("grown_in_2% real", "grown date 'HH'", "set.arff"),
    ],
)
def test_what_is_refused(tmp_path, before, after, message):
    assert before in TREE
    with pytest.raises(ValueError, match=message):
        load_arff_hierarchy(saved(tmp_path, TREE.replace(before, after, 1)))


def test_a_path_is_no_edge(tmp_path):
    path = saved(tmp_path, TREE)
    with pytest.raises(ValueError, match="'01' is no edge"):
        load_arff_hierarchy(path, kind="dag")
    with pytest.raises(ValueError, match="kind must be 'auto', 'tree' or 'dag', got 'graph'"):
        load_arff_hierarchy(path, kind="graph")


@pytest.mark.parametrize(
    ("name", "n_features", "n_nodes"),
    [
        # Counts of features and nodes of the files, by their authors.
        ("cellcycle_FUN", 77, 499),
        ("gasch2_FUN", 52, 499),
        ("Enron_corr", 1001, 56),
        ("ImCLEF07D", 80, 46),
        ("derisi_GO", 63, 4116 + 3),  # those of the top level are not evaluated
    ],
)
def test_public_sets(data_home, name, n_features, n_nodes):
    folder = data_home / "hmc" / name
    known = Hierarchy.from_dict(json.loads((folder / "hierarchy.json").read_text()))
    known = known.to_dict()
    for part in sorted(folder.glob("*.arff.gz")):
        found = load_arff_hierarchy(part)
        assert found.data.shape == (len(found.target), n_features)
        assert len(found.hierarchy) == n_nodes
        children = found.hierarchy.to_dict()
        top = children.pop(found.hierarchy.root)
        assert set(top) == set(known["root"])
        assert children == {node: below for node, below in known.items() if node != "root"}
