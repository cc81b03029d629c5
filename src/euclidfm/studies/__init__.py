"""Studies: comparisons of methods, each one function with its settings."""

from euclidfm.studies.real_images import RealImageConfig, real_image_study
from euclidfm.studies.real_seds import RealSEDConfig, real_sed_study

__all__ = ["RealImageConfig", "RealSEDConfig", "real_image_study", "real_sed_study"]
