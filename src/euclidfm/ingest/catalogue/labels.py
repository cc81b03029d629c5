"""Labels and metadata of catalogue objects, with the descriptions that the store keeps."""

from __future__ import annotations

import numpy as np

from euclidfm.core.ids import match_ids
from euclidfm.ingest.catalogue.columns import GZ_QUESTIONS
from euclidfm.ingest.catalogue.formats import Table
from euclidfm.store.schema import Column

__all__ = [
    "FLAGS",
    "GZ_COLUMNS",
    "META",
    "SPEC",
    "TRUTH",
    "fractions",
    "galaxy_zoo",
    "metadata",
    "truth_labels",
]

_GZ = {
    "gz_smooth": ("smooth_or_featured", "smooth"),
    "gz_featured": ("smooth_or_featured", "featured_or_disk"),
    "gz_artifact": ("smooth_or_featured", "artifact_star_zoom"),
    "gz_edge_on": ("disk_edge_on", "yes"),
    "gz_spiral": ("has_spiral_arms", "yes"),
    "gz_merger": ("merging", "merger"),
}
GZ_COLUMNS = tuple(f"{q}_{a}" for q, answers in GZ_QUESTIONS.items() for a in answers)
"""Catalogue columns that the Galaxy Zoo labels need."""

_META = {
    "point_like_prob": ("", "probability of a point source"),
    "segmentation_area": ("px", "area of the detection"),
    "mumax_minus_mag": ("", "peak surface brightness minus magnitude"),
    "spurious_prob": ("", "probability of a spurious detection"),
    "fwhm": ("arcsec", "full width at half maximum"),
    "ellipticity": ("", "1 - axis ratio"),
    "kron_radius": ("px", "Kron radius"),
    "sersic_sersic_vis_radius": ("arcsec", "effective radius of the Sérsic fit in VIS"),
    "sersic_sersic_vis_index": ("", "index of the Sérsic fit in VIS"),
    "sersic_sersic_vis_axis_ratio": ("", "axis ratio of the Sérsic fit in VIS"),
    "concentration": ("", "concentration in VIS"),
    "asymmetry": ("", "asymmetry in VIS"),
    "gini": ("", "Gini coefficient in VIS"),
}
_RENAMED = {
    "sersic_sersic_vis_radius": "sersic_radius",
    "sersic_sersic_vis_index": "sersic_index",
    "sersic_sersic_vis_axis_ratio": "sersic_axis_ratio",
}
META = (*_META, "gal_ebv", "spurious_flag", "det_quality_flag")
"""Canonical names of the catalogue columns that the store keeps if the catalogue has them."""

FLAGS = (
    Column(name="flag_edge", type="bool", role="flag", description="cutout reaches over the mosaic's edge"),
    Column(
        name="flag_masked_fraction",
        type="float32",
        role="flag",
        description="masked pixels in the bands that have an image; 1 without any",
    ),
    Column(
        name="flag_bits",
        type="int64",
        role="flag",
        description="flag-map bits in the middle of the cutout, any band",
    ),
)
"""Columns of flags that the cutting of images sets."""

SPEC = (
    Column(name="z_spec", type="float32", description="spectroscopic redshift, ZWARN = 0, not a star"),
    Column(
        name="log_mass",
        type="float32",
        unit="log10(Msun)",
        description="stellar mass of the spectroscopic table, CHI2 < 17, LOGM > 0, LOGM_ERR < 0.25",
    ),
    Column(name="log_mass_err", type="float32", unit="dex", description="error of log_mass"),
    Column(
        name="is_star",
        type="float32",
        description="1 if SPECTYPE is STAR, 0 if GALAXY or QSO (ZWARN = 0), else NaN",
    ),
    Column(name="spectype", type="string", role="meta", description="SPECTYPE of the spectroscopic table"),
    Column(
        name="flag_ambiguous_spec",
        type="bool",
        role="flag",
        description="more than one object or spectrum within the match radius",
    ),
)
"""Columns that a joined spectroscopic table adds."""

