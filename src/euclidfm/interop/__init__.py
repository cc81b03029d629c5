"""Models of other projects as models of ours."""

from euclidfm.interop.astropt import import_astropt

__all__ = ["import_astropt"]
