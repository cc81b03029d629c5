"""Pre-training: one loop, from a store to a run folder."""

from euclidfm.pretrain.config import PretrainConfig
from euclidfm.pretrain.train import pretrain

__all__ = ["PretrainConfig", "pretrain"]
