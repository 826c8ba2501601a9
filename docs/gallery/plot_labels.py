"""
Coarse labels: samples known only by their parent
=================================================

An expert who says "some closed loop" has told us something. A softmax at every inner node learns
what such a label tells, and nothing that it does not. How much are coarse labels worth?
"""

# %%
# The data
# --------
#
# Digits, in a tree of what the pen draws. For a few images we know the digit, for all others the
# shape alone. Noise makes the task hard enough for few rows to be too few.

import matplotlib.pyplot as plt
import numpy as np
from sklearn.model_selection import train_test_split

from hierclf import HierarchicalSoftmaxClassifier
from hierclf.datasets import load_digits_hierarchy

digits = load_digits_hierarchy()
hierarchy = digits.hierarchy
rng = np.random.default_rng(0)
X = digits.data / 16 + rng.normal(scale=0.6, size=digits.data.shape)
print(hierarchy)

# %%
# Three ways to train
# -------------------
#
# With the labels as they are, coarse ones and fine ones mixed; with the coarse rows left out; and,
# as the best that could be hoped for, with the digits of all rows.
#
# Nothing has to be set for it: a label that is an inner node is a label.

settings = {
    "hidden_layer_sizes": (),
    "learning_rate_init": 0.01,
    "batch_size": 32,
    "max_iter": 60,
    "n_iter_no_change": 60,
}
ways = ("digit or shape", "coarse rows left out", "digit of every row")
sizes = (20, 50, 100, 200, 400)
scores = np.zeros((len(ways), len(sizes), 5))

for seed in range(5):
    X_train, X_test, y_train, y_test = train_test_split(
        X, digits.target, train_size=900, stratify=digits.target, random_state=seed
    )
    shape = hierarchy.paths_from_leaves(y_train)[:, 0]
    for column, n_fine in enumerate(sizes):
        is_fine = np.arange(len(y_train)) < n_fine
        mixed = np.where(is_fine, y_train, shape)
        for way, (rows, labels) in enumerate(
            [(slice(None), mixed), (is_fine, y_train), (slice(None), y_train)]
        ):
            clf = HierarchicalSoftmaxClassifier(hierarchy, random_state=seed, **settings)
            clf.fit(X_train[rows], labels[rows])
            scores[way, column, seed] = clf.score(X_test, y_test)

# %%
# What the coarse rows add
# ------------------------
#
# The accuracy is that of the digits. The shape of a row does not say which digit it is, but it
# teaches the upper softmax, and the digit is then chosen among three or four.

fig, ax = plt.subplots(figsize=(7, 4), layout="constrained")
colors = ("#4477aa", "#ee6677", "0.6")
for way, values, color in zip(ways, scores, colors, strict=True):
    mean, sd = values.mean(axis=1), values.std(axis=1)
    ax.plot(sizes, mean, color=color, marker="o", label=way)
    ax.fill_between(sizes, mean - sd, mean + sd, color=color, alpha=0.2, linewidth=0)
ax.set(xscale="log", xticks=sizes, xticklabels=sizes)
ax.minorticks_off()
ax.set(xlabel="rows of 900 whose digit is known", ylabel="accuracy of the digit")
ax.spines[["top", "right"]].set_visible(False)
ax.legend(frameon=False)
plt.show()
