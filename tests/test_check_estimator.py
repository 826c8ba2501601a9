"""scikit-learn's own checks, all of them, none expected to fail.

Run with ``SCIPY_ARRAY_API=1`` as well: one check is skipped without it.
"""

import pytest
from sklearn.utils.estimator_checks import parametrize_with_checks

from hierclf import FlatSoftmaxClassifier, HierarchicalSoftmaxClassifier
from hierclf.induction import BalancedHierarchy


# The checks train on few rows for few epochs, and do not expect to be told.
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@parametrize_with_checks(
    [
        FlatSoftmaxClassifier(max_iter=30),
        HierarchicalSoftmaxClassifier(max_iter=30),
        HierarchicalSoftmaxClassifier(BalancedHierarchy(branching=2), max_iter=30),
    ]
)
def test_scikit_learn_check(estimator, check):
    check(estimator)
