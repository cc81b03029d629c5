"""Metrics: exact definitions on plain arrays, each with a bootstrap interval.

Every function works on the last axis, so that `bootstrap` evaluates all resamples in one
call. The rule for missing values is the same everywhere: **NaN in, NaN out**. Nothing is
dropped silently; `finite_pairs` drops pairs where the caller decides to.
Definitions and names are listed in ``docs/metrics.md``.
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
