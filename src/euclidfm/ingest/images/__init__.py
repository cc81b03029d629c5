"""Images: mosaics near and far, cutouts, reprojection, aperture fluxes."""
