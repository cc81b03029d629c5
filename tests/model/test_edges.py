"""What goes wrong in the reference work (AstroPT 2.0.9, measured), each on our model.

Generation that really extends the sequence is in tests/generate.
"""

from dataclasses import replace

import numpy as np
import pytest
import torch
from astropy.io import fits

import euclidfm as ef
from euclidfm.ingest import IngestConfig, ingest
from euclidfm.model import ModelConfig, build, tokenize
from euclidfm.model.pooling import embed_tokens
from euclidfm.pretrain import PretrainConfig, pretrain
from euclidfm.store import GalaxyStore
from euclidfm.store.loader import Stream
from samples import SMALL, VIS, blobs, lively, write_store


def losses(model, tokens):
    return {m: a / b for m, (a, b) in model.objective.loss_sums(model(tokens), tokens).items()}


@pytest.mark.parametrize("objective", ["huber", "likelihood"])
@pytest.mark.parametrize("scaling", ["asinh", "standardise", "zscore"])
def test_a_nan_pixel_is_a_masked_pixel(config, store, objective, scaling):
    """Not a NaN loss: even one that no mask announces; the other galaxies don't notice."""
    options = {"image_scaling": scaling}
    model = lively(replace(config, objective=objective, architecture="astropt", options=options))
    galaxies, masked, clean = (store.read(np.arange(4)) for _ in range(3))
    galaxies.images["VIS"][1, 5, 6] = np.nan
    galaxies.images["J"][1, 2, 3] = np.inf
    masked.masks["VIS"][1, 5, 6] = masked.masks["J"][1, 2, 3] = True
    tokens = model.tokenizer(galaxies)
    model.train()
    total = sum(losses(model, tokens).values())
    total.backward()
    assert torch.isfinite(total)
    assert all(torch.isfinite(p.grad).all() for p in model.parameters() if p.grad is not None)
    model.eval()
    got, want, before = (embed_tokens(model, model.tokenizer(g))[0] for g in (galaxies, masked, clean))
    assert torch.isfinite(got).all() and torch.equal(got, want)
    others = [0, 2, 3]
    assert torch.equal(got[others], before[others]) and not torch.equal(got[1], before[1])


def test_a_missing_modality_trains_and_embeds(tmp_path):
    """For some galaxies, for a whole store, for one that another store had; never a KeyError."""
    galaxies = blobs(200)
    for b in galaxies.masks:
        galaxies.masks[b][::3] = True
    galaxies.flux[1::3] = np.nan
    store = write_store(tmp_path / "store", galaxies)
    config = PretrainConfig(model=SMALL, steps=5, batch=32, precision="fp32")
    model = pretrain(config, store.path, tmp_path / "run")
    table = ef.embed(model, store)
    assert np.isfinite(table.vectors).all()
    assert np.isnan(table.by_modality["VIS"][::3]).all() and np.isnan(table.by_modality["SED"][1::3]).all()
    for bands in ((), ("H",)):
        other = write_store(tmp_path / f"other{len(bands)}", blobs(20, bands=bands))
        assert np.isfinite(ef.embed(model, other).vectors).all()
        part = ef.embed(model, other, modalities=["SED"])
        assert np.isfinite(part.vectors).all()


def test_a_bad_galaxy_at_index_0_harms_nobody(tmp_path):
    """Nothing at all is known of the first galaxy: no endless loop, no substitute, NaN for it alone."""
    galaxies = blobs(60)
    for b in galaxies.masks:
        galaxies.masks[b][0] = True
    galaxies.flux[0] = np.nan
    galaxies.split[:] = "train"
    store = write_store(tmp_path / "store", galaxies)
    config = PretrainConfig(model=SMALL, steps=6, batch=16, precision="fp32", validate_every=6)
    table = ef.embed(pretrain(config, store.path, tmp_path / "run"), store)
    assert np.isnan(table.vectors[0]).all() and np.isfinite(table.vectors[1:]).all()
    stream = Stream(store, store.rows("train"), 20, seed=0)
    seen = np.concatenate([g.object_id for g in stream.epoch(0)])
    assert sorted(seen) == sorted(galaxies.object_id)  # each once, the bad one too


