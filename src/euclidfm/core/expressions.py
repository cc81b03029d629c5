"""Selection expressions: ``vis_det == 1 and (mag_vis < 20.5 or segmentation_area > 1200)``.

A small part of Python's grammar on columns: comparisons, ``and``, ``or``, ``not``, ``in``,
arithmetic, numbers, text, and the functions of `FUNCTIONS`.

An unknown value (NaN, empty text) passes no cut, whatever the operator: comparisons with it are neither
true nor false, in the three-valued logic of Kleene (1938, J. Symb. Logic 3, 150). ``isnan(z)`` and
``kind == ''`` ask for unknown values.
"""

from __future__ import annotations

import ast
import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import reduce
from typing import Any

import numpy as np

from euclidfm.core.errors import InputError

__all__ = ["FUNCTIONS", "evaluate", "names_in"]

FUNCTIONS: dict[str, Callable[[Any], Any]] = {
    "abs": np.abs,
    "isfinite": np.isfinite,
    "isnan": np.isnan,
    "log10": np.log10,
    "sqrt": np.sqrt,
}
_ARITHMETIC: dict[type, Callable[[Any, Any], Any]] = {
    ast.Add: np.add,
    ast.Sub: np.subtract,
    ast.Mult: np.multiply,
    ast.Div: np.true_divide,
    ast.Mod: np.mod,
    ast.Pow: lambda x, y: np.power(np.asarray(x, float), np.asarray(y, float)),
}
_COMPARISONS: dict[type, Callable[[Any, Any], Any]] = {
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
}
MAX_LENGTH = 20_000
"""Characters of the longest expression."""

UNKNOWN = 0.5
"""Truth between false (0) and true (1)."""


@dataclass(frozen=True)
class _Truth:
    """Truth of each row: 0, `UNKNOWN` or 1."""

    of: np.ndarray


def _parse(text: str) -> ast.expr:
    if len(text) > MAX_LENGTH:
        msg = f"a selection of {len(text)} characters is too long; at most {MAX_LENGTH} are read"
        raise InputError(msg)
    try:
        return ast.parse(text.strip(), mode="eval").body
    except (RecursionError, MemoryError):
        msg = f"selection {text[:60]!r}... is nested too deeply; write it shorter"
        raise InputError(msg) from None
    except (SyntaxError, ValueError) as e:
        why = getattr(e, "msg", str(e))
        msg = f"selection {text!r} can't be read ({why}); write it like 'mag_vis < 24.5 and vis_det == 1'"
        raise InputError(msg) from None


def names_in(text: str) -> tuple[str, ...]:
    """Columns that an expression needs, in order of appearance.

    Raises
    ------
    InputError
        If the expression can't be read, or calls what is not allowed.
    """
    nodes = list(ast.walk(_parse(text)))
    calls = [n.func for n in nodes if isinstance(n, ast.Call)]
    for f in calls:
        if not (isinstance(f, ast.Name) and f.id in FUNCTIONS):
            raise _refusal(f, text)
    found = [n for n in nodes if isinstance(n, ast.Name) and n not in calls]
    return tuple(dict.fromkeys(n.id for n in sorted(found, key=lambda n: (n.lineno, n.col_offset))))


def _refusal(node: ast.AST, text: str) -> InputError:
    used, functions = ast.unparse(node), ", ".join(FUNCTIONS)
    return InputError(
        f"selection {text!r} uses {used!r}, which is not allowed; "
        f"use columns, numbers, comparisons, and, or, not, in, {functions}"
    )


def evaluate(text: str, columns: Mapping[str, np.ndarray]) -> np.ndarray:
    """Rows for which an expression holds.

    Parameters
    ----------
    text : str
    columns : mapping of str to (N,) arrays

    Returns
    -------
    (N,) array of bool

    Raises
    ------
    InputError
        If the expression can't be read or names an unknown column.
    """
    rows = len(next(iter(columns.values()))) if columns else 0
    try:
        with np.errstate(all="ignore"):
            truth = _truth(_value(_parse(text), columns, text))
    except RecursionError:
        msg = f"selection {text[:60]!r}... is nested too deeply; write it shorter"
        raise InputError(msg) from None
    return np.broadcast_to(truth.of == 1.0, (rows,)).copy()


def _truth(value: Any) -> _Truth:
    """A value as truth: numbers are true where they are known and not 0."""
    if isinstance(value, _Truth):
        return value
    array = np.asarray(value)
    if array.dtype.kind in "OUS":
        return _Truth(np.where(_unknown(array), UNKNOWN, 1.0))
    return _Truth(np.where(_unknown(array), UNKNOWN, (array != 0).astype(float)))


def _number(value: Any, node: ast.expr, text: str) -> Any:
    """A value to calculate with; text is refused."""
    if isinstance(value, _Truth):
        return np.where(value.of == UNKNOWN, np.nan, value.of)
    if np.asarray(value).dtype.kind in "OUS":
        used = ast.unparse(node)
        msg = f"selection {text!r} calculates with {used!r}, which is text; use a column of numbers"
        raise InputError(msg)
    return value


def _unknown(value: Any) -> np.ndarray:
    """Where a value is NaN, or empty text."""
    array = np.asarray(value)
    if array.dtype.kind == "f":
        return np.isnan(array)
    if array.dtype.kind in "OUS":
        return np.asarray(np.equal(array.astype(object), "") | np.not_equal(array, array), bool)
    return np.zeros(array.shape, bool)


