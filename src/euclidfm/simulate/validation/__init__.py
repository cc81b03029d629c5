"""Validation of a mock sky: figures, and distances from real data."""
