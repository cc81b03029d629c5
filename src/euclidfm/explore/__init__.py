"""Display of a run in the browser (`euclidfm explore`).

The page shows a map, galaxies, their neighbours, outliers and selections.
"""
