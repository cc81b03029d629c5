"""AstroPT's own model, saved, imported, and compared: outputs, losses, embeddings.

``make slow`` installs the peer and runs these tests, the one of version 1 with astropt-1-requirements.txt.
"""

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from euclidfm.cli import main
from euclidfm.interop import import_astropt
from euclidfm.model import FoundationModel
from euclidfm.model.pooling import embed_tokens
from euclidfm.model.tokens import ModalityTokens, vector_tokens
from samples import blobs, draw_weights

try:
    import astropt.model as peer
except ImportError:
    peer = None  # each test is skipped, and says how to have it

WHERE = "ASTROPT MISSING: `make slow` installs it"
needs_2 = pytest.mark.skipif(not hasattr(peer, "ModalityRegistry"), reason=f"{WHERE} (version 2)")
needs_1 = pytest.mark.skipif(peer is None or hasattr(peer, "ModalityRegistry"), reason=f"{WHERE} (version 1)")

SIZES = {"n_layer": 4, "n_head": 4, "n_embd": 64, "block_size": 64}
CLOSE = {"rtol": 1e-5, "atol": 1e-5}


def build(modalities, **args):
    """A model of the peer, livelier than a new one, and its checkpoint as its training script writes it."""
    torch.manual_seed(1)
    registry = peer.ModalityRegistry(modalities)
    args = {**SIZES, **args, "modalities": modalities}
    model = peer.GPT(peer.GPTConfig(**args), registry, master_process=False).eval()
    draw_weights(model, std=0.08)
    card = {
        "model": model.state_dict(),
        "optimizer": torch.optim.AdamW(model.parameters()).state_dict(),
        "model_args": args,
        "modality_registry": registry,
        "iter_num": 10,
        "best_val_loss": torch.tensor(0.5),
        "config": {"seed": 1},
    }
    return model, card


def modality(name, size, patch, **more):
    more = {"pos_input_size": 1, "embed_pos": True, "loss_weight": 1.0, **more}
    return peer.ModalityConfig(name=name, input_size=size, patch_size=patch, **more)


def plain(values, coords=0):
    """Tokens (B, n, P) of ours from values."""
    t = vector_tokens(values, torch.zeros(values.shape[1], coords))
    return ModalityTokens(t.features, t.target, t.weight, t.valid, t.coords)