TRUTH = (
    Column(name="kind", type="string", role="truth", description="galaxy, star, quasar or artefact"),
    Column(name="subtype", type="string", role="truth", description="kind of galaxy or artefact"),
    Column(name="z_true", type="float32", role="truth", description="redshift put in"),
    Column(
        name="log_mass_true",
        type="float32",
        role="truth",
        unit="log10(Msun)",
        description="stellar mass put in",
    ),
)
"""Columns of the truth of a mock sky."""


def fractions(t: Table, question: str, answer: str) -> np.ndarray:
    """Compute the expected fraction of volunteers who give an answer.

    The catalogue holds Dirichlet concentrations. The fraction is the concentration of the answer divided by
    the sum over all answers to the question. The same formula holds for numbers of votes, percentages and
    fractions.

    Returns
    -------
    (N,) float32
        NaN where the catalogue has no prediction for the question. This does not mean "no".
    """
    total = sum(t[f"{question}_{a}"].astype(float) for a in GZ_QUESTIONS[question])
    with np.errstate(divide="ignore", invalid="ignore"):
        share = t[f"{question}_{answer}"].astype(float) / total
    return np.where(np.isfinite(share) & (share >= 0), share, np.nan).astype(np.float32)


def galaxy_zoo(t: Table) -> tuple[tuple[Column, ...], Table]:
    """Compute the Galaxy Zoo labels for which the morphology catalogue has the columns.

    Returns
    -------
    tuple of Column
        Descriptions of the labels.
    dict of str to (N,) float32
        Fractions of the votes.
    """
    specs, out = [], {}
    for name, (question, answer) in _GZ.items():
        if all(f"{question}_{a}" in t for a in GZ_QUESTIONS[question]):
            out[name] = fractions(t, question, answer)
            text = f"Galaxy Zoo Euclid, expected fraction of votes: {question}, {answer}"
            specs.append(Column(name=name, type="float32", description=text))
    return tuple(specs), out


def metadata(t: Table) -> tuple[tuple[Column, ...], Table]:
    """Select the metadata and flags that the store keeps, of the columns that the catalogue has.

    Returns
    -------
    tuple of Column
        Descriptions of the columns.
    dict of str to (N,) array
        Their values.
    """
    specs = [
        Column(name="mag_vis", type="float32", role="meta", unit="AB mag", description="total VIS magnitude")
    ]
    out: Table = {"mag_vis": t["mag_vis"].astype(np.float32)}
    for name, (unit, text) in _META.items():
        if name in t:
            kept = _RENAMED.get(name, name)
            specs.append(Column(name=kept, type="float32", role="meta", unit=unit, description=text))
            out[kept] = t[name].astype(np.float32)
    if "gal_ebv" in t:
        specs.append(
            Column(name="ebv", type="float32", role="meta", unit="mag", description="Galactic E(B-V)")
        )
        out["ebv"] = t["gal_ebv"].astype(np.float32)
    for name in ("vis_det", "spurious_flag", "det_quality_flag"):
        if name in t:
            kept = f"flag_{name.removesuffix('_flag')}"
            specs.append(
                Column(
                    name=kept, type="int64", role="flag", description=f"catalogue {name.upper()}, -1 unknown"
                )
            )
            out[kept] = np.where(np.isfinite(t[name].astype(float)), t[name], -1).astype(np.int64)
    return tuple(specs), out


def truth_labels(object_id: np.ndarray, truth: Table) -> Table:
    """Look up the truth of each object by its id. Objects without truth have empty text or NaN."""
    row = match_ids(object_id, truth["object_id"])
    known = row >= 0
    out: Table = {}
    for name, source in (("kind", "kind"), ("subtype", "subtype")):
        text = np.full(len(object_id), "", object)
        text[known] = truth[source][row[known]]
        out[name] = text
    for name, source in (("z_true", "z"), ("log_mass_true", "log_mass")):
        value = np.full(len(object_id), np.nan, np.float32)
        value[known] = truth[source][row[known]]
        out[name] = value
    return out
