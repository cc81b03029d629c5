"""The reference work's claims, very small: every study real, verdicts computed, a page that stands alone."""

import json
from dataclasses import replace

import numpy as np
import pytest

from euclidfm.cli import main
from euclidfm.core.errors import InputError
from euclidfm.workflow.claims import Claim, difference, ratio, verdict
from euclidfm.workflow.reproduce import reproduce
from euclidfm.workflow.scales import ReproduceConfig, scale

TINY = ReproduceConfig(
    scale="tiny", galaxies=260, rarity_boost=1.0, vis_patch=16, width=32, depth=2, steps=20, batch=16,
    separate_steps=10, fractions=(0.5, 1.0), repeats=1, cnn_size=16, other_galaxies=140, processes=1,
)  # fmt: skip


@pytest.mark.slow
def test_every_study_runs_and_is_not_done_again(tmp_path):
    out = tmp_path / "reproduction"
    report = reproduce(TINY, out)
    page = report.read_text()
    assert "<script src" not in page and 'src="http' not in page
    numbers = json.loads((out / "report.json").read_text())["sections"]
    for key in ("claims", "panels", "modality", "densities", "transfer", "science"):
        assert "absent" not in numbers[key], key
    claims = json.loads((out / "claims.json").read_text())
    assert {c["key"] for c in claims} >= {"b", "c", "d", "beyond"}
    assert {c["verdict"] for c in claims} <= {"reproduced", "not reproduced", "inconclusive"}
    targets = {r["target"] for r in numbers["transfer"]["records"]}
    assert targets == {"q1-like", "deeper", "shallower", "other-survey", "faint"}
    before = (out / "run" / "model.safetensors").stat().st_mtime_ns
    reproduce(replace(TINY, processes=2), out)
    assert (out / "run" / "model.safetensors").stat().st_mtime_ns == before
    with pytest.raises(InputError, match="other settings"):
        reproduce(replace(TINY, seed=5), out)


@pytest.mark.slow
def test_the_quick_scale_from_the_command_line(tmp_path, capsys):
    out = tmp_path / "quick"
    assert main(["reproduce", "--scale", "quick", "--out", str(out)]) == 0
    assert (out / "report.html").exists() and "NMAD" in capsys.readouterr().out


def test_scales(capsys):
    assert scale("standard").galaxies >= 20000 and scale("quick").galaxies < 3000
    assert main(["reproduce", "--scale", "huge"]) == 2
    assert "choose one of quick, standard, full" in capsys.readouterr().err


def claim(low, high, ask, value=None, tolerance=0.0, limit=1.0):
    value = (low + high) / 2 if value is None else value
    return Claim("c", "", "", value, low, high, 2, limit, ask, tolerance)


@pytest.mark.parametrize(
    ("low", "high", "ask", "said"),
    [
        (1.1, 1.3, "above", "reproduced"), (0.7, 0.9, "above", "not reproduced"),
        (0.9, 1.1, "above", "inconclusive"),
        (1.1, 1.3, "below", "not reproduced"), (0.7, 0.9, "below", "reproduced"),
        (0.9, 1.1, "not above", "reproduced"), (1.1, 1.3, "not above", "not reproduced"),
        (0.9, 1.1, "not below", "reproduced"), (0.7, 0.9, "not below", "not reproduced"),
        (float("nan"), float("nan"), "above", "inconclusive"),
    ],
)  # fmt: skip
def test_verdicts_follow_from_the_interval(low, high, ask, said):
    assert verdict(claim(low, high, ask)) == said


def test_verdicts_of_a_coverage():
    assert verdict(claim(0.66, 0.71, "within", 0.69, 0.03, 0.68)) == "reproduced"
    assert verdict(claim(0.60, 0.64, "within", 0.62, 0.03, 0.68)) == "not reproduced"
    assert verdict(claim(0.62, 0.68, "within", 0.64, 0.03, 0.68)) == "inconclusive"


def cell(value, half=0.1, fraction=1.0):
    return {"value": value, "low": value - half, "high": value + half, "fraction": fraction}


def test_intervals_of_differences_and_ratios():
    a, b = {1: cell(2.0), 2: cell(2.2)}, {1: cell(1.0), 2: cell(1.0), 3: cell(9.0)}
    repeats = 12.706 * 0.1  # Student's t of one degree of freedom; the mean of 1.0 and 1.2 is good to 0.1
    value, low, high, n = difference(a, b)
    half = np.hypot(1.96 * np.hypot(0.1, 0.1), repeats)
    assert (value, low, high, n) == pytest.approx((1.1, 1.1 - half, 1.1 + half, 2), rel=1e-4)
    value, low, high, n = ratio(a, b)
    half = np.hypot(1.96 * np.hypot(0.1, 2.1 * 0.1), repeats)
    assert (value, high - value, n) == pytest.approx((2.1, half, 2), rel=1e-4)
    one = difference({1: cell(2.0)}, b)
    assert (one.value, one.high - one.value, one.repeats) == pytest.approx(
        (1.0, 1.96 * np.hypot(0.1, 0.1), 1)
    )
    part = difference({1: cell(2.0, fraction=0.05)}, b)  # the scatter between parts of the labels is unknown
    assert part.value == 1.0 and verdict(claim(part.low, part.high, "above", 1.0)) == "inconclusive"
    assert np.isnan(difference(a, {7: cell(1.0)}).value)  # nothing shared
