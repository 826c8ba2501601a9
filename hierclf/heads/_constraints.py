"""What parameters of heads may be, for scikit-learn's validation."""

from numbers import Integral, Real

from hierclf._utils.sklearn_private import Interval

SIZE = [Interval(Integral, 1, None, closed="left")]
PROBABILITY = [Interval(Real, 0, 1, closed="left")]
SHARE = [Interval(Real, 0, 1, closed="both")]
FACTOR = [Interval(Real, 0, None, closed="left")]
