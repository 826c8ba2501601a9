"""Hierarchy as text and as HTML."""

from html.parser import HTMLParser

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import dags, trees

from hierclf.hierarchy import Hierarchy

quick = settings(max_examples=60, deadline=None)


def test_text_of_a_dag_draws_children_once():
    h = Hierarchy([("r", "a"), ("r", "b"), ("a", "x"), ("b", "x"), ("x", "y"), ("b", "z")])
    assert str(h).splitlines() == [
        "r",
        "├── a",
        "│   └── x",
        "│       └── y",
        "└── b",
        "    ├── x  (see above)",
        "    └── z",
    ]


def test_long_lists_are_cut():
    h = Hierarchy.from_dict({"r": [f"n{i:03d}" for i in range(100)], "n000": ["x", "y"]})
    lines = str(h).splitlines()
    assert lines[:5] == ["r", "├── n000", "│   ├── x", "│   └── y", "├── n001"]
    assert lines[-2:] == ["├── n018", "└── ... 81 more"]
    assert "... 51 more" in h._repr_html_()


def test_names_are_printable():
    h = Hierarchy.flat(["a\nb", " ", "x" * 200, ("t", 1)])
    assert str(h).splitlines() == [
        "Hierarchy.ROOT",
        "├── 'a\\nb'",
        "├── ' '",
        "├── " + "x" * 77 + "...",
        "└── ('t', 1)",
    ]
    assert "&lt;b&gt;" in Hierarchy.flat(["<b>"])._repr_html_()
    assert "<b>" not in Hierarchy.flat(["<b>"])._repr_html_()


@pytest.mark.parametrize(
    ("edges", "text"),
    [
        ([("r", "a")], "<Hierarchy: 1 node, 1 leaf, 1 level>"),
        ([("r", "a"), ("a", "b"), ("a", "c")], "<Hierarchy: 3 nodes, 2 leaves, 2 levels>"),
        ([("r", "a"), ("a", "b"), ("r", "b")], "<Hierarchy: 2 nodes, 1 leaf, 2 levels, DAG>"),
    ],
)
def test_repr(edges, text):
    assert repr(Hierarchy(edges)) == text


class Balance(HTMLParser):
    """Checks that tags close in order, and gathers the texts of the list items."""

    def __init__(self):
        super().__init__()
        self.open, self.texts = [], []

    def handle_starttag(self, tag, attrs):
        self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open[-1] in ("li", "summary"):
            self.texts.append(data.strip())


@quick
@given(st.one_of(trees(max_leaves=40), dags(max_nodes=30)))
def test_drawings_are_small_and_complete(h):
    lines = str(h).splitlines()
    assert len(lines) <= 60
    parser = Balance()
    parser.feed(h._repr_html_())
    assert parser.open == []
    texts = {text.removesuffix("  (see above)") for text in parser.texts}
    assert texts == {str(h.root), *h.nodes}
    if len(h.edges) < 60 and max(len(c) for c in h.to_dict().values()) <= 20:
        assert len(lines) == len(h.edges) + 1
        drawn = sorted(line.split("── ")[-1].removesuffix("  (see above)") for line in lines[1:])
        assert drawn == sorted(child for _, child in h.edges)
