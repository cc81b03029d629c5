"""Galaxy Zoo-style votes as Dirichlet concentrations.

Votes depend on the true shape and on how well it is resolved: for small and faint galaxies they
approach those of an unresolved blob.
"""

from __future__ import annotations

import numpy as np

__all__ = ["QUESTIONS", "draw_votes"]

QUESTIONS: dict[str, tuple[str, ...]] = {
    "SMOOTH_OR_FEATURED": ("SMOOTH", "FEATURED_OR_DISK", "ARTIFACT_STAR_ZOOM"),
    "DISK_EDGE_ON": ("YES", "NO"),
    "HAS_SPIRAL_ARMS": ("YES", "NO"),
    "BAR": ("STRONG", "WEAK", "NO"),
    "HOW_ROUNDED": ("COMPLETELY", "IN_BETWEEN", "CIGAR_SHAPED"),
    "MERGING": ("NONE", "MINOR_DISTURBANCE", "MAJOR_DISTURBANCE", "MERGER"),
}
"""Questions and answers of the catalogue."""

_FEATURED = {
    "elliptical": 0.04, "lenticular": 0.25, "spiral": 0.9, "barred": 0.9, "ring": 0.9, "edge_on": 0.85,
    "irregular": 0.7, "merger": 0.6, "lens": 0.3,
}  # fmt: skip


def draw_votes(
    kind: str, subtype: str, axis_ratio: float, visibility: float, rng: np.random.Generator
) -> dict[str, float]:
    """Draw the Dirichlet concentration of every answer.

    Parameters
    ----------
    kind, subtype : str
        Truth.
    axis_ratio : float
    visibility : float
        0 (unresolved) to 1 (every detail resolved).
    """
    v = visibility
    if kind != "galaxy":
        first = (0.12, 0.05, 0.83)
        featured, edge, arms = 0.05, 0.05, 0.02
    else:
        featured = 0.1 + (_FEATURED.get(subtype, 0.5) - 0.1) * v
        first = (1 - featured - 0.02, featured, 0.02)
        edge = 0.95 if subtype == "edge_on" else float(np.clip(0.75 - 2.2 * axis_ratio, 0.02, 0.5))
        arms = {"spiral": 0.92, "barred": 0.75, "ring": 0.3, "merger": 0.35}.get(subtype, 0.06) * (
            0.3 + 0.7 * v
        )
        arms *= float(np.clip((axis_ratio - 0.15) / 0.3, 0.2, 1))
    bar = (0.65 * v, 0.25, 0.1 + 0.65 * (1 - v)) if subtype == "barred" else (0.03, 0.12, 0.85)
    round_ = float(np.clip((axis_ratio - 0.55) / 0.4, 0.02, 0.95))
    cigar = float(np.clip((0.45 - axis_ratio) / 0.25, 0.01, 0.9)) * (1 - round_)
    merging = (0.9, 0.06, 0.02, 0.02)
    if subtype == "merger":
        merging = (1 - 0.9 * v, 0.1 * v, 0.25 * v, 0.55 * v)
    elif subtype in ("irregular", "lens"):
        merging = (0.75, 0.18, 0.05, 0.02)
    shares = {
        "SMOOTH_OR_FEATURED": first,
        "DISK_EDGE_ON": (edge, 1 - edge),
        "HAS_SPIRAL_ARMS": (arms, 1 - arms),
        "BAR": bar,
        "HOW_ROUNDED": (round_, max(1 - round_ - cigar, 0.02), cigar),
        "MERGING": merging,
    }
    out = {}
    for question, share in shares.items():
        p = np.maximum(np.asarray(share), 0.01)
        p = rng.dirichlet(25 * p / p.sum()) if p.sum() > 0 else p
        weight = rng.uniform(15, 60)
        for answer, value in zip(QUESTIONS[question], p, strict=True):
            out[f"{question}_{answer}"] = float(1 + weight * value)
    return out
