"""The model: tokens, chain, transformer, and the `FoundationModel` that joins them."""

from euclidfm.model.config import SIZES, ImageModality, ModelConfig
from euclidfm.model.foundation import FoundationModel
from euclidfm.model.options import BlockConfig, TokenConfig, VectorModality
from euclidfm.model.tokenizer import Tokens, tokenize

__all__ = [
    "SIZES",
    "BlockConfig",
    "FoundationModel",
    "ImageModality",
    "ModelConfig",
    "TokenConfig",
    "Tokens",
    "VectorModality",
    "tokenize",
]
