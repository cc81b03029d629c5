"""A run in the browser: map, galaxies, neighbours, outliers, selections (`euclidfm explore`)."""
