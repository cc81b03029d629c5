"""Catalogues: columns, fluxes, labels and matches. No pixel is read here."""
