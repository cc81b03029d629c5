"""Discovery with embeddings: similarity search, outliers, artefacts, ratings, and two-dimensional maps."""

from euclidfm.discover.artefacts import artefact_score, screened
from euclidfm.discover.evaluate import outlier_recall, similarity_purity
from euclidfm.discover.index import ApproximateConfig, ApproximateIndex
from euclidfm.discover.index_build import build_approximate, update_approximate
from euclidfm.discover.outliers import conditional_outlier_score, outlier_scores
from euclidfm.discover.projection import project_map, project_pca
from euclidfm.discover.quality import image_quality, store_quality
from euclidfm.discover.ratings import ActiveConfig, add_rating, read_ratings, rerank, simulate_user
from euclidfm.discover.search import SimilarityIndex
from euclidfm.discover.surprisal import surprise_scores

__all__ = [
    "ActiveConfig",
    "ApproximateConfig",
    "ApproximateIndex",
    "SimilarityIndex",
    "add_rating",
    "artefact_score",
    "build_approximate",
    "conditional_outlier_score",
    "image_quality",
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
