"""Heads: regressors and classifiers on scaled features."""
