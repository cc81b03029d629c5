"""Calibrated probability densities of redshifts and other labels."""
