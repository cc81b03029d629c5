"""Checkpoints made by hand: what is read, what is refused. The peer itself is in test_parity.py."""

import sys
import types

import pytest
import torch

from euclidfm.cli import main
from euclidfm.core.errors import InputError
from euclidfm.interop import import_astropt

ARGS = {"n_layer": 2, "n_head": 2, "n_embd": 8, "block_size": 20}


def weights(names_and_sizes, d=8, layers=2):
    torch.manual_seed(0)
    out = {"transformer.ln_f.weight": torch.ones(d)}
    for i in range(layers):
        h = f"transformer.h.{i}."
        out |= {h + "ln_1.weight": torch.ones(d), h + "ln_2.weight": torch.ones(d)}
        out |= {h + "attn.c_attn.weight": torch.randn(3 * d, d), h + "attn.c_proj.weight": torch.randn(d, d)}
        out |= {h + "mlp.c_fc.weight": torch.randn(4 * d, d), h + "mlp.c_proj.weight": torch.randn(d, 4 * d)}
    for name, size in names_and_sizes.items():
        out[f"transformer.wte.{name}.c_fc.weight"] = torch.randn(4 * d, size)
        out[f"transformer.wte.{name}.c_proj.weight"] = torch.randn(d, 4 * d)
        out[f"transformer.wpe.{name}.wpe.weight"] = torch.randn(20, d)
        out[f"lm_head.{name}.c_fc.weight"] = torch.randn(4 * d, d)
        out[f"lm_head.{name}.c_proj.weight"] = torch.randn(size, 4 * d)
    return out


class Anything:
    """An object of a class that a checkpoint may bring."""


@pytest.fixture
def saved(tmp_path, monkeypatch):
    """Write a version 2 checkpoint; its classes have the peer's names, and vanish before reading."""

    def write(sizes, patches, args=None, state=None, **more):
        module = types.ModuleType("astropt.model")
        for name in ("ModalityConfig", "ModalityRegistry", "GPTConfig"):
            made = type(name, (), {"__module__": "astropt.model"})
            setattr(module, name, made)
        registry = module.ModalityRegistry()
        registry.modalities = {}
        for name, size in sizes.items():
            m = registry.modalities[name] = module.ModalityConfig()
            m.__dict__ |= {"name": name, "input_size": size, "patch_size": patches[name]}
            m.__dict__ |= {"embed_pos": True, "pos_input_size": 1, "loss_weight": 1.0}
        card = {"model": state or weights(sizes), "model_args": args or ARGS, "modality_registry": registry}
        with monkeypatch.context() as patch:
            patch.setitem(sys.modules, "astropt", types.ModuleType("astropt"))
            patch.setitem(sys.modules, "astropt.model", module)
            torch.save(card | more, tmp_path / "ckpt.pt")
        return tmp_path / "ckpt.pt"

    return write


def test_a_registry_is_read_through_stand_ins(saved):
    path = saved(
        {"VIS": 16, "NISP": 48, "sed": 1, "spectra": 10}, {"VIS": 4, "NISP": 4, "sed": 1, "spectra": 10}
    )
    model = import_astropt(path, crop=16)
    assert model.config.modalities == ("NISP", "VIS", "SED", "spectra")
    assert [m.bands for m in model.config.images] == [("Y", "J", "H"), ("VIS",)]
    assert model.config.vectors[0].size == 10 and model.config.options["max_positions"] == 20
    assert model.config.layer == 2 and model.config.loss_weights["SED"] == 0.25


def test_bands_must_be_known(saved):
    path = saved({"images": 48}, {"images": 4})
    with pytest.raises(InputError, match=r"3 channels and the file does not say which: .*--bands"):
        import_astropt(path, crop=16)
    model = import_astropt(path, {"images": ["g", "r", "z"]}, crop=16, spiral=False)
    assert model.config.images[0].bands == ("g", "r", "z") and model.config.options["patch_order"] == "raster"


def test_what_we_do_not_know_is_refused(saved, tmp_path):
    sizes, patches = {"images": 16}, {"images": 4}
    for args, told in (
        ({"lora_r": 8}, "lora_r = 8"),
        ({"attn_type": "prefix"}, "attn_type"),
        ({"tokeniser": "jetformer"}, "tokeniser 'jetformer'"),
    ):
        with pytest.raises(InputError, match=told):
            import_astropt(saved(sizes, patches, args=ARGS | args), crop=16)
    with pytest.raises(InputError, match=r"weight 'transformer\.rotary'"):
        import_astropt(
            saved(sizes, patches, state=weights(sizes) | {"transformer.rotary": torch.ones(1)}), crop=16
        )
    state = weights(sizes)
    state["transformer.h.1.ln_1.weight"] = torch.ones(9)
    with pytest.raises(InputError, match="do not fit"):
        import_astropt(saved(sizes, patches, state=state), crop=16)
    torch.save({"model": {"a": torch.ones(1)}}, tmp_path / "other.pt")
    with pytest.raises(InputError, match="not a checkpoint of AstroPT"):
        import_astropt(tmp_path / "other.pt")
    with pytest.raises(InputError, match="modality_registry"):
        torch.save({"model": weights(sizes), "model_args": ARGS}, tmp_path / "bare.pt")
        import_astropt(tmp_path / "bare.pt")


def test_other_objects_are_not_unpickled(saved, tmp_path, capsys):
    """One sentence, exit code 2, no run folder; the object's class is never looked up."""
    path = saved({"images": 16}, {"images": 4}, extra=Anything())
    assert main(["import-astropt", str(path), "--out", str(tmp_path / "run")]) == 2
    err = capsys.readouterr().err
    assert "Anything" in err and "refused" in err and len(err.strip().splitlines()) == 1
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("content", [b"", b"hello", b"PK\x03\x04 damaged"])
def test_files_that_are_no_checkpoints(tmp_path, content, capsys):
    path = tmp_path / "x.pt"
    path.write_bytes(content)
    assert main(["import-astropt", str(path), "--out", str(tmp_path / "run")]) == 2
    assert main(["import-astropt", str(tmp_path / "none.pt"), "--out", str(tmp_path / "run")]) == 2
    err = capsys.readouterr().err.strip().splitlines()
    assert len(err) == 2 and "does not exist" in err[1]
