"""
Several labels: which probability is enough?
============================================

A document may be about several things, and a classifier gives each of them a probability. Which of
them to answer with is a choice of its own: a threshold of one half is rarely the best, and less so
where labels are rare. Here the thresholds are chosen on held-out documents for the best
hierarchical F-score.
"""

# %%
# The data
# --------
#
# Documents with several labels are made here from docstrings of numpy, scipy, scikit-learn and
# torch: each joins the first paragraphs of one to three functions, and its labels are the modules
# that these are from. Their parents are the libraries.

import matplotlib.pyplot as plt
import numpy as np
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.metrics import precision_recall_curve
from sklearn.model_selection import train_test_split

from hierclf import HierarchicalMultilabelClassifier
from hierclf.datasets import load_docstrings
from hierclf.decisions import HierarchicalThresholdClassifierCV
from hierclf.metrics import hierarchical_average_precision_score, hierarchical_f1_score

docstrings = load_docstrings()
hierarchy = docstrings.hierarchy


def join(texts, labels, rng):
    """Return documents of one to three texts each, and the nodes of each; no text is in two."""
    ends = np.cumsum(rng.integers(1, 4, size=len(texts)))
    parts = np.split(rng.permutation(len(texts)), ends[ends < len(texts)])
    documents = [" ".join(texts[some]) for some in parts]
    return documents, hierarchy.to_indicator([set(labels[some]) for some in parts])


known, new, of_known, of_new = train_test_split(
    docstrings.data,
    docstrings.target,
    test_size=0.3,
    stratify=docstrings.target,
    random_state=0,
)
rng = np.random.default_rng(0)
texts_train, Y_train = join(known, of_known, rng)
texts_test, Y_test = join(new, of_new, rng)
vectorizer = TfidfVectorizer(sublinear_tf=True, dtype=np.float32)
X_train, X_test = vectorizer.fit_transform(texts_train), vectorizer.transform(texts_test)
print(f"{len(Y_train)} documents to learn from, {len(Y_test)} new ones, {hierarchy!r}")
print(f"{Y_train[:, hierarchy.leaf_indices].sum(axis=1).mean():.2f} modules per document, as:")
print(f"{texts_train[0]!r}: {hierarchy.from_indicator(Y_train[:1])[0]}")

# %%
# Thresholds chosen on held-out documents
# ---------------------------------------
#
# One threshold for all nodes, one for each of the two levels, and one for each node. Each
# :class:`~hierclf.decisions.HierarchicalThresholdClassifierCV` trains three networks, each on two
# thirds of the documents, judges thresholds by the predictions for the others, and then trains on
# all.

network = HierarchicalMultilabelClassifier(hierarchy, random_state=0)
tuned = {}
for by in ("all", "level", "node"):
    clf = HierarchicalThresholdClassifierCV(network, by=by, cv=3, store_cv_results=True)
    tuned[by] = clf.fit(X_train, Y_train)

proba = tuned["all"].predict_proba(X_test)
answers = {"one half": tuned["all"].estimator_.predict(X_test)}
answers |= {f"by {by}": clf.predict(X_test) for by, clf in tuned.items()}
for name, predicted in answers.items():
    scores = [
        hierarchical_f1_score(
            Y_test, predicted, hierarchy=hierarchy, average=average, zero_division=0
        )
        for average in ("micro", "macro")
    ]
    print(f"{name:10} micro-F {scores[0]:.3f}  macro-F {scores[1]:.3f}")
print("thresholds of the levels:", tuned["level"].best_threshold_.round(2))
area = hierarchical_average_precision_score(Y_test, proba, hierarchy=hierarchy)
print(f"average precision, which needs no threshold: {area:.3f}")

# %%
# What a threshold does
# ---------------------
#
# On the left is the F-score of a threshold for all nodes: on held-out documents, where it was
# chosen, and on new ones. On the right are the answers in the plane of precision and recall. The
# curve has all nodes of all documents in one ranking.

colors = {"one half": "#bb5566", "by all": "#004488", "by level": "#228833", "by node": "#ddaa33"}
fig, (left, right) = plt.subplots(1, 2, figsize=(9, 3.8), layout="constrained")
curve = tuned["all"].cv_results_
left.plot(curve["thresholds"], curve["scores"], color="0.6", label="held out")
grid = np.linspace(0.02, 0.9, 45)
on_test = [
    hierarchical_f1_score(Y_test, (proba >= t).astype(int), hierarchy=hierarchy, zero_division=0)
    for t in grid
]
left.plot(grid, on_test, color=colors["by all"], label="new documents")
for name, threshold in (("one half", 0.5), ("by all", tuned["all"].best_threshold_)):
    left.axvline(threshold, color=colors[name], linestyle=":", label=f"{name}: {threshold:.2f}")
left.set(xlabel="threshold", ylabel="hierarchical micro-F", xlim=(0, 0.9))
left.legend(frameon=False)

precision, recall, _ = precision_recall_curve(Y_test.ravel(), proba.ravel())
right.plot(recall, precision, color="0.6", label="all thresholds")
for name, predicted in answers.items():
    hits = (Y_test * predicted).sum()
    recall, precision = hits / Y_test.sum(), hits / predicted.sum()
    right.plot(recall, precision, "o", color=colors[name], label=name, markersize=8)
right.set(xlabel="recall", ylabel="precision", ylim=(0, 1.02))
right.legend(frameon=False, loc="lower left")
for ax in (left, right):
    ax.spines[["top", "right"]].set_visible(False)
plt.show()

# %%
# A document
# ----------
#
# The probabilities of the likeliest nodes of three new documents. Nodes that are true have dark
# bars, and a line marks the threshold of each node. A library is predicted if it reaches its
# threshold or one of its modules does.

shown = [int(i) for i in np.flatnonzero(Y_test[:, hierarchy.leaf_indices].sum(axis=1) == 2)[:3]]
thresholds = tuned["level"].best_threshold_[hierarchy.depths - 1]
fig, axes = plt.subplots(1, 3, figsize=(9, 3.2), layout="constrained", sharex=True)
for row, ax in zip(shown, axes, strict=True):
    top = np.sort(np.argsort(-proba[row])[:8])[::-1]  # libraries above their modules
    names = [hierarchy.nodes[i] for i in top]
    bars = [colors["by all"] if Y_test[row, i] else "0.8" for i in top]
    ax.barh(names, proba[row, top], color=bars)
    for place, i in enumerate(top):
        ax.plot([thresholds[i]] * 2, [place - 0.4, place + 0.4], color=colors["one half"])
    title = texts_test[row]
    ax.set_title(f'"{title[:30]}…"', loc="left", fontsize=9)
    ax.set_xlabel("probability")
    ax.spines[["top", "right"]].set_visible(False)
plt.show()

# %%
# This is one split and one seed. A threshold for each node follows chance where few held-out
# documents have the node, so that "by node" gains least on new documents, for all that it is best
# on those it was chosen on:

for by, clf in tuned.items():
    print(f"by {by:6} held out: {clf.best_score_:.3f}")
