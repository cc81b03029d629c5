"""Sheets of galaxies: cutouts as pictures, oddities with surprise maps, generated galaxies."""
