"""Readers of tables, one module a family of formats; the cells are made plain by `core.cells`."""
