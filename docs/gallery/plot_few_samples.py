"""
Few labels: what a tree of classes adds
=======================================

Exact labels are expensive, and coarse ones are cheap: an expert has named the class of a few texts,
and of the others only the department is known. Here the classes are the modules of four Python
libraries. Five texts of each module have it as their label, and of all other texts only the library
is known.
"""

# %%
# The data
# --------
#
# The texts are first paragraphs of docstrings, half of them for training. Five texts of each module
# keep their label. All others get their library as label: a label may be an inner node of the
# hierarchy, without any setting.

import matplotlib.pyplot as plt
import numpy as np
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.model_selection import train_test_split
from sklearn.svm import LinearSVC

from hierclf import FlatSoftmaxClassifier, HierarchicalSoftmaxClassifier
from hierclf.datasets import load_docstrings
from hierclf.losses import PathCrossEntropy
from hierclf.metrics import level_accuracy_score, tree_distance

docstrings = load_docstrings()
hierarchy = docstrings.hierarchy
print(repr(hierarchy))


def split(seed):
    """Return the features of both halves, the labels, and which rows have their module."""
    texts_train, texts_test, y_train, y_test = train_test_split(
        docstrings.data,
        docstrings.target,
        test_size=0.5,
        stratify=docstrings.target,
        random_state=seed,
    )
    vectorizer = TfidfVectorizer(sublinear_tf=True, dtype=np.float32)
    X_train, X_test = vectorizer.fit_transform(texts_train), vectorizer.transform(texts_test)
    is_labelled = np.zeros(len(y_train), dtype=bool)
    for module in np.unique(y_train):
        is_labelled[np.flatnonzero(y_train == module)[:5]] = True
    return X_train, X_test, y_train, y_test, is_labelled


# %%
# Five ways to learn from them
# ----------------------------
#
# Three classifiers see only the texts whose module is known: a linear support vector machine, a
# flat softmax and a hierarchical one. The two softmaxes have the same settings.
#
# Two more use all texts. The hierarchical softmax learns from both kinds of label at once. The
# other is what one would build without this package: a support vector machine for the library,
# trained on all texts, and one for each library that chooses among its modules.

settings = {
    "hidden_layer_sizes": (),
    "loss": PathCrossEntropy(),
    "learning_rate_init": 0.05,
    "batch_size": 32,
    "max_iter": 10,
    "n_iter_no_change": 10,
}


def predict_in_two_steps(X, X_test, library, y, is_labelled):
    predicted_library = LinearSVC().fit(X, library).predict(X_test)
    y_pred = np.empty(X_test.shape[0], dtype=y.dtype)
    for name in np.unique(predicted_library):
        rows = is_labelled & (library == name)
        here = predicted_library == name
        y_pred[here] = LinearSVC().fit(X[rows], y[rows]).predict(X_test[here])
    return y_pred


measures = ("accuracy of the module", "accuracy of the library", "edges to the true module")
scores = {}
for seed in range(5):
    X, X_test, y, y_test, is_labelled = split(seed)
    X_few, y_few = X[is_labelled], y[is_labelled]
    library = hierarchy.paths_from_leaves(y)[:, 0]
    y_mixed = np.where(is_labelled, y, library)

    flat = FlatSoftmaxClassifier(hierarchy, random_state=seed, **settings)
    tree = HierarchicalSoftmaxClassifier(hierarchy, random_state=seed, **settings)
    predictions = {
        "LinearSVC": LinearSVC().fit(X_few, y_few).predict(X_test),
        "flat softmax": flat.fit(X_few, y_few).predict(X_test),
        "hierarchical softmax": tree.fit(X_few, y_few).predict(X_test),
        "LinearSVC in two steps,\nlibraries of all": predict_in_two_steps(
            X, X_test, library, y, is_labelled
        ),
        "hierarchical softmax,\nlibraries of all": tree.fit(X, y_mixed).predict(X_test),
    }
    for name, y_pred in predictions.items():
        by_level = level_accuracy_score(y_test, y_pred, hierarchy=hierarchy, level=None)
        distance = tree_distance(y_test, y_pred, hierarchy=hierarchy)
        scores.setdefault(name, []).append([by_level[1], by_level[0], distance])

# %%
# The results
# -----------
#
# The bars are the means of five splits, with their standard deviations.

means = {name: np.mean(values, axis=0) for name, values in scores.items()}
spreads = {name: np.std(values, axis=0) for name, values in scores.items()}

fig, axes = plt.subplots(1, 3, figsize=(9, 3.4), layout="constrained", sharey=True)
colors = ["0.6", "0.6", "#4477aa", "0.6", "#4477aa"]
for column, (ax, measure) in enumerate(zip(axes, measures, strict=True)):
    values = [mean[column] for mean in means.values()]
    errors = [spread[column] for spread in spreads.values()]
    bars = ax.barh(list(means), values, xerr=errors, color=colors, error_kw={"ecolor": "0.3"})
    ax.bar_label(bars, fmt="%.2f", label_type="center", color="white", fontweight="bold")
    ax.set_title(measure, fontsize=10)
    ax.spines[["top", "right"]].set_visible(False)
axes[0].invert_yaxis()
plt.show()

# %%
# On the labelled texts alone the two softmaxes have as many modules right, but the mistakes of the
# hierarchical one are milder: it has the library right more often, in every split.

for name in ("LinearSVC", "flat softmax"):
    gain = np.subtract(scores["hierarchical softmax"], scores[name])[:, 1]
    print(f"library, hierarchical softmax minus {name}: {gain.mean():.3f}, least {gain.min():.3f}")

# %%
# The libraries of the other texts add the most, and they take no other code. The support vector
# machines in two steps come near it: they, too, learn the library from all texts. But they give no
# probabilities, and their second step cannot put right what the first got wrong. With two labelled
# texts per module in place of five, the two ways are level.
#
# Where all texts have their modules, the differences all but vanish
# (:ref:`sphx_glr_auto_examples_plot_docstrings.py`): a tree helps where labels are few.
