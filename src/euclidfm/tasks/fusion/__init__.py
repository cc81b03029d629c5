"""Fusion of blocks of numbers about a galaxy: photometry, measured numbers, vectors of a model."""
