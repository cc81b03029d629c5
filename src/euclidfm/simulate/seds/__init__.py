"""Spectral energy distributions and their fluxes through the survey's filters.

A galaxy component is a non-negative mixture of rest-frame templates (`templates`), reddened and
absorbed by the intergalactic medium (`attenuation`), redshifted and integrated through the filters
(`filters`). The mixture is linear, so its fluxes are a mixture of tabulated template fluxes
(`flux_table`). `quasars` and `stars` make the spectra of point sources.
"""
