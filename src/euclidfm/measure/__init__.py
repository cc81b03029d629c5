"""Numbers measured on cutouts: aperture fluxes, size and classical morphology, with units and errors."""

from euclidfm.measure.numbers import RADII_PX, SHAPES, Measurements, measured_names, sharpest
from euclidfm.measure.run import measure, measure_store

__all__ = ["RADII_PX", "SHAPES", "Measurements", "measure", "measure_store", "measured_names", "sharpest"]
