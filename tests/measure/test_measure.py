"""Measured numbers against analytic galaxies, photutils and statmorph, and where they must be missing."""

import warnings
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import gaussian_filter
from scipy.special import gammainc, gammaincinv

from euclidfm.measure import RADII_PX, measure, measure_store, measured_names
from euclidfm.model.patches import apply_symmetry
from euclidfm.store import Galaxies
from samples import blobs, write_store

SIZE = 64
Y, X = np.mgrid[:SIZE, :SIZE] - (SIZE - 1) / 2


def galaxies(images, noise=0.01, masks=None):
    n = len(next(iter(images.values())))
    return Galaxies(
        object_id=np.arange(n),
        ra=np.zeros(n),
        dec=np.zeros(n),
        tile=np.zeros(n, np.int64),
        split=np.full(n, "train"),
        images={b: i.astype(np.float32) for b, i in images.items()},
        masks={b: np.zeros(i.shape, bool) for b, i in images.items()} | (masks or {}),
        noise={b: np.full(n, noise, np.float32) for b in images},
        flux=np.zeros((n, 0), np.float32),
        fluxerr=np.zeros((n, 0), np.float32),
        sed_bands=(),
    )


def gaussian(sigma=4.0, q=1.0, flux=1000.0, x=0.0, y=0.0):
    return flux * np.exp(-0.5 * ((X - x) ** 2 + ((Y - y) / q) ** 2) / sigma**2) / (2 * np.pi * sigma**2 * q)


def numbers(measured, row=0):
    return dict(zip(measured.names, measured.values[row], strict=True))


def test_a_gaussian_has_the_fluxes_radii_and_shape_of_its_formula():
    sigma, q = 5.0, 0.5
    m = measure(galaxies({"VIS": np.stack([gaussian(sigma), gaussian(sigma, q)])}))
    round_one, flat = numbers(m, 0), numbers(m, 1)
    for r in RADII_PX:
        expected = 1000 * (1 - np.exp(-0.5 * r**2 / sigma**2))
        assert round_one[f"aper_VIS_{r:g}"] == pytest.approx(expected, rel=8e-3)  # pixels are points here
    assert round_one["half_light_radius_VIS"] == pytest.approx(sigma * np.sqrt(2 * np.log(2)), rel=5e-3)
    assert round_one["concentration_VIS"] == pytest.approx(
        2.5 * np.log10(np.log(0.2) / np.log(0.8)), abs=0.02
    )
    assert round_one["ellipticity_VIS"] == pytest.approx(0, abs=1e-3)
    assert flat["ellipticity_VIS"] == pytest.approx(1 - q, abs=5e-3)
    assert round_one["asymmetry_VIS"] == pytest.approx(0, abs=1e-4)
    assert m.units == ("uJy",) * 4 + ("pixel",) + ("",) * 5


def test_an_exponential_disc_has_the_radii_within_its_petrosian_total():
    h = 2.5
    m = numbers(measure(galaxies({"VIS": (1000 * np.exp(-np.hypot(X, Y) / h) / (2 * np.pi * h**2))[None]})))
    inside = lambda r: gammainc(2, r / h)  # noqa: E731
    r = np.linspace(1, 20, 20000)
    ring = (inside(1.25 * r) - inside(0.8 * r)) / (1.25**2 - 0.8**2)
    petrosian = r[np.argmax(ring < 0.2 * inside(r))]
    total = inside(1.5 * petrosian)
    r20, r50, r80 = (h * gammaincinv(2, f * total) for f in (0.2, 0.5, 0.8))
    assert m["half_light_radius_VIS"] == pytest.approx(r50, rel=0.02)
    assert m["concentration_VIS"] == pytest.approx(5 * np.log10(r80 / r20), abs=0.08)  # pixels blur the cusp


def test_gini_and_m20_of_a_gaussian():
    """The area of each brightness of a Gaussian is known, so both are integrals over it."""
    sigma = 6.0
    m = numbers(measure(galaxies({"VIS": gaussian(sigma)[None]})))
    within = lambda r: 1 - np.exp(-0.5 * r**2 / sigma**2)  # noqa: E731
    r = np.linspace(1, 25, 20000)
    petrosian = r[np.argmax((within(1.25 * r) - within(0.8 * r)) / (1.25**2 - 0.8**2) < 0.2 * within(r))]
    level = 0.2 * within(petrosian) / (np.pi * petrosian**2)  # brightness at the radius, total flux 1
    wide = sigma * np.sqrt(1 + (0.2 * petrosian / sigma) ** 2)  # the smoothed Gaussian
    edge2 = -2 * wide**2 * np.log(level * 2 * np.pi * wide**2)
    area = np.linspace(0, edge2, 200001)  # equal steps of area, from bright to faint
    f = np.exp(-0.5 * area / sigma**2)
    share = np.arange(len(f))[::-1] / (len(f) - 1)  # rank of a brightness, 1 = brightest
    gini = (f * (2 * share - 1)).sum() / f.sum()
    bright = np.cumsum(f) < 0.2 * f.sum()
    m20 = np.log10((f * area)[bright].sum() / (f * area).sum())
    assert m["gini_VIS"] == pytest.approx(gini, abs=0.01)
    assert m["m20_VIS"] == pytest.approx(m20, abs=0.02)


