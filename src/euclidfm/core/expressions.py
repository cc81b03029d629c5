"""Selection expressions: ``vis_det == 1 and (mag_vis < 20.5 or segmentation_area > 1200)``.

A small part of Python's grammar on columns: comparisons, ``and``, ``or``, ``not``, ``in``,
arithmetic, numbers, text, and the functions of `FUNCTIONS`. A comparison with NaN is false.
"""

from __future__ import annotations

import ast
import operator
from collections.abc import Callable, Mapping
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
_BINARY: dict[type, Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.Mod: operator.mod,
    ast.Pow: operator.pow,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.BitAnd: operator.and_,
}


def _parse(text: str) -> ast.expr:
    try:
        return ast.parse(text.strip(), mode="eval").body
    except SyntaxError as e:
        msg = f"selection {text!r} can't be read ({e.msg}); write it like 'mag_vis < 24.5 and vis_det == 1'"
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
    with np.errstate(invalid="ignore", divide="ignore"):
        value = _value(_parse(text), columns, text)
    return np.broadcast_to(np.asarray(value, bool), (rows,)).copy()


def _value(node: ast.expr, columns: Mapping[str, np.ndarray], text: str) -> Any:
    def of(n: ast.expr) -> Any:
        return _value(n, columns, text)

    match node:
        case ast.Constant(value=int() | float() | str() as v):
            return v
        case ast.Name(id=name):
            if name not in columns:
                msg = f"selection {text!r} names column {name!r}, which the catalogue does not have"
                raise InputError(msg)
            return columns[name]
        case ast.BoolOp(op=op, values=values):
            join = np.logical_and if isinstance(op, ast.And) else np.logical_or
            return reduce(join, [np.asarray(of(v), bool) for v in values])
        case ast.UnaryOp(op=ast.Not(), operand=v):
            return np.logical_not(np.asarray(of(v), bool))
        case ast.UnaryOp(op=ast.USub(), operand=v):
            return -of(v)
        case ast.BinOp(left=left, op=op, right=right) if type(op) in _BINARY:
            return _BINARY[type(op)](of(left), of(right))
        case ast.Compare(left=left, ops=ops, comparators=rights):
            return _comparison(of(left), ops, rights, of)
        case ast.Call(func=ast.Name(id=name), args=[v], keywords=[]) if name in FUNCTIONS:
            return FUNCTIONS[name](of(v))
    raise _refusal(node, text)


def _comparison(
    left: Any, ops: list[ast.cmpop], rights: list[ast.expr], of: Callable[[ast.expr], Any]
) -> Any:
    out: Any = True
    for op, node in zip(ops, rights, strict=True):
        if isinstance(op, ast.In | ast.NotIn):
            members = [of(n) for n in node.elts] if isinstance(node, ast.List | ast.Tuple) else [of(node)]
            held = np.isin(left, np.asarray(members))
            out = np.logical_and(out, held if isinstance(op, ast.In) else ~held)
        else:
            right = of(node)
            out = np.logical_and(out, _BINARY[type(op)](left, right))
            left = right
    return out
