"""Discovery in the space of embeddings: what is alike, what is unusual, a map of it all."""

from euclidfm.discover.evaluate import outlier_recall, similarity_purity
from euclidfm.discover.outliers import outlier_scores
from euclidfm.discover.projection import project_map, project_pca
from euclidfm.discover.search import SimilarityIndex, neighbours

__all__ = [
    "SimilarityIndex",
    "neighbours",
    "outlier_recall",
    "outlier_scores",
    "project_map",
    "project_pca",
    "similarity_purity",
]
