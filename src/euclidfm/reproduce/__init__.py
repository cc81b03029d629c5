"""The reference work's claims as one command, with verdicts computed from intervals."""

from euclidfm.reproduce.config import SCALES, ReproduceConfig, scale

__all__ = ["SCALES", "ReproduceConfig", "scale"]
