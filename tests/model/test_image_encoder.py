"""The image encoder: what it reads, what it learns, and what it does with missing bands."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from euclidfm.core.errors import InputError
from euclidfm.embeddings import embed
from euclidfm.embeddings.table import IMAGES
from euclidfm.model import FoundationModel, ModelConfig, tokenize
from euclidfm.model.pooling import embed_tokens
from euclidfm.model.readout import READOUT, readout_targets
from euclidfm.model.scaling import fit_scaling
from euclidfm.model.tokens import drop_modalities
from euclidfm.pretrain import PretrainConfig, pretrain


@pytest.fixture
def config(store):
    small = ModelConfig(width=16, depth=2, heads=2, crop=16, image_encoder=8)
    return fit_scaling(small, store, store.rows("train"))


@pytest.fixture
def model(config):
    torch.manual_seed(3)
    return FoundationModel(config).eval()


def test_targets_are_the_mean_magnitude_and_the_colours(store, config):
    """Against magnitudes computed from the store's fluxes, for bands with high signal-to-noise."""
    galaxies = store.read(store.rows("train"))
    target = readout_targets(config, tokenize(config, galaxies, store.info.wavelengths_nm))
    order = np.argsort([store.info.wavelengths_nm[b] for b in galaxies.sed_bands])
    flux, error = galaxies.flux[:, order], galaxies.fluxerr[:, order]
    bright = np.isfinite(flux) & (flux > 50 * error)
    for i in range(flux.shape[1] - 1):
        pair = bright[:, i] & bright[:, i + 1]
        colour = np.log(flux[pair, i + 1] / flux[pair, i])
        got = (
            target.target[pair, 0, i + 1].numpy() * config.readout_spread[i + 1]
            + config.readout_center[i + 1]
        )
        np.testing.assert_allclose(got * config.sed_spread, colour, atol=5e-3)


def test_weights_are_zero_where_a_band_is_missing_and_smaller_for_large_errors(store, config):
    galaxies = store.read(store.rows("train")[:4])
    galaxies.flux[0, 1] = np.nan
    galaxies.fluxerr[1] *= 100
    wavelengths = store.info.wavelengths_nm
    target = readout_targets(config, tokenize(config, galaxies, wavelengths))
    place = int(np.argsort(np.argsort([wavelengths[b] for b in galaxies.sed_bands]))[1])
    assert target.weight[0, 0, 0] > 0
    lost = {place, place + 1} - {0, len(galaxies.sed_bands)}
    assert all(target.weight[0, 0, i] == 0 for i in lost)
    galaxies.fluxerr[1] /= 100
    sharp = readout_targets(config, tokenize(config, galaxies, wavelengths))
    assert (target.weight[1] < sharp.weight[1])[..., 1:].all()


def test_without_sed_the_measured_numbers_are_learned(store, tmp_path):
    """All image bands are measured; a galaxy that is seen again is not measured again."""
    small = ModelConfig(width=16, depth=2, heads=2, crop=16, sed=False, image_encoder=8)
    config = fit_scaling(small, store, store.rows("train"))
    assert config.measured == config.image_bands
    model = FoundationModel(config)
    galaxies = store.read(np.arange(8))
    tokens = model.tokenizer(galaxies)
    target = readout_targets(config, tokens)
    torch.testing.assert_close(target.target[:, 0], tokens["MEASURED"].target[..., 0])
    again = model.tokenizer(galaxies.take(np.arange(4, 8)))
    torch.testing.assert_close(again["MEASURED"].target, tokens["MEASURED"].target[4:])
    galaxies.images["VIS"] = galaxies.images["VIS"] * 2  # other pixels under the same id are measured anew
    assert not torch.equal(model.tokenizer(galaxies)["MEASURED"].target, tokens["MEASURED"].target)
    pretrain(PretrainConfig(model=config, steps=2, batch=8), store.path, tmp_path / "run")


def test_an_encoder_can_be_left_out(store):
    config = fit_scaling(
        ModelConfig(width=16, depth=2, heads=2, crop=16, image_encoder=0), store, store.rows()
    )
    assert FoundationModel(config).images is None


