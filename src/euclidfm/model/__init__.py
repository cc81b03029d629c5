"""The model: tokens, sequence, transformer, and the `FoundationModel` that joins them.

Read `config`, `tokenizer`, `sequence`, `transformer` and `foundation` in this order; `likelihood`
(objectives), `pooling` (embeddings) and `checkpoint` (files) stand beside them.
"""

from euclidfm.model.checkpoint import build
from euclidfm.model.config import SIZES, ImageModality, ModelConfig, VectorModality
from euclidfm.model.foundation import FoundationModel
from euclidfm.model.tokenizer import tokenize
from euclidfm.model.tokens import Tokens

__all__ = [
    "SIZES",
    "FoundationModel",
    "ImageModality",
    "ModelConfig",
    "Tokens",
    "VectorModality",
    "build",
    "tokenize",
]
