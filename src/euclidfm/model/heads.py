"""Small networks between tokens and the stream: readers and predictors (`TokenConfig` names them)."""

from __future__ import annotations

from torch import nn

__all__ = ["predictor", "reader"]


def reader(kind: str, features: int, width: int, bias: bool = True) -> nn.Module:
    """From a token's features to the stream."""
    if kind == "mlp":
        return nn.Sequential(
            nn.Linear(features, width, bias=bias), nn.GELU(), nn.Linear(width, width, bias=bias)
        )
    if kind == "aim":
        wide = 4 * width
        return nn.Sequential(
            nn.Linear(features, wide, bias=bias), nn.GELU("tanh"), nn.Linear(wide, width, bias=bias)
        )
    if kind == "relu":
        layers = (nn.Linear(features, width, bias=bias), nn.Linear(width, width, bias=bias))
        return nn.Sequential(layers[0], nn.ReLU(), layers[1], nn.ReLU())
    return nn.Linear(features, width, bias=bias)


def predictor(kind: str, width: int, values: int, bias: bool = True) -> nn.Module:
    """From the stream to numbers of a token."""
    if kind == "aim":
        wide = 4 * width
        return nn.Sequential(
            nn.Linear(width, wide, bias=bias), nn.GELU("tanh"), nn.Linear(wide, values, bias=bias)
        )
    if kind == "relu":
        first, second = nn.Linear(width, 2 * width, bias=bias), nn.Linear(2 * width, width, bias=bias)
        return nn.Sequential(first, nn.ReLU(), second, nn.ReLU(), nn.Linear(width, values, bias=bias))
    return nn.Linear(width, values, bias=bias)
