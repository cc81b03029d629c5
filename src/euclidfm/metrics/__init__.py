"""Metrics: exact definitions on plain arrays, each with a bootstrap interval.

Every function works on the last axis, so that `bootstrap` evaluates all resamples in one call. A NaN in the
input gives NaN: nothing is dropped silently. Callers drop pairs with `finite_pairs`. ``docs/metrics.md``
lists the definitions and names.
"""

from euclidfm.metrics.binned import binned
from euclidfm.metrics.bootstrap import Interval, bootstrap, bootstrap_all, finite_pairs, paired_difference
from euclidfm.metrics.classes import BINARY, MULTICLASS
from euclidfm.metrics.densities import DENSITY
from euclidfm.metrics.points import MASS, PHOTOZ, REGRESSION
from euclidfm.metrics.ranking import precision_at_k, recall_at_k

__all__ = [
    "BINARY",
    "DENSITY",
    "MASS",
    "MULTICLASS",
    "PHOTOZ",
    "REGRESSION",
    "Interval",
    "binned",
    "bootstrap",
    "bootstrap_all",
    "finite_pairs",
    "paired_difference",
    "precision_at_k",
    "recall_at_k",
]
