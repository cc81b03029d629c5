"""Generation: any modality of a galaxy from any others, by a trained model."""

from euclidfm.generate.complete import Completed, complete
from euclidfm.generate.preview import predict_tokens
from euclidfm.generate.run import GenerateConfig, generate, write

__all__ = ["Completed", "GenerateConfig", "complete", "generate", "predict_tokens", "write"]
