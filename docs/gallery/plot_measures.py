"""
Which mistakes does it make? Metrics and pictures
=================================================

Two classifiers may have the same accuracy and make different mistakes. This example shows metrics
and pictures that tell them apart. The classes are modules of Python libraries.
"""

# %%
# The data
# --------
#
# Each class is a module, its parent a library.

import matplotlib.pyplot as plt
import numpy as np
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.model_selection import train_test_split
from sklearn.svm import LinearSVC

from hierclf import HierarchicalSoftmaxClassifier, metrics
from hierclf.datasets import load_docstrings
from hierclf.plotting import HierarchyDisplay, LevelConfusionMatrixDisplay

docstrings = load_docstrings()
hierarchy = docstrings.hierarchy
texts_train, texts_test, y_train, y_test = train_test_split(
    np.array(docstrings.data, dtype=object),
    docstrings.target,
    test_size=0.4,
    stratify=docstrings.target,
    random_state=0,
)
vectorizer = TfidfVectorizer(sublinear_tf=True, dtype=np.float32)
X_train, X_test = vectorizer.fit_transform(texts_train), vectorizer.transform(texts_test)

# %%
# Two classifiers
# ---------------

svm = LinearSVC().fit(X_train, y_train)
clf = HierarchicalSoftmaxClassifier(
    hierarchy,
    hidden_layer_sizes=(),
    learning_rate_init=0.05,
    max_iter=10,
    n_iter_no_change=10,
    random_state=0,
).fit(X_train, y_train)

# %%
# Numbers
# -------
#
# The metrics take labels and the hierarchy, so they work for any classifier.

scores = {
    "hierarchical F1": metrics.hierarchical_f1_score,
    "tree distance": metrics.tree_distance,
    "mistake severity": metrics.mistake_severity,
}
print(f"{'':18}{'LinearSVC':>10}{'hierarchical':>14}")
for name, score in scores.items():
    values = [score(y_test, m.predict(X_test), hierarchy=hierarchy) for m in (svm, clf)]
    print(f"{name:18}{values[0]:10.3f}{values[1]:14.3f}")
levels = [
    metrics.level_accuracy_score(y_test, m.predict(X_test), hierarchy=hierarchy, level=None)
    for m in (svm, clf)
]
for level, (one, other) in enumerate(zip(*levels, strict=True)):
    print(f"{f'accuracy, level {level}':18}{one:10.3f}{other:14.3f}")

# %%
# Where the mistakes are
# ----------------------
#
# Siblings stand side by side in the confusion matrix, and each library has a frame: what is inside
# is a mistake between siblings.

y_pred = clf.predict(X_test)
fig, ax = plt.subplots(figsize=(9, 8), layout="constrained")
LevelConfusionMatrixDisplay.from_predictions(
    y_test, y_pred, hierarchy=hierarchy, normalize="true", ax=ax
)
plt.show()

# %%
# The libraries themselves are seldom mistaken:

LevelConfusionMatrixDisplay.from_predictions(y_test, y_pred, hierarchy=hierarchy, level=0)
plt.show()

# %%
# How good each node is
# ---------------------
#
# The colour is the share of a node's rows whose prediction is at or below it, and the width of a
# wedge its share of the classes.

display = HierarchyDisplay.from_predictions(
    y_test, y_pred, hierarchy=hierarchy, kind="sunburst", vmin=0, vmax=1
)
plt.show()

# %%
# The same display colours the tree by the probabilities of one row:

row = int(np.flatnonzero(y_pred != y_test)[0])
print(f"true: {y_test[row]}, predicted: {y_pred[row]}")
fig, ax = plt.subplots(figsize=(8, 10), layout="constrained")
HierarchyDisplay.from_estimator(clf, X_test[[row]], ax=ax)
plt.show()
