"""The transformer: pre-norm blocks of attention and a feed-forward layer; the choices are `BlockConfig`'s.

Nothing here knows of galaxies, files or devices. Shapes: B batch, T tokens, D width, H heads.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from euclidfm.model.attention import attention
from euclidfm.model.options import BlockConfig
from euclidfm.model.packing import Packing

__all__ = ["Block", "Cache", "Transformer", "rotate"]


def rotate(x: Tensor, turn: Tensor) -> Tensor:
    """Rotate pairs of numbers of each head, (..., H, D/H), by the angles of a place.

    The pairs are i and i + D/2H; `turn` (..., 2, D/2H) holds the cosines, then the sines (rotary positions,
    Su et al. 2021, arXiv:2104.09864). The product of a query and a key then depends on where they are only
    by the difference of their angles.
    """
    cos, sin = turn[..., None, 0, :], turn[..., None, 1, :]
    a, b = x.float().chunk(2, dim=-1)
    return torch.cat([a * cos - b * sin, a * sin + b * cos], dim=-1)


class Cache:
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
    """Attention and feed-forward, each behind a norm, each added to the stream."""

    def __init__(self, width: int, heads: int, mlp_ratio: float, config: BlockConfig) -> None:
        super().__init__()
        self.heads = heads
        self.feed_forward = config.feed_forward
        hidden = int(width * mlp_ratio)
        gates = 2 if config.feed_forward == "swiglu" else 1
        self.norm_attention = _norm(width, config)
        self.qkv = nn.Linear(width, 3 * width, bias=config.bias)
        self.norm_q = _norm(width // heads, config) if config.qk_norm else nn.Identity()
        self.norm_k = _norm(width // heads, config) if config.qk_norm else nn.Identity()
        self.out = nn.Linear(width, width, bias=config.bias)
        self.norm_mlp = _norm(width, config)
        self.up = nn.Linear(width, gates * hidden, bias=config.bias)
        self.down = nn.Linear(hidden, width, bias=config.bias)

    def forward(
        self,
        x: Tensor,
        seen: Tensor | None = None,
        cache: Cache | None = None,
        turn: Tensor | None = None,
        packing: Packing | None = None,
    ) -> Tensor:
        """(B, T, D) to (B, T, D); causal, or as `seen` (B, 1, T, T) says.

        With a cache, x holds the positions after those that the cache has; several at once only at
        the start. With `turn` (B, T, 2, D/2H) queries and keys are rotated by their places. With a
        packing x is (N, D), `turn` (N, 2, D/2H), and the packing knows what is seen.
        """
        q, k, v = self.ask(x, turn)
        if packing is not None:
            return self.answer(x, packing.attend(q, k, v, attention))
        q, k, v = (a.transpose(1, 2) for a in (q, k, v))
        if cache is not None:
            k, v = cache.extend(self, k, v)
        if k.shape[2] > x.shape[1]:  # one new position sees all before it
            mixed = F.scaled_dot_product_attention(q, k, v, attn_mask=seen)
        else:
            mixed = attention(q, k, v, seen)
        return self.answer(x, mixed.transpose(1, 2))

    def ask(self, x: Tensor, turn: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
        """Queries, keys and values, (..., H, D/H) each, of tokens (..., D)."""
        qkv = self.qkv(self.norm_attention(x)).view(*x.shape[:-1], 3, self.heads, x.shape[-1] // self.heads)
        q, k, v = qkv.unbind(-3)
        if q.dtype.itemsize < 4:  # under autocast: norms have their weights, and a fused kernel, in float32
            q, k = q.float(), k.float()
        q, k = self.norm_q(q), self.norm_k(k)
        if turn is not None:
            q, k = rotate(q, turn), rotate(k, turn)
        return q.to(v.dtype), k.to(v.dtype), v

    def answer(self, x: Tensor, mixed: Tensor) -> Tensor:
        """The stream (..., D) after what the heads saw, (..., H, D/H), and the feed-forward layer."""
        x = x + self.out(mixed.reshape(x.shape))
        return x + self.down(self.activate(self.up(self.norm_mlp(x))))

    def activate(self, x: Tensor) -> Tensor:
        """What the feed-forward layer does between its two linear ones."""
        if self.feed_forward == "swiglu":
            gate, value = x.chunk(2, dim=-1)
            return F.silu(gate) * value
        return F.gelu(x, approximate="tanh" if self.feed_forward == "gelu_tanh" else "none")


class Transformer(nn.Module):
    """A stack of blocks and a last norm."""

    def __init__(
        self, width: int, depth: int, heads: int, mlp_ratio: float = 4.0, config: BlockConfig | None = None
    ) -> None:
        super().__init__()
        config = config or BlockConfig()
        blocks = [Block(width, heads, mlp_ratio, config) for _ in range(depth)]
        self.blocks = nn.ModuleList(blocks)
        self.norm = _norm(width, config)
        self.apply(_init_weights)
        for block in blocks:  # the stream's variance stays put at any depth
            for layer in (block.out, block.down):
                nn.init.normal_(layer.weight, std=0.02 / (2 * depth) ** 0.5)

    def forward(
        self,
        x: Tensor,
        seen: Tensor | None = None,
        cache: Cache | None = None,
        turn: Tensor | None = None,
        packing: Packing | None = None,
    ) -> Tensor:
        """(B, T, D) to (B, T, D), see `Block`; with a packing zeros where there is no token."""
        if packing is not None:
            x, turn = packing.pack(x), None if turn is None else packing.pack(turn)
        for block in self.blocks:
            x = block(x, seen, cache, turn, packing)
        x = self.norm(x)
        return x if packing is None else packing.unpack(x)


def _norm(width: int, config: BlockConfig) -> nn.Module:
    if config.norm == "layer":
        return nn.LayerNorm(width, eps=config.norm_eps, bias=config.bias)
    return nn.RMSNorm(width, eps=config.norm_eps)


def _init_weights(module: nn.Module) -> None:
    if isinstance(module, nn.Linear):
        nn.init.normal_(module.weight, std=0.02)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
