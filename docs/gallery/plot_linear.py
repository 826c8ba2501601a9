"""
A linear classifier for texts with few labels
=============================================

Texts in many classes, a handful of examples of each: the usual first model is tf-idf and
``LinearSVC``. :class:`~hierclf.HierarchicalLinearClassifier` takes its place. It has the same
margins for the classes, and some more for the groups above them, which have more examples. This
example shows what they add with two to forty texts per class, and what texts add of which only the
group is known.
"""

# %%
# The data
# --------
#
# The texts are first paragraphs of docstrings of four Python libraries, and the classes are the
# modules that they are in. Half of the texts are for testing.

import matplotlib.pyplot as plt
import numpy as np
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.model_selection import train_test_split
from sklearn.svm import LinearSVC

from hierclf import HierarchicalLinearClassifier
from hierclf.datasets import load_docstrings
from hierclf.metrics import level_accuracy_score

docstrings = load_docstrings()
hierarchy = docstrings.hierarchy
print(repr(hierarchy))


def split(seed):
    """Return the features of both halves, and their labels."""
    texts, texts_test, y, y_test = train_test_split(
        docstrings.data,
        docstrings.target,
        test_size=0.5,
        stratify=docstrings.target,
        random_state=seed,
    )
    vectorizer = TfidfVectorizer(sublinear_tf=True, dtype=np.float32)
    return vectorizer.fit_transform(texts), vectorizer.transform(texts_test), y, y_test


def choose(y, n_texts, seed):
    """Return the rows of some texts of each module, or of all if there are fewer."""
    order = np.random.default_rng(seed).permutation(len(y))
    return np.concatenate([order[y[order] == module][:n_texts] for module in np.unique(y)])


# %%
# Two classifiers, and coarse labels
# ----------------------------------
#
# Two classifiers learn from the same few texts, with their defaults. The hierarchy is all that the
# second knows in addition. The third is the second again. It learns from all texts, but of those
# that the others do not see it knows the library only: a label may be an inner node of the
# hierarchy.

FEW, COARSE = "HierarchicalLinearClassifier", "HierarchicalLinearClassifier,\nlibraries of all"
numbers = (2, 5, 10, 20, 40)
scores = {}
for seed in range(5):
    X, X_test, y, y_test = split(seed)
    library = hierarchy.paths_from_leaves(y)[:, 0]
    for n_texts in numbers:
        rows = choose(y, n_texts, seed)
        y_mixed = library.copy()
        y_mixed[rows] = y[rows]
        model = HierarchicalLinearClassifier(hierarchy)
        predictions = {
            "LinearSVC": LinearSVC(random_state=seed).fit(X[rows], y[rows]).predict(X_test),
            FEW: model.fit(X[rows], y[rows]).predict(X_test),
            COARSE: model.fit(X, y_mixed).predict(X_test),
        }
        for name, y_pred in predictions.items():
            by_level = level_accuracy_score(y_test, y_pred, hierarchy=hierarchy, level=None)
            scores.setdefault(name, []).append((n_texts, *by_level))
scores = {name: np.reshape(rows, (-1, len(numbers), 3)) for name, rows in scores.items()}

# %%
# The results
# -----------
#
# Lines are means over five splits, and bands their standard deviations.

fig, axes = plt.subplots(1, 2, figsize=(9, 3.4), layout="constrained")
colors = {"LinearSVC": "0.5", FEW: "#4477aa", COARSE: "#228833"}
for level, (ax, what) in enumerate(zip(axes, ("library", "module"), strict=True), start=1):
    for name, found in scores.items():
        mean, spread = found[:, :, level].mean(axis=0), found[:, :, level].std(axis=0)
        ax.plot(numbers, mean, marker="o", color=colors[name], label=name)
        ax.fill_between(numbers, mean - spread, mean + spread, color=colors[name], alpha=0.15, lw=0)
    ax.set_xscale("log")
    ax.set_xticks(numbers, numbers)
    ax.minorticks_off()
    ax.set_xlabel("texts per module")
    ax.set_title(f"accuracy of the {what}", fontsize=10)
    ax.spines[["top", "right"]].set_visible(False)
axes[1].legend(frameon=False, fontsize=8)
plt.show()

# %%
# In points more than ``LinearSVC``, split by split, and in how many of the five:

for name in (FEW, COARSE):
    print(name.replace("\n", " "))
    gains = 100 * (scores[name] - scores["LinearSVC"])
    for place, n_texts in enumerate(numbers):
        library, module = gains[:, place, 1:].mean(axis=0)
        n_library, n_module = (gains[:, place, 1:] > 0).sum(axis=0)
        print(
            f"{n_texts:5} texts: library {library:+5.1f} ({n_library} of 5), "
            f"module {module:+5.1f} ({n_module} of 5)"
        )

# %%
# From the same few texts the tree has the library right two to three points more often, and the
# module by less than one. With more texts the difference becomes smaller. The texts that have only
# their library add far more, and take no other code. ``LinearSVC`` cannot use them as they are:
# :ref:`sphx_glr_auto_examples_plot_few_samples.py` shows what one would build from two of it.
#
# Probabilities and labels of every level
# ---------------------------------------
#
# ``LinearSVC`` has no probabilities. Here every node has one, they add up along the tree, and they
# need no calibration on top: the scale of the scores is fitted to samples that are held out.

library, (modules, proba) = model.predict(X_test[:3], level=0), model.predict(X_test[:3], top_k=2)
for row in zip(library, modules.tolist(), proba.round(2).tolist(), strict=True):
    print(*row)
