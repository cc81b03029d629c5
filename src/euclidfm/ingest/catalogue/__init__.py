"""Catalogues: columns, fluxes, labels, matches; no pixel is read here."""
