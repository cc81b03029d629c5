"""Text in CSV files that a spreadsheet would run as a formula.

A spreadsheet takes a cell that begins with ``=``, ``+``, ``-``, ``@``, a tab or a carriage return for a
formula, and formulas can start programs or send data away. Such text is written with an apostrophe before it,
as OWASP recommends ("CSV Injection"). Text that is a number stays as it is.
"""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc

__all__ = ["escape_table", "escape_text"]

_FORMULA = r"^[=+\-@\t\r\n\x{FF1D}\x{FF0B}\x{FF0D}\x{FF20}]"
"""Beginning of a formula; the last four are the wide forms of = + - and @."""

_NUMBER = r"^[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?$"


def escape_text(values: pa.Array | pa.ChunkedArray) -> pa.Array | pa.ChunkedArray:
    """Put an apostrophe before each text that begins like a formula.

    Parameters
    ----------
    values : (N,) Arrow array of strings

    Returns
    -------
    (N,) Arrow array of strings
    """
    risky = pc.and_(
        pc.match_substring_regex(values, _FORMULA), pc.invert(pc.match_substring_regex(values, _NUMBER))
    )
    return pc.if_else(risky, pc.binary_join_element_wise(pa.scalar("'", values.type), values, ""), values)


def escape_table(table: pa.Table) -> pa.Table:
    """Escape the names and the text columns of a table that is to be written as CSV."""
    columns = []
    for column in table.columns:
        if pa.types.is_dictionary(column.type) and pa.types.is_string(column.type.value_type):
            column = column.cast(pa.string())
        text = pa.types.is_string(column.type) or pa.types.is_large_string(column.type)
        columns.append(escape_text(column) if text else column)
    names = escape_text(pa.array(table.column_names, pa.string())).to_pylist()
    return pa.table(columns, names=names)
