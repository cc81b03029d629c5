"""Models of other projects as models of ours."""

from euclidfm.interop.astropt.reader import import_astropt

__all__ = ["import_astropt"]
