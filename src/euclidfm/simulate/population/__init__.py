"""The objects of a sky and their physical properties, drawn from published relations.

`mass_function` and `parent` (galaxies before any selection), `star_formation` (their spectra),
`selection` and `galaxies` (those that the catalogue holds), `point_sources` (stars, quasars).
"""