def test_a_bad_file_at_index_0_is_named_and_left_out(tmp_path):
    """A folder of cutout files whose first can't be read."""
    galaxies = blobs(5, size=32)
    folder = tmp_path / "cutouts"
    folder.mkdir()
    for i in range(5):
        hdus = [fits.PrimaryHDU()]
        for b, name in (("VIS", "VIS"), ("H", "NIR_H")):
            header = fits.Header({"MAGZERO": 23.9, "CTYPE1": "RA---TAN", "CTYPE2": "DEC--TAN"})
            header.update({"CRPIX1": 16.5, "CRPIX2": 16.5, "CRVAL1": 60.0 + 0.1 * i, "CRVAL2": -50.0})
            header.update({"CDELT1": -0.1 / 3600, "CDELT2": 0.1 / 3600, "CUNIT1": "deg", "CUNIT2": "deg"})
            hdus.append(fits.ImageHDU(galaxies.images[b][i], header, name=f"{name}_FLUX"))
            hdus.append(fits.ImageHDU(np.full((32, 32), 0.003, np.float32), header, name=f"{name}_RMS"))
        fits.HDUList(hdus).writeto(folder / f"{i}.fits")
    (folder / "0.fits").write_bytes((folder / "0.fits").read_bytes()[:3000])
    summary = ingest(IngestConfig(source=str(folder), size=16, on_error="quarantine"), tmp_path / "store")
    store = GalaxyStore.open(tmp_path / "store")
    assert summary["quarantined"] == 1 and len(store) == 4
    assert "0.fits" not in " ".join(store.column("file").tolist())


@pytest.mark.parametrize("scaling", ["asinh", "zscore"])
def test_noise_on_a_pedestal_survives(tmp_path, scaling):
    """Unit noise on a pedestal of 1000: the tokens follow the pixels, through the store's float16 too."""
    rng = np.random.default_rng(0)
    galaxies = blobs(4, bands=("VIS",))
    noise = rng.normal(0, 1, galaxies.images["VIS"].shape).astype(np.float32)
    galaxies.images["VIS"] = 1000 + noise
    galaxies.noise["VIS"][:] = 1.0
    plain = ModelConfig(
        images=(replace(VIS, patch=16),),
        crop=16,
        width=16,
        heads=2,
        pixel_noise_ujy={"VIS": 1.0},
        architecture="astropt",
        options={"image_scaling": scaling},
    )
    stored = write_store(tmp_path / "store", galaxies).read()
    for g, least in ((galaxies, 0.9999), (stored, 0.98)):
        tokens = build(plain).tokenizer(g)["VIS"].target[:, 0].numpy()
        for i in range(4):
            assert np.corrcoef(tokens[i], noise[i].ravel())[0, 1] > least


def test_twenty_batches_in_random_order(config, store):
    """Each has a finite loss, and a prediction depends on what stands before it and on nothing after."""
    model = lively(config)
    for seed in range(20):
        galaxies = store.read(np.arange(seed, seed + 5))
        tokens = tokenize(config, galaxies)
        generator = torch.Generator().manual_seed(seed)
        order = torch.rand(5, 3, generator=generator).argsort(1)
        shuffle = {m: torch.rand(t.valid.shape, generator=generator).argsort(1) for m, t in tokens.items()}
        with torch.no_grad():
            before = model(tokens, order, shuffle)
            changed = replace(tokens["NISP"], features=tokens["NISP"].features + 1.0)
            after = model({**tokens, "NISP": changed}, order, shuffle)
        assert all(torch.isfinite(v) for v in losses(model, tokens).values())
        for i, m in ((0, "VIS"), (2, "SED")):
            moved = (before[m] != after[m]).flatten(1).any(1)
            assert torch.equal(moved, order[:, 1] < order[:, i])
