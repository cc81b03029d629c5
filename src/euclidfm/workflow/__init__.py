"""Whole jobs: the stages of the road, and `demo` and `reproduce` as lists of them."""