def test_the_width_is_a_multiple_of_eight():
    with pytest.raises(InputError, match="image_encoder must be a multiple of 8"):
        ModelConfig(image_encoder=12)


def test_a_dropped_modality_is_as_one_that_was_never_there(store, model):
    galaxies = store.read(np.arange(6))
    tokens = model.tokenizer(galaxies, store.info.wavelengths_nm)
    dropped = embed_tokens(model, drop_modalities(tokens, ("VIS", "SED"))).images
    for band in ("Y", "J", "H"):
        galaxies.images.pop(band, None)
    absent = embed_tokens(model, model.tokenizer(galaxies, store.info.wavelengths_nm)).images
    torch.testing.assert_close(dropped, absent)
    assert not torch.allclose(embed_tokens(model, tokens).images, absent)


def test_masked_pixels_do_not_reach_the_summary(store, model):
    galaxies = store.read(np.arange(4))
    for mask in galaxies.masks.values():
        mask[:, : mask.shape[1] // 2] = True
    one = embed_tokens(model, model.tokenizer(galaxies)).images
    for image in galaxies.images.values():
        image[:, : image.shape[1] // 2] = 1e6
    torch.testing.assert_close(embed_tokens(model, model.tokenizer(galaxies)).images, one)


def test_no_images_no_summary(store, model):
    tokens = drop_modalities(model.tokenizer(store.read(np.arange(3)), store.info.wavelengths_nm), ("SED",))
    found = embed_tokens(model, tokens)
    assert found.images.isnan().all()
    size = found.images.shape[1]
    torch.testing.assert_close(found.joint[:, :size], model.images.mean.expand(3, -1))
    nothing = embed_tokens(model, drop_modalities(tokens, ()))
    assert nothing.joint.isnan().all()


def test_training_teaches_the_summary_the_photometry(store, config, tmp_path):
    """The read-out of galaxies that were trained on is better than the median."""
    settings = PretrainConfig(
        model=config, steps=60, batch=16, lr=3e-3, chain_share=0.25, random_symmetry=False, drop_modality=0.0
    )
    model = pretrain(settings, store.path, tmp_path / "run")
    tokens = model.tokenizer(store.read(store.rows("train")), store.info.wavelengths_nm)
    target = readout_targets(model.config, tokens)
    with torch.no_grad():
        found = model(tokens, read_out=tokens)[READOUT]
    assert READOUT not in model(tokens)
    error = ((found - target.target) ** 2 * target.weight).sum()
    assert error < 0.7 * (target.target**2 * target.weight).sum()
    log = (tmp_path / "run" / "log.csv").read_text().splitlines()
    assert "loss_READOUT" in log[0] and "val_READOUT" in log[0]
    again = FoundationModel.load(tmp_path / "run")
    torch.testing.assert_close(again.images.mean, model.images.mean)
    assert again.images.mean.abs().sum() > 0


def test_the_table_has_the_summary_as_a_space_and_first_in_the_vector(store, model):
    table = embed(model, store, rows=np.arange(5))
    size = table.spaces[IMAGES].shape[1]
    np.testing.assert_array_equal(table.vectors[:, :size], table.spaces[IMAGES])
    np.testing.assert_array_equal(table.vectors[:, size:], table.by_modality["SED"])
    only = embed(model, store, rows=np.arange(5), modalities=["SED"])
    assert IMAGES not in only.spaces


@pytest.mark.parametrize("accumulate", [1, 3])
def test_the_transformer_reads_its_share(store, config, tmp_path, accumulate):
    """With a share of one the losses are those of the whole batch, whatever the number of micro-batches."""
    settings = PretrainConfig(model=config, steps=3, batch=12, chain_share=0.5, precision="fp32")
    pretrain(settings, store.path, tmp_path / "one")
    pretrain(replace(settings, accumulate=accumulate), store.path, tmp_path / "other")
    one, other = (
        np.genfromtxt(tmp_path / n / "log.csv", delimiter=",", names=True) for n in ("one", "other")
    )
    for name in ("loss_VIS", "loss_SED", "loss_READOUT"):
        np.testing.assert_allclose(one[name], other[name], rtol=1e-4)
