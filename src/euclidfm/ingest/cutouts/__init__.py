"""Cutouts as people have them: pictures, arrays and FITS files with a table, read by a recipe."""
