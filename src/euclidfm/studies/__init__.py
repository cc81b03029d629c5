"""Whole comparisons, from files to tables of results: each is one function and its config."""

from euclidfm.studies.real_seds import RealSEDConfig, real_sed_study

__all__ = ["RealSEDConfig", "real_sed_study"]
