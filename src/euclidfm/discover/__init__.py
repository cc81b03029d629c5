"""Discovery in the space of embeddings: what is alike, what is unusual, a map of it all."""

from euclidfm.discover.artefacts import artefact_score, screened
from euclidfm.discover.evaluate import outlier_recall, similarity_purity
from euclidfm.discover.index import (
    ApproximateConfig,
    ApproximateIndex,
    build_approximate,
    update_approximate,
)
from euclidfm.discover.outliers import conditional_oddity, outlier_scores
from euclidfm.discover.projection import project_map, project_pca
from euclidfm.discover.quality import image_quality, store_quality
from euclidfm.discover.ratings import ActiveConfig, add_rating, read_ratings, rerank, simulate_user
from euclidfm.discover.search import SimilarityIndex, neighbours
from euclidfm.discover.study import StudyConfig, discovery_study
from euclidfm.discover.surprisal import surprise_scores

__all__ = [
    "ActiveConfig",
    "ApproximateConfig",
    "ApproximateIndex",
    "SimilarityIndex",
    "StudyConfig",
    "add_rating",
    "artefact_score",
    "build_approximate",
    "conditional_oddity",
    "discovery_study",
    "image_quality",
    "neighbours",
    "outlier_recall",
    "outlier_scores",
    "project_map",
    "project_pca",
    "read_ratings",
    "rerank",
    "screened",
    "similarity_purity",
    "simulate_user",
    "store_quality",
    "surprise_scores",
    "update_approximate",
]
