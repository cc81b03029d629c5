"""Images: mosaics on disk and behind URLs, cutouts, resampling, aperture fluxes."""
