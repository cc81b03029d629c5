"""Attention by the way that is fastest for the device, the number format and the length; chosen here alone.

Shapes: B batch, H heads, T positions, D width.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

__all__ = ["attention"]

LONGEST_WRITTEN = 1024
"""Positions; beyond, the T x T weights of each head take more memory than they save time."""


def attention(q: Tensor, k: Tensor, v: Tensor, seen: Tensor | None) -> Tensor:
    """Each position's mixture of the values that it sees, (B, H, T, D/H) all.

    Causal, or as `seen` (B, 1, T, T) says. A fused kernel, but for bf16 on a CPU: there torch's spends most
    of a training step of a small model, and matrix products with a softmax take a fifth of its time at 65
    positions, 70% at 600 (``benchmarks/attention.py``). In float32 the fused one is about as fast or faster.
    """
    if q.device.type == "cpu" and q.dtype == torch.bfloat16 and q.shape[2] <= LONGEST_WRITTEN:
        return written_out(q, k, v, seen)
    if seen is not None:
        return F.scaled_dot_product_attention(q, k, v, attn_mask=seen)
    return F.scaled_dot_product_attention(q, k, v, is_causal=True)


def written_out(q: Tensor, k: Tensor, v: Tensor, seen: Tensor | None) -> Tensor:
    """The same in matrix products, the weights in memory."""
    b, h, t, d = q.shape
    if seen is None:
        hide = torch.full((t, t), -torch.inf, dtype=q.dtype, device=q.device).triu(1)
    else:
        hide = torch.zeros(seen.shape, dtype=q.dtype, device=q.device).masked_fill_(~seen, -torch.inf)
    heads = [a.reshape(b * h, t, d) for a in (q * d**-0.5, k, v)]
    scores = torch.bmm(heads[0], heads[1].transpose(1, 2)).view(b, h, t, t)
    weights = scores.add_(hide).softmax(-1).view(b * h, t, t)
    return torch.bmm(weights, heads[2]).view(b, h, t, d)
