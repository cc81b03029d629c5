"""Verdicts on the claims of the reference work, computed from records with intervals.

A claim is a number and a limit. A claim "above" or "below" is *reproduced* if the 95% interval of the number
lies on the right side of the limit, *not reproduced* if it lies on the wrong side, and *inconclusive*
otherwise. A claim "not above" or "not below" is reproduced unless the interval lies on the wrong side.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from scipy.stats import t as student

from euclidfm.core.files import read_json
from euclidfm.core.run_folder import RunFolder

__all__ = ["Claim", "difference", "judge", "ratio", "verdict"]

LEVEL = 1.96
"""Half width of a 95% interval in standard errors, of the normal distribution."""
FEW = (0.01, 0.05, 0.1)
"""Label fractions at which the reference's claim of label efficiency is tested."""
_NETWORKS = {"cnn": "CNN", "resnet": "ResNet"}
STACK = ("probe-stack", "VIS+NISP+SED")
BEST = ("probe", "VIS+NISP+SED")
"""Our method, chosen beforehand: a linear probe on the embeddings of all modalities."""

Records = Sequence[Mapping[str, Any]]


class Found(NamedTuple):
    """A number, its 95% interval, and the number of repeats."""

    value: float
    low: float
    high: float
    repeats: int


@dataclass(frozen=True)
class Claim:
    """A claim, the number that tests it, and the verdict."""

    key: str
    """``a`` to ``d`` of the reference work, or ``beyond``."""
    text: str
    """The claim in one sentence."""
    measure: str
    """Description of the number."""
    value: float
    low: float
    high: float
    """95% interval."""
    repeats: int
    """Repeats with other labels and initialisations. The interval of one repeat, at all labels, has no
    scatter."""
    limit: float
    ask: str
    """``above`` or ``below`` the limit, ``not above``, ``not below``, or ``within`` `tolerance` of it."""
    tolerance: float = 0.0
    verdict: str = ""


def verdict(claim: Claim) -> str:
    """``reproduced``, ``not reproduced`` or ``inconclusive``."""
    low, high, limit = claim.low, claim.high, claim.limit
    if not (np.isfinite(low) and np.isfinite(high)):
        return "inconclusive"
    if claim.ask == "within":
        if abs(claim.value - limit) <= claim.tolerance:
            return "reproduced"
        apart = low > limit + claim.tolerance or high < limit - claim.tolerance
        return "not reproduced" if apart else "inconclusive"
    right = low > limit if claim.ask in ("above", "not below") else high < limit
    wrong = high <= limit if claim.ask in ("above", "not below") else low >= limit
    if claim.ask.startswith("not"):
        return "not reproduced" if wrong else "reproduced"
    return "reproduced" if right else "not reproduced" if wrong else "inconclusive"


def judge(run: RunFolder) -> list[dict[str, Any]]:
    """All claims that the records of a run can decide, as dicts of `Claim`."""

    def read(path: Path) -> list[dict[str, Any]]:
        return list(read_json(path)) if path.exists() else []

    efficiency = read(run.records("probes")) + read(run.records("baselines"))
    claims = [
        *_morphology(efficiency),
        *_infrared(read(run.records("modality"))),
        *_labels(efficiency),
        *_sed(efficiency, read(run.records("outliers"))),
        *_beyond(efficiency, read(run.probe("photoz").density_metrics)),
    ]
    return [{**asdict(c), "verdict": verdict(c)} for c in claims]


# numbers with intervals ------------------------------------------------------------------------


def _cells(records: Records, task: str, who: tuple[str, str], fraction: float, metric: str) -> dict[int, Any]:
    """Records of one series by seed."""
    return {
        int(r["seed"]): r
        for r in records
        if (r["task"], r["method"], r["inputs"], r["metric"]) == (task, *who, metric)
        and np.isclose(1.0 if r["fraction"] is None else r["fraction"], fraction)
        and r["value"] is not None
    }


def _combine(
    a: dict[int, Any], b: dict[int, Any], how: Callable[[float, float], float], slope: Callable[..., Any]
) -> Found:
    """A function of two metrics with its 95% interval.

    The error has two parts. The first is that of the mean over repeats, pair by pair since both methods have
    the same labels in a repeat (Student's t). The second is that of the finite test set, from both bootstrap
    intervals as if they were independent; the methods share their galaxies, so this part is too large. A
    single repeat at a part of the labels does not measure the scatter between parts: its interval is
    unbounded.
    """
    shared = sorted(set(a) & set(b))
    n = len(shared)
    if not n:
        return Found(float("nan"), float("nan"), float("nan"), 0)
    values = np.array([how(a[s]["value"], b[s]["value"]) for s in shared])
    x, y = (float(np.mean([d[s]["value"] for s in shared])) for d in (a, b))
    sx, sy = (float(np.mean([(d[s]["high"] - d[s]["low"]) / 2 for s in shared])) for d in (a, b))
    dx, dy = slope(x, y)
    test = LEVEL * float(np.hypot(dx * sx, dy * sy))
    repeats = 0.0 if a[shared[0]]["fraction"] in (None, 1.0) else float("inf")
    if n > 1:
        repeats = float(student.ppf(0.975, n - 1) * values.std(ddof=1) / np.sqrt(n))
    half, centre = float(np.hypot(test, repeats)), float(values.mean())
    return Found(centre, centre - half, centre + half, n)


def difference(a: dict[int, Any], b: dict[int, Any]) -> Found:
    """Mean of a - b over shared repeats with its 95% interval."""
    return _combine(a, b, lambda x, y: x - y, lambda x, y: (1.0, -1.0))


