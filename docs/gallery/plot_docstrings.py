"""
Text classification with a tree of classes
==========================================

Which module is a docstring from? The classes are the modules of numpy, scipy, scikit-learn and
torch, and their parents are the libraries. A text classifier that knows this tree can answer with
the library where it is not sure of the module.
"""

# %%
# The data
# --------
#
# The texts are first paragraphs of docstrings from the installed libraries. Names that would give
# the answer away have been removed.

import matplotlib.pyplot as plt
import numpy as np
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.metrics import f1_score
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline

from hierclf import FlatSoftmaxClassifier, HierarchicalSoftmaxClassifier
from hierclf.datasets import load_docstrings

docstrings = load_docstrings()
hierarchy = docstrings.hierarchy
X_train, X_test, y_train, y_test = train_test_split(
    docstrings.data,
    docstrings.target,
    test_size=0.25,
    stratify=docstrings.target,
    random_state=0,
)
print(repr(hierarchy))
for text, module in zip(X_test[:3], y_test[:3], strict=True):
    print(f"{module:20} {text[:70]}")

# %%
# Flat and hierarchical
# ---------------------
#
# The same linear model under both heads. Macro-F1 counts rare modules as much as frequent ones.

models = {}
for head in (FlatSoftmaxClassifier, HierarchicalSoftmaxClassifier):
    model = make_pipeline(
        TfidfVectorizer(sublinear_tf=True, dtype=np.float32),
        head(hierarchy, random_state=0),
    )
    models[head] = model.fit(X_train, y_train)

library = hierarchy.paths_from_leaves(y_test)[:, 0]
for head, model in models.items():
    predicted = model.predict(X_test)
    print(
        f"{head.__name__:30}"
        f" accuracy {np.mean(predicted == y_test):.3f}"
        f"  macro-F1 {f1_score(y_test, predicted, average='macro'):.3f}"
        f"  library {np.mean(model.predict(X_test, level=0) == library):.3f}"
    )

# %%
# This is one split and one seed: do not read much into a difference of a percent or two.
#
# How sure, and of what?
# ----------------------
#
# Here are four new texts. The bars on the left are the likeliest modules, and those on the right
# the sums over the modules of each library.

texts = [
    "Compute the eigenvalues of a symmetric matrix.",
    "Randomly zero some elements of the input tensor during training.",
    "Cross-validated ridge regression.",
    "Solve a system of linear equations.",
]
model = models[HierarchicalSoftmaxClassifier]
by_module = model.predict_proba(texts)
by_library = model.predict_proba(texts, level=0)
libraries = hierarchy.level_classes(0)
colors = dict(zip(libraries, ["#4477aa", "#ee6677", "#228833", "#ccbb44"], strict=True))

fig, axes = plt.subplots(
    len(texts), 2, figsize=(9, 7.5), width_ratios=[1.6, 1], layout="constrained", sharex=True
)
for text, modules, sums, (left, right) in zip(texts, by_module, by_library, axes, strict=True):
    top = np.argsort(modules)[-4:]
    names = model.classes_[top]
    left.barh(names, modules[top], color=[colors[hierarchy.parents(name)[0]] for name in names])
    left.set_title(f'"{text}"', loc="left", fontsize=10)
    right.barh(libraries[::-1], sums[::-1], color=list(colors.values())[::-1])
    for ax in (left, right):
        ax.set_xlim(0, 1)
        ax.spines[["top", "right"]].set_visible(False)
for ax in axes[-1]:
    ax.set_xlabel("probability")

# %%
# When a probability is too low to act on, go up
# ----------------------------------------------
#
# A simple rule: answer with the module if it has a probability of at least a half, otherwise with
# the library.

proba = model.predict_proba(X_test)
sure = proba.max(axis=1) >= 0.5
module = model.classes_[proba.argmax(axis=1)]
right = (module == y_test)[sure].mean()
print(f"module given for {sure.mean():.0%} of the texts, right for {right:.0%}")
right = (model.predict(X_test, level=0) == library)[~sure].mean()
print(f"library given for the others, right for {right:.0%}")