def test_aperture_sums_are_those_of_photutils():
    aperture = pytest.importorskip("photutils.aperture")
    rng = np.random.default_rng(3)
    image = gaussian() + rng.normal(0, 0.3, X.shape)
    m = numbers(measure(galaxies({"VIS": image[None]}, noise=100.0)))  # nothing is detected, so none masked
    for r in RADII_PX:
        circle = aperture.CircularAperture(((SIZE - 1) / 2,) * 2, r)
        expected = circle.do_photometry(image.astype(np.float32), method="exact")[0][0]
        assert m[f"aper_VIS_{r:g}"] == pytest.approx(expected, rel=1e-5)


def test_shapes_agree_with_statmorph():
    statmorph = pytest.importorskip("statmorph")
    from astropy.modeling.models import Sersic2D

    rng = np.random.default_rng(0)
    truth = [
        Sersic2D(amplitude=25, r_eff=5, n=n, ellip=e, theta=0.7)(X, Y) + gaussian(2, flux=f, x=5, y=3)
        for n, e, f in ((1, 0.1, 0), (1, 0.4, 200), (2.5, 0.3, 0))
    ]
    images = np.stack([gaussian_filter(t, 0.85) for t in truth]) + rng.normal(0, 0.3, (3, SIZE, SIZE))
    ours = measure(galaxies({"VIS": images}, noise=0.3))
    for i, image in enumerate(images):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            segment = (np.hypot(X, Y) < 31).astype(int)
            theirs = statmorph.source_morphology(image, segment, weightmap=np.full_like(image, 0.3))[0]
        m = numbers(ours, i)
        assert m["half_light_radius_VIS"] == pytest.approx(theirs.r50, rel=0.05)
        assert m["concentration_VIS"] == pytest.approx(theirs.concentration, abs=0.25)
        assert m["asymmetry_VIS"] == pytest.approx(theirs.asymmetry, abs=0.04)
        assert m["gini_VIS"] == pytest.approx(theirs.gini, abs=0.04)
        assert m["m20_VIS"] == pytest.approx(theirs.m20, abs=0.2)
        assert m["ellipticity_VIS"] == pytest.approx(theirs.ellipticity_asymmetry, abs=0.08)


def test_errors_are_the_scatter_of_the_fluxes_with_copied_pixels_too():
    n, noise = 400, 0.5
    images = gaussian() + np.random.default_rng(1).normal(0, noise, (n, SIZE, SIZE))
    mask = np.zeros((n, SIZE, SIZE), bool)
    mask[:, 20:30, 33:40] = True
    m = measure(galaxies({"VIS": images}, noise=noise, masks={"VIS": mask}))
    flux, error = m.apertures
    assert np.isfinite(flux).all()
    assert flux.std(axis=0) / error.mean(axis=0) == pytest.approx(np.ones(4), abs=0.15)
    assert (error > measure(galaxies({"VIS": images}, noise=noise)).apertures[1]).sum(axis=0).min() >= 0
    plain = measure(galaxies({"VIS": images[:1]}, noise=noise)).apertures[1]
    assert error[0, 2] > 1.05 * plain[0, 2]


def test_errors_of_shapes_are_their_scatter():
    noise = 0.5
    images = gaussian(q=0.7) + np.random.default_rng(2).normal(0, noise, (60, SIZE, SIZE))
    m = measure(galaxies({"VIS": images}, noise=noise), draws=8)
    claimed, found = m.errors[:, 4:].mean(axis=0), m.values[:, 4:].std(axis=0)
    assert (claimed > 0.5 * found).all() and (claimed < 2.5 * found).all()


def test_a_neighbour_is_masked_and_its_place_filled():
    alone = gaussian()
    crowded = alone + gaussian(2, flux=600, x=14, y=-9)
    noise = np.random.default_rng(4).normal(0, 0.05, (2, SIZE, SIZE))
    m = measure(galaxies({"VIS": np.stack([alone, crowded]) + noise}, noise=0.05))
    assert numbers(m, 1)["aper_VIS_20"] == pytest.approx(numbers(m, 0)["aper_VIS_20"], rel=0.02)
    assert numbers(m, 1)["half_light_radius_VIS"] == pytest.approx(
        numbers(m, 0)["half_light_radius_VIS"], rel=0.03
    )


