"""Generation: any modality of a galaxy from any others, by a trained model."""

from euclidfm.generate.complete import Completed, complete
from euclidfm.generate.preview import foreseen
from euclidfm.generate.run import GenerateConfig, generate, write

__all__ = ["Completed", "GenerateConfig", "complete", "foreseen", "generate", "write"]
