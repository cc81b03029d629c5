"""Baselines: images keep their flux, networks are deterministic, features are defined everywhere."""

import numpy as np
import pytest

from euclidfm.tasks.baselines.cnn import CNNConfig, cnn
from euclidfm.tasks.baselines.images import load_images
from euclidfm.tasks.baselines.pca import pixels_pca
from euclidfm.tasks.baselines.photometry import AsinhMagnitudes, fill_missing, gaussian_of
from euclidfm.tasks.baselines.resnet import ResNetConfig, augment, resnet


def test_images_keep_the_flux(world):
    store, _ = world
    rows = np.array([7, 3, 3])
    kept = load_images(store, rows, ("VIS",))
    want = store.read(rows).images["VIS"]
    np.testing.assert_allclose(np.sinh(kept[:, 0].astype(float)) * 3 * 0.0021, want, rtol=0.01, atol=1e-5)
    divided = load_images(store, rows, ("VIS",), normalise="max", size=8)
    assert divided.shape == (3, 1, 8, 8) and divided.max() == pytest.approx(1.0, rel=1e-3)


def test_cnn_is_deterministic(world):
    store, _ = world
    x = load_images(store, np.arange(40), ("VIS", "H"))
    y = np.linspace(0, 1, 40)
    a, b, c = (cnn(CNNConfig(epochs=1, minimum_steps=3), x, y, x, seed=s) for s in (0, 0, 1))
    assert (a == b).all() and (a != c).any()


def test_resnet_is_deterministic(world):
    store, _ = world
    x = load_images(store, np.arange(40), ("VIS", "H"))
    y = np.linspace(0, 1, 40)
    quick = ResNetConfig(epochs=1, minimum_steps=2)
    a, b, c = (resnet(quick, x, y, x[:9], seed=s) for s in (0, 0, 1))
    assert (a == b).all() and (a != c).any()
    np.testing.assert_allclose(resnet(quick, x, (y > 0.5) * 1.0, x[:9], 2).sum(axis=1), 1, atol=1e-5)


def test_augmentation_moves_flux_and_keeps_it():
    image = np.zeros((1, 2, 12, 12), np.float16)
    image[0, :, 5, 6] = [3.0, 4.0]
    rng = np.random.default_rng(0)
    seen = set()
    for _ in range(60):
        out = augment(image, rng, 2)
        assert out[0, 0].sum() == 3 and (out[0, 1] * 3 == out[0, 0] * 4).all()
        seen.add(int(out[0, 0].argmax()))
    assert len(seen) > 10


def test_asinh_magnitudes():
    flux = np.array([[100.0, 1.0], [10.0, -0.5], [3.0, np.nan]])
    scale = AsinhMagnitudes.of(flux, np.full_like(flux, 0.01))
    m = scale.magnitudes(flux)
    assert m[0, 0] == pytest.approx(23.9 - 5.0, abs=1e-4)
    assert m[1, 1] > m[0, 1] and np.isnan(m[2, 1])
    assert scale.errors(flux, np.full_like(flux, 0.01))[0, 0] == pytest.approx(
        2.5 / np.log(10) * 1e-4, rel=1e-3
    )


def test_missing_bands_are_expected_from_the_others():
    rng = np.random.default_rng(0)
    m = rng.normal(22, 1, (500, 1)) + rng.normal(0, 0.05, (500, 3))
    holed = m.copy()
    holed[:100, 1] = np.nan
    filled = fill_missing(holed, *gaussian_of(holed))
    assert np.abs(filled - m)[:100, 1].mean() < 0.1
    assert (filled[100:] == m[100:]).all()


def test_components_of_pixels_find_the_flux():
    rng = np.random.default_rng(0)
    flux = rng.uniform(0, 3, 300)
    images = rng.normal(0, 0.05, (300, 2, 8, 8)).astype(np.float16)
    images[:, :, 3:5, 3:5] += flux[:, None, None, None].astype(np.float16)
    p = pixels_pca(images[:200], flux[:200], images[200:])
    assert np.abs(p - flux[200:]).max() < 0.2
    classes = pixels_pca(images[:200], (flux[:200] > 1.5) * 1.0, images[200:], classes=2)
    assert ((classes[:, 1] > 0.5) == (flux[200:] > 1.5)).mean() > 0.85