def _value(node: ast.expr, columns: Mapping[str, np.ndarray], text: str) -> Any:
    def of(n: ast.expr) -> Any:
        return _value(n, columns, text)

    match node:
        case ast.Constant(value=bool() as v):
            return int(v)
        case ast.Constant(value=int() as v):
            return v if abs(v) < 2**63 else float(min(v, 10**308))
        case ast.Constant(value=float() | str() as v):
            return v
        case ast.Name(id=name):
            if name not in columns:
                msg = f"selection {text!r} names column {name!r}, which the catalogue does not have"
                raise InputError(msg)
            return columns[name]
        case ast.BoolOp(op=op, values=values):
            join = np.minimum if isinstance(op, ast.And) else np.maximum
            return _Truth(reduce(join, [_truth(of(v)).of for v in values]))
        case ast.UnaryOp(op=ast.Not(), operand=v):
            return _Truth(1.0 - _truth(of(v)).of)
        case ast.UnaryOp(op=ast.USub(), operand=v):
            return np.negative(_number(of(v), v, text))
        case ast.BinOp(left=left, op=ast.BitAnd(), right=right):
            return _bits(_number(of(left), left, text), _number(of(right), right, text), text)
        case ast.BinOp(op=ast.BitOr()):
            msg = f"selection {text!r} uses '|'; write 'or' between comparisons"
            raise InputError(msg)
        case ast.BinOp(left=left, op=op, right=right) if type(op) in _ARITHMETIC:
            return _ARITHMETIC[type(op)](_number(of(left), left, text), _number(of(right), right, text))
        case ast.Compare(left=left, ops=ops, comparators=rights):
            return _comparison(left, ops, rights, of, text)
        case ast.Call(func=ast.Name(id=name), args=[v], keywords=[]) if name in FUNCTIONS:
            value = of(v)
            if name == "isnan":
                return _Truth(_unknown(value).astype(float))
            result = FUNCTIONS[name](_number(value, v, text))
            return _Truth(result.astype(float)) if name == "isfinite" else result
    raise _refusal(node, text)


def _bits(left: Any, right: Any, text: str) -> np.ndarray:
    """Bits that two columns of whole numbers have in common; NaN where one is unknown."""
    left, right = np.asarray(left), np.asarray(right)
    gaps = _unknown(left) | _unknown(right)
    whole = []
    for side in (left, right):
        known = np.where(_unknown(side), 0, side)
        if not np.all((known == np.floor(known)) & (np.abs(known) < 2.0**63)):
            msg = (
                f"selection {text!r} uses '&' on numbers that are not whole; write 'and' between comparisons"
            )
            raise InputError(msg)
        whole.append(known.astype(np.int64))
    bits = whole[0] & whole[1]
    return np.where(gaps, np.nan, bits.astype(float)) if gaps.any() else bits


def _comparison(
    first: ast.expr,
    ops: list[ast.cmpop],
    rights: list[ast.expr],
    of: Callable[[ast.expr], Any],
    text: str,
) -> _Truth:
    """Truth of a chain of comparisons; a comparison with an unknown value is unknown."""
    out = np.asarray(1.0)
    left, left_node = of(first), first
    for op, node in zip(ops, rights, strict=True):
        if isinstance(op, ast.In | ast.NotIn):
            members = [of(n) for n in node.elts] if isinstance(node, ast.List | ast.Tuple) else [of(node)]
            found = [_compared(left, ast.Eq(), m, (left_node, node), text) for m in members]
            held = reduce(np.maximum, found) if found else np.where(_unknown(left), UNKNOWN, 0.0)
            out = np.minimum(out, held if isinstance(op, ast.In) else 1.0 - held)
        elif type(op) in _COMPARISONS:
            right = of(node)
            out = np.minimum(out, _compared(left, op, right, (left_node, node), text))
            left, left_node = right, node
        else:
            msg = f"selection {text!r} uses 'is', which is not allowed; write == or isnan(...)"
            raise InputError(msg)
    return _Truth(out)


def _compared(
    left: Any, op: ast.cmpop, right: Any, nodes: tuple[ast.expr, ast.expr], text: str
) -> np.ndarray:
    """Truth of one comparison."""
    values = [np.where(v.of == UNKNOWN, np.nan, v.of) if isinstance(v, _Truth) else v for v in (left, right)]
    worded = [np.asarray(v).dtype.kind in "OUS" for v in values]
    if worded[0] != worded[1]:
        word, number = nodes if worded[0] else nodes[::-1]
        msg = (
            f"selection {text!r} compares text ({ast.unparse(word)}) with a number ({ast.unparse(number)}); "
            "write text in quotes"
        )
        raise InputError(msg)
    if worded[0]:
        values = [np.asarray(v).astype(object) if isinstance(v, np.ndarray) else v for v in values]
        asked = any(isinstance(v, str) and v == "" for v in values)
    else:
        asked = False
    result = np.asarray(_COMPARISONS[type(op)](*values), float)
    unknown = np.zeros(result.shape, bool) if asked else _unknown(values[0]) | _unknown(values[1])
    return np.where(unknown, UNKNOWN, result)