def test_what_can_not_be_measured_is_missing_and_never_zero():
    image = np.stack([gaussian()] * 4)
    mask = np.zeros(image.shape, bool)
    mask[1, 31:33, 36:38] = mask[1, 31:33, 26:28] = True  # a hole and its mirror image, 5 pixels away
    mask[2] = True  # no image
    mask[3, 5:8, 5:8] = mask[3, -8:-5, -8:-5] = True  # a hole far outside
    m = measure(galaxies({"VIS": image, "H": image}, masks={"VIS": mask}), ("VIS", "Y", "H"))
    assert m.names == measured_names(("VIS", "Y", "H"))
    by = {n: m.values[:, i] for i, n in enumerate(m.names)}
    assert np.isfinite(by["aper_VIS_2.5"]).tolist() == [True, True, False, True]
    assert np.isfinite(by["aper_VIS_20"]).tolist() == [True, False, False, True]
    assert np.isfinite(by["gini_VIS"]).tolist() == [True, False, False, True]
    assert np.isnan(by["aper_Y_5"]).all() and np.isfinite(by["aper_H_20"]).all()
    small = measure(galaxies({"VIS": image[:1, 16:48, 16:48]}))
    assert np.isnan(numbers(small)["aper_VIS_20"]) and np.isfinite(numbers(small)["aper_VIS_10"])
    empty = numbers(measure(galaxies({"VIS": np.zeros((1, SIZE, SIZE))})))
    assert empty["aper_VIS_5"] == 0 and np.isnan(empty["gini_VIS"])  # a measured flux of zero is one


def test_numbers_for_models_have_no_unit_without_calibration():
    images = gaussian() + np.random.default_rng(5).normal(0, 0.5, (3, SIZE, SIZE))
    one, other = (galaxies({"VIS": k * images}, noise=k * 0.5) for k in (1, 7))
    a, b = (measure(g, uncalibrated=("VIS",)) for g in (one, other))
    assert a.for_models() == pytest.approx(b.for_models(), abs=2e-3)
    assert a.units[0] == "image unit"
    a, b = (measure(g).for_models() for g in (one, other))
    assert b[:, :4] - a[:, :4] == pytest.approx(np.full((3, 4), np.log(7)), abs=2e-3)
    assert a[0, 2] == pytest.approx(np.log(measure(one).values[0, 2]), abs=2e-3)  # bright: ln f


def test_without_calibration_the_level_of_the_border_is_no_light():
    images = gaussian() + np.random.default_rng(5).normal(0, 0.5, (3, SIZE, SIZE))
    plain, raised = (galaxies({"VIS": images + level}, noise=0.5) for level in (0, 40))
    a, b = (measure(g, uncalibrated=("VIS",)).values for g in (plain, raised))
    assert a == pytest.approx(b, rel=1e-3, abs=1e-3)
    assert measure(raised).values[0, 0] > a[0, 0] + 700  # in uJy a level is light


def test_a_cutout_full_of_light_is_measured():
    noise = np.random.default_rng(0).uniform(50, 100, (1, 32, 32))
    m = numbers(measure(galaxies({"VIS": noise}, noise=1.0)))
    assert np.isfinite(m["aper_VIS_10"]) and np.isnan(m["gini_VIS"])


def test_unknown_noise_is_taken_from_the_border():
    images = gaussian() + np.random.default_rng(6).normal(0, 0.5, (1, SIZE, SIZE))
    known, unknown = (measure(galaxies({"VIS": images}, noise=s)) for s in (0.5, np.nan))
    assert unknown.errors[0, :4] == pytest.approx(known.errors[0, :4], rel=0.1)
    assert unknown.values == pytest.approx(known.values, rel=0.05, abs=0.02)


@settings(max_examples=8, deadline=None)
@given(symmetry=st.integers(0, 7), seed=st.integers(0, 100))
def test_turning_a_galaxy_changes_nothing(symmetry, seed):
    image = gaussian(q=0.6, x=0.2) + np.random.default_rng(seed).normal(0, 0.3, (1, SIZE, SIZE))
    turned = apply_symmetry(image, np.array([symmetry]))
    a, b = (measure(galaxies({"VIS": i}, noise=0.3)).values for i in (image, turned))
    assert a == pytest.approx(b, rel=1e-2, abs=1e-2, nan_ok=True)


def test_a_store_is_measured_in_the_order_of_the_rows(tmp_path):
    store = write_store(tmp_path / "store", blobs(300, size=32))
    rows = np.array([290, 3, 150])
    m = measure_store(store, rows)
    assert m.object_id.tolist() == store.column("object_id")[rows].tolist()
    direct = measure(store.read(rows))
    assert m.values == pytest.approx(direct.values, nan_ok=True)
    cropped = measure_store(store, rows, crop=16)
    whole, middle = store.read(rows), (slice(None), slice(8, 24), slice(8, 24))
    parts = ({b: a[middle] for b, a in d.items()} for d in (whole.images, whole.masks))
    inner = replace(whole, **dict(zip(("images", "masks"), parts, strict=True)))
    assert cropped.values == pytest.approx(measure(inner).values, nan_ok=True)
    assert len(measure_store(store, np.array([], int))) == 0
