"""
A recurrent network over raw texts
==================================

A network that reads words in their order is trained from raw texts to a tree of classes. It
predicts the module of a docstring and, one level up, the library.
"""

# %%
# Texts and their tree
# --------------------
#
# One-line descriptions from numpy, scipy, scikit-learn and torch. The class is the module that a
# function belongs to, its parent the library.

import matplotlib.pyplot as plt
import numpy as np
from sklearn.metrics import accuracy_score
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline

from hierclf import HierarchicalSoftmaxClassifier
from hierclf.datasets import load_docstrings
from hierclf.encoders import ConvGRUEncoder
from hierclf.text import SequenceVectorizer

docstrings = load_docstrings()
hierarchy = docstrings.hierarchy
X_train, X_test, y_train, y_test = train_test_split(
    docstrings.data, docstrings.target, test_size=0.25, stratify=docstrings.target, random_state=0
)

# %%
# The model
# ---------
#
# The vectorizer turns a text into the ids of its words; the encoder runs a GRU over them and
# keeps, for each of its filters, the phrase that fits best. Word vectors are learnt along the way,
# from the 3,200 texts at hand.

model = make_pipeline(
    SequenceVectorizer(min_df=2),
    HierarchicalSoftmaxClassifier(
        hierarchy,
        encoder=ConvGRUEncoder(embedding_dim=100, embedding_dropout=0.3),
        learning_rate_init=3e-3,
        batch_size=64,
        max_iter=12,
        n_iter_no_change=12,
        random_state=0,
    ),
)
model.fit(X_train, y_train)

library = hierarchy.paths_from_leaves(y_test)[:, 0]
print(f"module  {accuracy_score(y_test, model.predict(X_test)):.3f}")
print(f"library {accuracy_score(library, model.predict(X_test, level='parent')):.3f}")

# %%
# Sentences of our own
# --------------------
#
# ``level="parent"`` gives the probabilities of the libraries, which are the sums of those of their
# modules. The last sentence says too little to choose.

sentences = [
    "fit a random forest of decision trees",
    "compute the eigenvalues of a sparse matrix",
    "apply dropout to the output of a layer",
    "draw samples from a uniform distribution",
    "a thing of some kind",
]
probabilities = model.predict_proba(sentences, level="parent")
modules = model.predict(sentences)

libraries = hierarchy.level_classes("parent")
figure, axes = plt.subplots(figsize=(8, 3.2), layout="constrained")
left = np.zeros(len(sentences))
for name, values in zip(libraries, probabilities.T, strict=True):
    axes.barh(sentences, values, left=left, label=name)
    left += values
for row, module in enumerate(modules):
    axes.text(1.01, row, module, va="center")
axes.set(xlim=(0, 1), xlabel="probability of the library; on the right the likeliest module")
axes.invert_yaxis()
axes.spines[["top", "right"]].set_visible(False)
axes.legend(ncols=4, loc="upper center", bbox_to_anchor=(0.5, 1.15), frameon=False)
plt.show()

# %%
# How sure to be
# --------------
#
# A library can be told more surely than a module. Here is how often the answer is right, among the
# texts whose answer has at least a certain probability.

figure, axes = plt.subplots(figsize=(6, 3.2), layout="constrained")
for level, truth in (("leaf", y_test), ("parent", library)):
    confidence = model.predict_proba(X_test, level=level).max(axis=1)
    right = model.predict(X_test, level=level) == truth
    order = np.argsort(-confidence)
    answered = np.arange(1, len(order) + 1) / len(order)
    accuracy = np.cumsum(right[order]) / np.arange(1, len(order) + 1)
    axes.plot(answered[50:], accuracy[50:], label={"leaf": "module", "parent": "library"}[level])
axes.set(xlabel="share of the texts that get an answer, the surest first", ylabel="accuracy")
axes.legend(frameon=False)
axes.spines[["top", "right"]].set_visible(False)
plt.show()
