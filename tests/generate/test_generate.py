"""Generation: it extends the sequence, the cache changes nothing, draws repeat, fluxes come back."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from euclidfm.cli import main
from euclidfm.core.errors import InputError
from euclidfm.generate import GenerateConfig, complete, generate
from euclidfm.model import FoundationModel, tokenize
from euclidfm.model.tokenizer import Tokenizer
from euclidfm.model.tokens import drop_modalities
from euclidfm.pretrain import PretrainConfig, pretrain
from euclidfm.store import GalaxyStore
from samples import COARSE_VIS, NISP, SMALL, blobs, lively, write_store

LIKELIHOOD = replace(SMALL, images=(COARSE_VIS, NISP), depth=3, objective="likelihood")


@pytest.fixture
def unscaled():
    return LIKELIHOOD


def ragged(store):
    """Galaxies with holes: no VIS, half a NISP, a missing band."""
    galaxies = store.read(np.arange(6))
    galaxies.masks["VIS"][1] = True
    for b in ("Y", "J", "H"):
        galaxies.masks[b][2, :8] = True
    galaxies.flux[3, 4:6] = np.nan
    return galaxies


def wanted_of(tokens, *names):
    return {m: ~tokens[m].valid for m in names}


WAYS = [
    {},
    {"attention": "prefix"},
    {
        "architecture": "astropt",
        "options": {"next_positions": False, "positions": "learned", "max_positions": 32},
    },
]


@pytest.mark.parametrize("how", WAYS)
@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_cached_and_uncached_agree(config, store, how, temperature):
    model = lively(replace(config, **how), std=0.1)
    tokens = tokenize(config, ragged(store))
    wanted = wanted_of(tokens, "VIS", "NISP", "SED")
    fast, slow = (complete(model, tokens, wanted, temperature=temperature, cache=c) for c in (True, False))
    for m in tokens:
        assert fast.made[m].any()
        torch.testing.assert_close(fast.tokens[m].target, slow.tokens[m].target, rtol=1e-5, atol=1e-5)
        torch.testing.assert_close(fast.scale[m], slow.scale[m], rtol=1e-5, atol=1e-5, equal_nan=True)


def test_generation_extends_the_sequence(config, store):
    """Each new token is read by those after it; given ones stay as they were."""
    model = lively(config, std=0.1)
    tokens = drop_modalities(tokenize(config, store.read(np.arange(4))), ("VIS", "NISP"))
    before = model.arrange(tokens).lengths
    done = complete(model, tokens, {"SED": ~tokens["SED"].valid})
    after = model.arrange(done.tokens).lengths
    assert torch.equal(after, before + 1 + 9)  # a begin token and nine bands
    assert done.tokens["SED"].valid.all() and not tokens["SED"].valid.any()
    for m in ("VIS", "NISP"):
        assert torch.equal(done.tokens[m].target, tokens[m].target)
    # what was generated is what the model predicts when it reads its own tokens
    with torch.no_grad():
        told = model.objective.distributions(model(done.tokens), done.tokens)["SED"].location
    torch.testing.assert_close(done.tokens["SED"].target, told, rtol=1e-4, atol=1e-5)
    # and a change of one generated band changes those after it
    changed = replace(done.tokens["SED"], features=done.tokens["SED"].features.clone())
    changed.features[:, 3] += 1.0
    with torch.no_grad():
        moved = model({**done.tokens, "SED": changed})["SED"][..., 0] != model(done.tokens)["SED"][..., 0]
    assert moved[:, 4:].all() and not moved[:, :4].any()


def test_a_galaxy_is_completed_alike_in_any_company(config, store):
    model = lively(config, std=0.1)
    galaxies = ragged(store)
    tokens = tokenize(config, galaxies)
    wanted = wanted_of(tokens, "VIS", "NISP", "SED")
    together = complete(model, tokens, wanted, temperature=1.0, seeds=range(10, 16))
    for i in range(6):
        one = tokenize(config, galaxies.take(np.array([i])))
        alone = complete(model, one, wanted_of(one, "VIS", "NISP", "SED"), temperature=1.0, seeds=[10 + i])
        for m in tokens:
            torch.testing.assert_close(
                alone.tokens[m].target[0], together.tokens[m].target[i], rtol=1e-4, atol=1e-4
            )


def test_draws_follow_seed_and_temperature(config, store):
    model = lively(config, std=0.1)
    tokens = drop_modalities(tokenize(config, store.read(np.arange(200))), ("VIS",))
    wanted = {"SED": ~tokens["SED"].valid}

    def first(**how):
        return complete(model, tokens, wanted, **how).tokens["SED"].target[:, 0, 0]

    mean, one = first(), first(temperature=1.0, seeds=range(200))
    assert torch.equal(one, first(temperature=1.0, seeds=range(200)))
    assert not torch.equal(one, first(temperature=1.0, seeds=range(1, 201)))
    cool = first(temperature=0.5, seeds=range(200))
    torch.testing.assert_close(cool - mean, 0.5 * (one - mean), rtol=1e-3, atol=1e-5)
    with pytest.raises(InputError, match="no distribution to draw from"):
        complete(lively(replace(config, objective="huber"), std=0.1), tokens, wanted, temperature=1.0)


def test_a_masked_model_generates_too(config, store):
    model = lively(replace(config, predict="masked"), std=0.1)
    tokens = tokenize(config, ragged(store))
    done = complete(model, tokens, wanted_of(tokens, "NISP"))
    assert done.tokens["NISP"].valid.all() and done.made["NISP"].sum() == 2
    assert torch.isfinite(done.tokens["NISP"].target).all()


def test_a_chain_without_begin_tokens_needs_a_start(config, store):
    model = lively(replace(config, architecture="astropt", options={"begin_tokens": False}), std=0.1)
    tokens = tokenize(config, store.read(np.arange(2)))
    nothing = drop_modalities(tokens, ())
    with pytest.raises(InputError, match="at least one token"):
        complete(model, nothing, wanted_of(nothing, "SED"))
    given = drop_modalities(tokens, ("VIS",))
    assert complete(model, given, wanted_of(given, "SED")).tokens["SED"].valid.all()


def trained(folder, steps):
    store = write_store(folder / "store", blobs(1200))
    config = PretrainConfig(
        model=replace(LIKELIHOOD, depth=2), steps=steps, batch=64, lr=5e-3, min_lr=0.01, precision="fp32",
        random_symmetry=False, validate_every=steps, checkpoint_every=steps, random_order="patches",
    )  # fmt: skip
    pretrain(config, store.path, folder / "run")
    return folder


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A model of few steps, and its store."""
    return trained(tmp_path_factory.mktemp("generate"), 5)