def ratio(a: dict[int, Any], b: dict[int, Any]) -> Found:
    """Mean of a / b over shared repeats with its 95% interval."""
    return _combine(a, b, lambda x, y: x / y, lambda x, y: (1.0 / y, -x / y**2))


def _widened(r: Mapping[str, Any]) -> Found:
    """A record's value with its 68% interval stretched to 95%."""
    v, low, high = (float(r[k]) for k in ("value", "low", "high"))
    return Found(v, v - LEVEL * (v - low), v + LEVEL * (high - v), 1)


# the claims ------------------------------------------------------------------------------------


def _morphology(records: Records) -> Iterable[Claim]:
    ours = _cells(records, "morphology", ("probe", "VIS+NISP"), 1.0, "auc")
    pixels = _cells(records, "morphology", ("pixels-pca", "VIS+NISP"), 1.0, "auc")
    if ours and pixels:
        yield Claim(
            "a",
            "Embeddings of images follow morphology.",
            "ROC AUC, smooth or featured: linear probe on VIS+NISP minus ridge on pixel components",
            *difference(ours, pixels),
            0.0,
            "above",
        )


def _infrared(records: Records) -> Iterable[Claim]:
    texts = {
        "star": "Infrared isolates stars: average precision rises from VIS to VIS+NISP.",
        "edge_on": "Beyond the reference: with infrared, edge-ons are found no less well.",
    }
    models = dict.fromkeys(str(r["model"]) for r in records)
    for task, text in texts.items():
        for model in models:
            for r in records:
                which = (r["task"], r["model"], r["inputs"], r["metric"])
                if which == (task, model, "VIS+NISP", "gain_average_precision"):
                    measure = f"gain in average precision, VIS to VIS+NISP, {model}"
                    ask = "above" if task == "star" else "not below"
                    yield Claim("b", text, measure, *_widened(r), 0.0, ask)


def _labels(records: Records) -> Iterable[Claim]:
    names = {"photoz": "photo-z NMAD", "mass": "log M* NMAD [dex]"}
    rivals = (("cnn", "VIS"), ("cnn", "VIS+NISP"), ("resnet", "VIS+NISP"))
    for task, what in names.items():
        for fraction in (*FEW, 1.0):
            ours = _cells(records, task, BEST, fraction, "nmad")
            for rival in rivals:
                theirs = _cells(records, task, rival, fraction, "nmad")
                if ours and theirs:
                    name = f"the supervised {_NETWORKS[rival[0]]} on {rival[1]}"
                    wins = "beats" if fraction < 1 else "is no worse than"
                    yield Claim(
                        "c",
                        f"A linear probe on VIS+NISP+SED {wins} {name} at {fraction:.0%} of the labels.",
                        f"{what}: probe minus {_NETWORKS[rival[0]]}",
                        *difference(ours, theirs),
                        0.0,
                        "below" if fraction < 1 else "not above",
                    )


def _sed(records: Records, outliers: Records) -> Iterable[Claim]:
    with_sed = _cells(records, "photoz", BEST, 1.0, "nmad")
    without = _cells(records, "photoz", ("probe", "VIS+NISP"), 1.0, "nmad")
    if with_sed and without:
        yield Claim(
            "d",
            "Adding SED tokens lowers the photo-z NMAD by a factor of 2 or more.",
            "NMAD with VIS+NISP over NMAD with VIS+NISP+SED, all labels",
            *ratio(without, with_sed),
            2.0,
            "above",
        )
    lifts = {
        str(r["inputs"]): r
        for r in outliers
        if str(r["metric"]).startswith("lift@") and r["method"] == "ensemble, artefacts last"
    }
    if "VIS+NISP+SED" in lifts:
        yield Claim(
            "d",
            "Rings, mergers and lenses are at least 5 times as common in the top 1% of the outliers.",
            "lift over the base rate, VIS+NISP+SED",
            *_widened(lifts["VIS+NISP+SED"]),
            5.0,
            "above",
        )


def _beyond(records: Records, densities: Records) -> Iterable[Claim]:
    for task, what in (("photoz", "photo-z NMAD"), ("mass", "log M* NMAD [dex]")):
        for fraction in FEW:
            trees = _cells(records, task, ("booster", "SED"), fraction, "nmad")
            for who, name in ((BEST, "linear probe"), (STACK, "stack (embedding and photometry)")):
                ours = _cells(records, task, who, fraction, "nmad")
                if ours and trees:
                    yield Claim(
                        "beyond",
                        f"The {name} beats boosted trees on the photometry at {fraction:.0%} of the labels.",
                        f"{what}: {name.partition(' (')[0]} minus booster",
                        *difference(ours, trees),
                        0.0,
                        "below",
                    )
    found = {str(r["metric"]): r for r in densities}
    for level, allowed in (("68", 0.03), ("95", 0.02)):
        r = found.get(f"coverage_{level}")
        if r is not None:
            yield Claim(
                "beyond",
                f"{level}% intervals of p(z) hold {level} ± {100 * allowed:.0f}% of the truths.",
                "coverage of the test galaxies",
                *_widened(r),
                float(level) / 100,
                "within",
                allowed,
            )
    ks = found.get("pit_ks")
    if ks is not None:
        n = int(ks["n_test"])
        band = 1.358 / np.sqrt(n)
        value = float(ks["value"])
        yield Claim(
            "beyond",
            "PIT values of p(z) are uniform within their sampling band.",
            f"Kolmogorov-Smirnov distance of {n} PIT values; 95% of uniform samples are below {band:.4f}",
            value,
            value,
            value,
            1,
            float(band),
            "below",
        )
