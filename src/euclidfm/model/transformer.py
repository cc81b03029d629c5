"""The transformer: pre-norm blocks of attention and a feed-forward layer.

Nothing here knows of galaxies, files or devices. Shapes: B batch, T tokens, D width, H heads.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from euclidfm.model.packing import Packing

__all__ = ["Block", "BlockStyle", "KeyValueCache", "Transformer", "attention", "rotate"]

LONGEST_WRITTEN_OUT = 1024
"""Positions; beyond, the T x T weights of each head take more memory than they save time."""
MLP_RATIO = 4.0
"""Width of the feed-forward layer over D. Other ratios were never measured."""


@dataclass(frozen=True)
class BlockStyle:
    """What a block is made of. The defaults are ours; imported architectures have others."""

    norm: Literal["rms", "layer"] = "rms"
    """RMSNorm (Zhang & Sennrich 2019) or LayerNorm (Ba et al. 2016)."""
    norm_eps: float = 1e-6
    """Added to the variance."""
    qk_norm: bool = True
    """Normalise queries and keys of each head (Henry et al. 2020)."""
    feed_forward: Literal["gelu", "gelu_tanh", "swiglu"] = "gelu"
    """Exact GELU, its tanh form (Hendrycks & Gimpel 2016), or SwiGLU (Shazeer 2020)."""
    bias: bool = False
    """Biases in the linear layers and LayerNorms."""
    mlp_ratio: float = MLP_RATIO

    def make_norm(self, width: int) -> nn.Module:
        """Make a norm over the last axis."""
        if self.norm == "layer":
            return nn.LayerNorm(width, eps=self.norm_eps, bias=self.bias)
        return nn.RMSNorm(width, eps=self.norm_eps)


def attention(q: Tensor, k: Tensor, v: Tensor, attn_mask: Tensor | None) -> Tensor:
    """Scaled dot-product attention, (B, H, T, D/H) all; causal unless `attn_mask` (B, 1, T, T) is given.

    It calls torch's fused kernel, but for bf16 on a CPU. There the kernel takes most of a training step of a
    small model, and matrix products with a softmax take a fifth of its time at 65 positions, 70% at 600
    (``benchmarks/attention.py``). In float32 the fused kernel is about as fast or faster.
    """
    if q.device.type == "cpu" and q.dtype == torch.bfloat16 and q.shape[2] <= LONGEST_WRITTEN_OUT:
        return written_out_attention(q, k, v, attn_mask)
    if attn_mask is not None:
        return F.scaled_dot_product_attention(q, k, v, attn_mask=attn_mask)
    return F.scaled_dot_product_attention(q, k, v, is_causal=True)


def written_out_attention(q: Tensor, k: Tensor, v: Tensor, attn_mask: Tensor | None) -> Tensor:
    """Do the same with matrix products, and the attention weights in memory."""
    b, h, t, d = q.shape
    if attn_mask is None:
        bias = torch.full((t, t), -torch.inf, dtype=q.dtype, device=q.device).triu(1)
    else:
        bias = torch.zeros(attn_mask.shape, dtype=q.dtype, device=q.device)
        bias = bias.masked_fill_(~attn_mask, -torch.inf)
    heads = [a.reshape(b * h, t, d) for a in (q * d**-0.5, k, v)]
    scores = torch.bmm(heads[0], heads[1].transpose(1, 2)).view(b, h, t, t)
    weights = scores.add_(bias).softmax(-1).view(b * h, t, t)
    return torch.bmm(weights, heads[2]).view(b, h, t, d)


def rotate(x: Tensor, angles: Tensor) -> Tensor:
    """Rotate pairs of numbers of each head, (..., H, D/H), by the angles of a position.

    The pairs are i and i + D/2H; `angles` (..., 2, D/2H) holds the cosines, then the sines (rotary positions,
    Su et al. 2021, arXiv:2104.09864). The product of a query and a key then depends on the positions only by
    the difference of their angles.
    """
    cos, sin = angles[..., None, 0, :], angles[..., None, 1, :]
    a, b = x.float().chunk(2, dim=-1)
    return torch.cat([a * cos - b * sin, a * sin + b * cos], dim=-1)


class KeyValueCache:
    """Keys and values of the positions that a causal transformer has read, one pair a block."""

    def __init__(self) -> None:
        self._pairs: dict[Block, tuple[Tensor, Tensor]] = {}

    def extend(self, block: Block, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
        """All keys and values of a block, the given new ones (B, H, T, D/H) last."""
        if block in self._pairs:
            before_k, before_v = self._pairs[block]
            k, v = torch.cat([before_k, k], dim=2), torch.cat([before_v, v], dim=2)
        self._pairs[block] = k, v
        return k, v


class Block(nn.Module):
    """Attention and a feed-forward layer, each behind a norm, each added to the residual stream."""

    def __init__(self, width: int, heads: int, style: BlockStyle) -> None:
        super().__init__()
        self.heads, self.feed_forward = heads, style.feed_forward
        hidden = int(width * style.mlp_ratio)
        gates = 2 if style.feed_forward == "swiglu" else 1
        self.norm_attention = style.make_norm(width)
        self.qkv = nn.Linear(width, 3 * width, bias=style.bias)
        self.norm_q = style.make_norm(width // heads) if style.qk_norm else nn.Identity()
        self.norm_k = style.make_norm(width // heads) if style.qk_norm else nn.Identity()
        self.out = nn.Linear(width, width, bias=style.bias)
        self.norm_mlp = style.make_norm(width)
        self.up = nn.Linear(width, gates * hidden, bias=style.bias)
        self.down = nn.Linear(hidden, width, bias=style.bias)

    def forward(
        self,
        x: Tensor,
        attn_mask: Tensor | None = None,
        cache: KeyValueCache | None = None,
        angles: Tensor | None = None,
        packing: Packing | None = None,
    ) -> Tensor:
        """(B, T, D) to (B, T, D); causal, or masked by `attn_mask` (B, 1, T, T).

        With a cache, x holds the positions after those in the cache; several at once only at the start. With
        `angles` (B, T, 2, D/2H) queries and keys are rotated. With a packing x is (N, D), `angles` is
        (N, 2, D/2H), and the packing holds the attention mask.
        """
        q, k, v = self.queries_keys_values(x, angles)
        if packing is not None:
            return self.output(x, packing.attend(q, k, v, attention))
        q, k, v = (a.transpose(1, 2) for a in (q, k, v))
        if cache is not None:
            k, v = cache.extend(self, k, v)
        if k.shape[2] > x.shape[1]:  # one new position attends to all before it
            mixed = F.scaled_dot_product_attention(q, k, v, attn_mask=attn_mask)
        else:
            mixed = attention(q, k, v, attn_mask)
        return self.output(x, mixed.transpose(1, 2))

    def queries_keys_values(self, x: Tensor, angles: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
        """Queries, keys and values, (..., H, D/H) each, of tokens (..., D)."""
        qkv = self.qkv(self.norm_attention(x)).view(*x.shape[:-1], 3, self.heads, x.shape[-1] // self.heads)
        q, k, v = qkv.unbind(-3)
        if q.dtype.itemsize < 4:  # under autocast: norms have their weights, and a fused kernel, in float32
            q, k = q.float(), k.float()
        q, k = self.norm_q(q), self.norm_k(k)
        if angles is not None:
            q, k = rotate(q, angles), rotate(k, angles)
        return q.to(v.dtype), k.to(v.dtype), v

    def output(self, x: Tensor, mixed: Tensor) -> Tensor:
        """Residual stream (..., D) after the attended values (..., H, D/H) and the feed-forward layer."""
        x = x + self.out(mixed.reshape(x.shape))
        return x + self.down(self.activate(self.up(self.norm_mlp(x))))

    def activate(self, x: Tensor) -> Tensor:
        """Activation of the feed-forward layer."""
        if self.feed_forward == "swiglu":
            gate, value = x.chunk(2, dim=-1)
            return F.silu(gate) * value
        return F.gelu(x, approximate="tanh" if self.feed_forward == "gelu_tanh" else "none")


class Transformer(nn.Module):
    """A stack of blocks and a last norm."""

    def __init__(self, width: int, depth: int, heads: int, style: BlockStyle | None = None) -> None:
        super().__init__()
        style = style or BlockStyle()
        blocks = [Block(width, heads, style) for _ in range(depth)]
        self.blocks = nn.ModuleList(blocks)
        self.norm = style.make_norm(width)
        self.apply(_init_weights)
        for block in blocks:  # the variance of the stream does not grow with depth
            for layer in (block.out, block.down):
                nn.init.normal_(layer.weight, std=0.02 / (2 * depth) ** 0.5)

    def forward(
        self,
        x: Tensor,
        attn_mask: Tensor | None = None,
        cache: KeyValueCache | None = None,
        angles: Tensor | None = None,
        packing: Packing | None = None,
        blocks: Iterable[nn.Module] | None = None,
        norm: bool = True,
    ) -> Tensor:
        """(B, T, D) to (B, T, D) through all blocks, or the given ones, and the last norm; see `Block`.

        With a packing the result is zero where there is no token.
        """
        if packing is not None:
            x, angles = packing.pack(x), None if angles is None else packing.pack(angles)
        for block in self.blocks if blocks is None else blocks:
            x = block(x, attn_mask, cache, angles, packing)
        x = self.norm(x) if norm else x
        return x if packing is None else packing.unpack(x)


def _init_weights(module: nn.Module) -> None:
    if isinstance(module, nn.Linear):
        nn.init.normal_(module.weight, std=0.02)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
