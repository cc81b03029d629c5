"""Probability densities of redshifts and other numbers, calibrated."""