@pytest.fixture(scope="module")
def learned(tmp_path_factory):
    """A model that has learned blobs, and their store."""
    return trained(tmp_path_factory.mktemp("learned"), 300)


def test_the_command_writes_a_store_and_a_sheet(run, capsys):
    out = run / "out"
    argv = ["generate", str(run / "run"), str(run / "store"), "--from", "vis", "--to", "nisp", "sed"]
    argv += ["--split", "test", "--limit", "10", "--show", "3", "--out", str(out)]
    assert main(argv) == 0
    made, got = GalaxyStore.open(out / "store"), GalaxyStore.open(out / "store").read()
    assert made.info.image_bands == ("Y", "J", "H") and len(got) == 10 and (got.fluxerr > 0).all()
    assert made.info.provenance["config"]["given"] == ["vis"]
    assert (out / "sheet.png").stat().st_size > 10_000
    assert main(argv) == 2  # does not overwrite
    assert "exists already" in capsys.readouterr().err


@pytest.mark.slow
def test_what_is_generated_resembles_what_was_measured(learned):
    run, out = learned, learned / "out"
    argv = ["generate", str(run / "run"), str(run / "store"), "--from", "vis", "--to", "nisp", "sed"]
    assert main([*argv, "--split", "test", "--out", str(out)]) == 0
    made, store = GalaxyStore.open(out / "store"), GalaxyStore.open(run / "store")
    assert (out / "sheet.png").stat().st_size > 10_000
    got = made.read()
    want = store.read([store.row_of(i) for i in got.object_id])
    assert set(got.images) == {"Y", "J", "H"} and len(got) == len(store.rows("test"))
    for b in ("Y", "J", "H"):  # brightness of each infrared image follows the galaxy's
        a, c = (np.log(g.images[b][:, 4:12, 4:12].sum((1, 2)).clip(1e-3)) for g in (got, want))
        assert np.corrcoef(a, c)[0, 1] > 0.9
        assert np.isfinite(got.noise[b]).all()
    good = want.flux > 5 * want.fluxerr
    off = np.log(got.flux.clip(1e-3) / want.flux.clip(1e-3))[good]
    assert 1.4826 * np.median(np.abs(off - np.median(off))) < 0.5 * np.std(np.log(want.flux[good]))
    assert (got.fluxerr > 0).all()


