"""Images of the objects: components, PSF, rendering, artefacts and noise.

`shapes` turns a galaxy's properties into `components` (structure of discs in `discs`, of mergers in
`mergers`, of lenses in `lenses`); `render` draws these through the PSF with the `transforms` of
profiles; `artefacts` draws what is not astrophysical; `noise` holds the noise, depth and PSF of a tile.
"""
