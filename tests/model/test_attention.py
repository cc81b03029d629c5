"""The attention of each device and number format says the same."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from euclidfm.model import transformer as module
from euclidfm.model.transformer import attention, written_out_attention


def _heads(b, h, t, d, seed):
    torch.manual_seed(seed)
    return [torch.randn(b, t, h, d).transpose(1, 2) for _ in range(3)]  # as the model lays them out


@settings(deadline=None, max_examples=40)
@given(
    b=st.integers(1, 3), h=st.integers(1, 3), t=st.integers(1, 40), d=st.sampled_from([4, 16]),
    first=st.integers(0, 40) | st.none(), seed=st.integers(0, 99),
)  # fmt: skip
def test_written_out_attention_is_attention(b, h, t, d, first, seed):
    q, k, v = _heads(b, h, t, d, seed)
    seen = None
    if first is not None:  # a prefix that is seen both ways
        place = torch.arange(t)
        seen = ((place[:, None] >= place) | (place < first)).expand(b, 1, t, t)
    want = F.scaled_dot_product_attention(q, k, v, attn_mask=seen, is_causal=seen is None)
    torch.testing.assert_close(written_out_attention(q, k, v, seen), want, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("t", [1, 65, 140])
def test_bf16_and_its_gradients_are_near_those_of_float32(t):
    """Off by rounding alone: bf16 keeps 8 bits, 0.4%."""
    exact = [a.requires_grad_() for a in _heads(2, 4, t, 32, 0)]
    low = [a.detach().bfloat16().requires_grad_() for a in exact]
    outs = [attention(*a, None) for a in (exact, low)]
    outs[0].sum().backward()
    outs[1].float().sum().backward()
    assert outs[1].dtype == torch.bfloat16
    for want, got in zip([outs[0], *(a.grad for a in exact)], [outs[1], *(a.grad for a in low)], strict=True):
        assert (want - got.float()).norm() <= 0.02 * max(want.norm(), 1.0)


def test_long_chains_keep_the_fused_kernel(monkeypatch):
    """The weights of T positions are T^2 numbers a head."""
    monkeypatch.setattr(module, "written_out_attention", None)
    q, k, v = (a.bfloat16() for a in _heads(1, 1, module.LONGEST_WRITTEN_OUT + 1, 8, 0))
    assert attention(q, k, v, None).shape == q.shape
