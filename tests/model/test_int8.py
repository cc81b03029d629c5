"""Linear layers in 8-bit integers: close to what they were, each token alone."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from euclidfm.core.errors import InputError
from euclidfm.embeddings import embed
from euclidfm.model import BlockConfig, FoundationModel, ModelConfig, int8
from euclidfm.model.config import fit_scaling
from euclidfm.model.int8 import DownOfGelu, Int8Linear, in_int8
from euclidfm.model.precision import cpu_flags

units = pytest.mark.skipif(
    not int8.UNITS & cpu_flags(), reason="this CPU has no units for products of bytes (VNNI or AMX)"
)


@units
@settings(deadline=None, max_examples=30)
@given(
    inputs=st.integers(1, 70),
    outputs=st.integers(1, 40),
    scale=st.sampled_from([1e-6, 1.0, 1e6]),
    seed=st.integers(0, 99),
    bias=st.booleans(),
)
def test_error_is_that_of_rounding(inputs, outputs, scale, seed, bias):
    """Each factor is off by at most half a step, 1/254 of the largest of its row."""
    torch.manual_seed(seed)
    layer = torch.nn.Linear(inputs, outputs, bias=bias)
    x = torch.randn(2, 5, inputs) * scale
    with torch.no_grad():
        off = (Int8Linear(layer, torch.float32)(x) - layer(x)).abs()
    w = layer.weight.detach()
    step_x, step_w = x.abs().amax(-1, keepdim=True) / 254, w.abs().amax(1) / 254
    bound = step_x * w.abs().sum(1) + step_w * x.abs().sum(-1, keepdim=True) + inputs * step_x * step_w
    assert (off <= 1.01 * bound + 1e-5 * (1 + scale)).all()


@units
def test_a_token_does_not_depend_on_its_company():
    torch.manual_seed(0)
    product = Int8Linear(torch.nn.Linear(64, 32), torch.float32)
    x = torch.randn(7, 64)
    x[3] *= 1e4
    together = product(x)
    assert torch.equal(together, torch.cat([product(row[None]) for row in x]))
    assert product(torch.zeros(1, 64)).isfinite().all()


@units
@pytest.mark.parametrize("kind", ["gelu", "gelu_tanh"])
@pytest.mark.parametrize("shift", [-2.0, 0.0, 5.0])
def test_gelu_and_the_layer_after_it(kind, shift):
    """As the two one after the other; where GELU is small everywhere, steps are those of 0.17."""
    torch.manual_seed(0)
    layer, x = torch.nn.Linear(64, 32), torch.randn(9, 64) + shift
    active = torch.nn.functional.gelu(x, approximate="tanh" if kind == "gelu_tanh" else "none")
    with torch.no_grad():
        off = (DownOfGelu(layer, torch.float32, kind)(x) - layer(active)).abs()
    step_x = active.abs().amax(-1, keepdim=True).clamp(min=0.17) / 254
    step_w = layer.weight.abs().amax(1) / 254
    assert (off <= 1.02 * (step_x * layer.weight.abs().sum(1) + step_w * active.abs().sum(-1)[:, None])).all()


@units
@pytest.mark.slow  # compiles
@pytest.mark.filterwarnings("default")
@pytest.mark.parametrize("block", [{"feed_forward": "swiglu"}, {"feed_forward": "gelu_tanh", "bias": True}])
def test_models_of_other_blocks(block, sed_store):
    config = ModelConfig(images=(), width=64, depth=10, heads=2, blocks=BlockConfig(**block))
    model = FoundationModel(fit_scaling(config, sed_store, sed_store.rows("train"))).eval()
    exact, low = (embed(model, sed_store, precision=p).vectors for p in ("fp32", "int8"))
    assert 0 < (low - exact).std() < 0.02 * exact.std()


def test_cpus_without_units_are_refused(monkeypatch):
    monkeypatch.setattr(int8, "cpu_flags", lambda: {"avx2"})
    with pytest.raises(InputError, match=r"needs a CPU with units .*use auto"):
        in_int8(FoundationModel(ModelConfig(images=(), width=32, depth=1, heads=2)))
