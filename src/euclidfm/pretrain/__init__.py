"""Pre-training: one loop, from a store to a run folder."""

from euclidfm.pretrain.config import PretrainConfig
from euclidfm.pretrain.loop import pretrain

__all__ = ["PretrainConfig", "pretrain"]
