"""Studies: comparisons of methods, each one function with its settings."""

from euclidfm.studies.real_seds import RealSEDConfig, real_sed_study

__all__ = ["RealSEDConfig", "real_sed_study"]
