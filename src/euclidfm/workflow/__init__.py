"""Workflows: the stages from a sky to a report, and `demo` and `reproduce` as lists of them."""
