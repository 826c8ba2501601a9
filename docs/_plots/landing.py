"""The picture of the landing page: one text, and what each library and its modules get of it."""

import matplotlib.pyplot as plt
from matplotlib.colors import LinearSegmentedColormap
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.pipeline import make_pipeline

from hierclf import HierarchicalSoftmaxClassifier
from hierclf.datasets import load_docstrings
from hierclf.plotting import HierarchyDisplay

data = load_docstrings()
clf = make_pipeline(
    TfidfVectorizer(sublinear_tf=True),
    HierarchicalSoftmaxClassifier(data.hierarchy, random_state=0),
)
clf.fit(data.data, data.target)

text = "Compute the eigenvalues of a symmetric matrix."
proba = dict(zip(clf.classes_.tolist(), clf.predict_proba([text])[0], strict=True))
libraries = data.hierarchy.level(0)
proba |= dict(zip(libraries, clf.predict_proba([text], level=0)[0], strict=True))

# Two modules of each library: all 74 would not be a picture but a table.
shown = [
    module
    for library in libraries
    for module in sorted(data.hierarchy.children(library), key=proba.get)[-2:]
]
tree = data.hierarchy.prune(shown)
names = {node: f"{node}  {proba[node]:.0%}" for node in tree.nodes}
values = {names[node]: proba[node] for node in tree.nodes}

fig, ax = plt.subplots(figsize=(5, 3), layout="constrained")
pale_to_dark = LinearSegmentedColormap.from_list("", ["#c9d3dc", "#2a9d8f", "#0b5d6b"])
HierarchyDisplay(tree.relabel(names), values).plot(
    ax=ax, cmap=pale_to_dark, vmin=0, vmax=1, colorbar=False
)
ax.set_title(f"“{text}”", fontsize=10, loc="left")
