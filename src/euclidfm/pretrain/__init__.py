"""Pre-training: one loop, from a store to a run folder."""

from euclidfm.pretrain.loop import PretrainConfig, pretrain

__all__ = ["PretrainConfig", "pretrain"]