@pytest.mark.slow
def test_half_a_galaxy_is_completed(learned):
    run = learned
    model, store = FoundationModel.load(run / "run"), GalaxyStore.open(run / "store")
    config = GenerateConfig(to=("VIS",), given=("vis",), hide_half=True, split="test")
    ratio, sums = [], []
    for measured, given, made in generate(model, store, config):
        assert given.masks["VIS"][:, :8].all() and not made.masks["VIS"].any()
        upper = slice(8, 16)
        np.testing.assert_allclose(
            made.images["VIS"][:, upper], measured.images["VIS"][:, upper], rtol=1e-4, atol=1e-5
        )
        lower = slice(0, 8)
        new, old = made.images["VIS"][:, lower], measured.images["VIS"][:, lower]
        ratio.append(((new - old) ** 2).mean((1, 2)) / (old**2).mean((1, 2)))
        sums.append(np.log([new.sum((1, 2)).clip(1e-3), old.sum((1, 2)).clip(1e-3)]))
    assert np.median(np.concatenate(ratio)) < 0.5
    assert np.corrcoef(np.concatenate(sums, axis=1))[0, 1] > 0.9


def test_photometry_for_a_store_without_any(run, tmp_path):
    model = FoundationModel.load(run / "run")
    galaxies = blobs(5, seed=9)
    galaxies = replace(galaxies, flux=galaxies.flux[:, :0], fluxerr=galaxies.fluxerr[:, :0], sed_bands=())
    store = write_store(tmp_path / "images", galaxies)
    ((_, _, made),) = generate(model, store, GenerateConfig(to=("SED",)))
    assert set(made.sed_bands) == set(model.config.sed_softening_ujy) and np.isfinite(made.flux).all()


@pytest.mark.parametrize(
    ("argv", "told"),
    [
        (["--to", "radio"], "no modality 'radio'"),
        (["--to", "sed", "--split", "moon"], "no galaxies in split"),
    ],
)
def test_mistakes(run, argv, told, tmp_path, capsys):
    assert main(["generate", str(run / "run"), str(run / "store"), "--out", str(tmp_path / "o"), *argv]) == 2
    err = capsys.readouterr().err
    assert told in err and len(err.strip().splitlines()) == 1


def test_scaling_that_removes_brightness(config, store):
    how = {"architecture": "astropt", "options": {"image_scaling": "zscore"}}
    model = lively(replace(config, **how), std=0.1)
    with pytest.raises(InputError, match="removes the brightness"):
        next(iter(generate(model, store, GenerateConfig(to=("NISP",)))))
    assert np.isfinite(Tokenizer(config).sed_to_ujy("VIS", np.zeros(1))).all()
