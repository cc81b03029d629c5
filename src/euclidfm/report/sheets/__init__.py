"""Sheets of galaxies as PNG: cutouts, outliers with surprisal maps, generated galaxies."""