def peers_patches(images, patch):
    """(B, C, H, W) as the peer lays patches out: row by row, bands last in a patch."""
    b, c, h, w = images.shape
    grid = images.reshape(b, c, h // patch, patch, w // patch, patch)
    return grid.permute(0, 2, 4, 3, 5, 1).reshape(b, -1, patch * patch * c)


def loss_of(model, tokens):
    sums = model.objective.loss_sums(model(tokens), model.loss_targets(tokens))
    weights = model.config.loss_weights
    return sum(weights[m] * value / count for m, (value, count) in sums.items())


@needs_2
@pytest.mark.parametrize("tokeniser", ["aim", "affine"])
@pytest.mark.parametrize("bias", [False, True])
def test_three_modalities_agree(tmp_path, tokeniser, bias):
    """VIS, NISP (three bands) and single fluxes: outputs, loss and embeddings."""
    modalities = [
        modality("VIS", 64, 8),
        modality("NISP", 192, 8, loss_weight=0.5),
        modality("sed", 1, 1, loss_weight=2.0),
    ]
    theirs, card = build(modalities, tokeniser=tokeniser, bias=bias)
    card["model"] = {f"_orig_mod.{k}": v for k, v in card["model"].items()}
    torch.save(card, tmp_path / "ckpt.pt")
    ours = import_astropt(tmp_path / "ckpt.pt", crop=32)
    assert ours.config.modalities == ("NISP", "VIS", "SED")
    assert ours.parameter_count() == sum(p.numel() for p in theirs.parameters())
    torch.manual_seed(2)
    vis, nisp, sed = torch.randn(3, 1, 32, 32), torch.randn(3, 3, 32, 32), torch.randn(3, 9, 1)
    given = {"VIS": peers_patches(vis, 8), "NISP": peers_patches(nisp, 8), "sed": sed}
    places = {f"{m}_positions": torch.arange(v.shape[1]).expand(3, -1) for m, v in given.items()}
    targets = {
        m: v[:, 1:] if m == "NISP" else v for m, v in given.items()
    }  # the first token is not predicted
    bands_first = nisp.reshape(3, 3, 4, 8, 4, 8).permute(0, 2, 4, 1, 3, 5).reshape(3, 16, 192)
    tokens = {"NISP": plain(bands_first), "VIS": plain(given["VIS"]), "SED": plain(sed)}
    with torch.no_grad():
        want, want_loss = theirs(given | places, targets)
        got, got_loss = ours(tokens), loss_of(ours, tokens)
        want_means = theirs.generate_embeddings(given | places)
    torch.testing.assert_close(got["VIS"], want["VIS"], **CLOSE)
    torch.testing.assert_close(got["SED"], want["sed"], **CLOSE)
    theirs_bands_first = want["NISP"].reshape(3, 15, 64, 3).transpose(2, 3).reshape(3, 15, 192)
    torch.testing.assert_close(got["NISP"][:, 1:], theirs_bands_first, **CLOSE)
    torch.testing.assert_close(got_loss, want_loss, **CLOSE)
    means = embed_tokens(ours, tokens).by_modality
    for there, here in (("VIS", "VIS"), ("NISP", "NISP"), ("sed", "SED")):
        torch.testing.assert_close(means[here], want_means[there], **CLOSE)


@needs_2
def test_spiral_and_scaling_are_the_peers(tmp_path):
    """Square spiral from the centre and unit variance of each patch, checked on a checkpoint of images."""
    theirs, card = build([modality("images", 256, 8)])
    torch.save(card, tmp_path / "ckpt.pt")
    run = tmp_path / "run"
    assert main(["import-astropt", str(tmp_path / "ckpt.pt"), "--out", str(run), "--crop", "32"]) == 0
    ours = FoundationModel.load(run)
    assert ours.config.images[0].bands == ("VIS", "Y", "J", "H")
    galaxies = blobs(4, size=32)
    tokens = ours.tokenizer(galaxies)
    images = torch.from_numpy(np.stack([galaxies.images[b] for b in ("VIS", "Y", "J", "H")], 1))
    patches = peers_patches(images, 8)
    spread, mean = torch.std_mean(patches, dim=2, keepdim=True)
    outwards = [9, 10, 6, 5, 4, 8, 12, 13, 14, 15, 11, 7, 3, 2, 1, 0]
    patches = ((patches - mean) / (spread + 1e-8))[:, outwards]
    with torch.no_grad():
        inputs = {"images": patches, "images_positions": torch.arange(16).expand(4, -1)}
        want = theirs.generate_embeddings(inputs)["images"]
        got = embed_tokens(ours, tokens).by_modality
    torch.testing.assert_close(got["images"], want, rtol=1e-4, atol=1e-4)


@needs_2
def test_spectra_with_projected_places(tmp_path):
    """A modality that no store holds, its places projected from wavelengths: the caller makes its tokens."""
    spectra = modality("spectra", 20, 20, embed_pos=False, pos_input_size=20)
    theirs, card = build([modality("images", 64, 8), spectra])
    torch.save(card, tmp_path / "ckpt.pt")
    ours = import_astropt(tmp_path / "ckpt.pt", crop=32)
    torch.manual_seed(3)
    images, flux, waves = torch.randn(2, 16, 64), torch.randn(2, 7, 20), torch.rand(7, 20)
    given = {"images": images, "images_positions": torch.arange(16).expand(2, -1)}
    given |= {"spectra": flux, "spectra_positions": waves.expand(2, -1, -1)}
    tokens = {"images": plain(images), "spectra": vector_tokens(flux, waves)}
    with torch.no_grad():
        want, _ = theirs(given, {"images": images[:, 1:], "spectra": flux})
        got = ours(tokens)
    torch.testing.assert_close(got["spectra"], want["spectra"], **CLOSE)
    means = embed_tokens(ours, tokens).by_modality
    torch.testing.assert_close(means["spectra"], theirs.generate_embeddings(given)["spectra"], **CLOSE)


@needs_1
def test_version_1_agrees(tmp_path):
    torch.manual_seed(1)
    args = {**SIZES, "n_chan": 3, "patch_size": 8}
    theirs = peer.GPT(peer.GPTConfig(**args), master_process=False).eval()
    draw_weights(theirs, std=0.08)
    torch.save({"model": theirs.state_dict(), "model_args": args}, tmp_path / "ckpt.pt")
    ours = import_astropt(tmp_path / "ckpt.pt", {"images": ["z", "r", "g"]}, crop=32)
    images = torch.randn(2, 3, 32, 32)
    given = peers_patches(images, 8)
    tokens = {"images": plain(images.reshape(2, 3, 4, 8, 4, 8).permute(0, 2, 4, 1, 3, 5).reshape(2, 16, 192))}
    with torch.no_grad():
        want, want_loss = theirs(given[:, :-1], given[:, 1:])
        got, got_loss = ours(tokens)["images"][:, 1:], loss_of(ours, tokens)
        want_mean = theirs.get_embeddings(given).mean(1)
    torch.testing.assert_close(got.reshape(2, 15, 3, 64).transpose(2, 3).reshape(2, 15, 192), want, **CLOSE)
    torch.testing.assert_close(got_loss, want_loss, **CLOSE)
    torch.testing.assert_close(embed_tokens(ours, tokens).by_modality["images"], want_mean, **CLOSE)
    torch.testing.assert_close(want_loss, F.huber_loss(want, given[:, 1:]))
