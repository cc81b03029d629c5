"""Text of CSV files that a spreadsheet would run."""

import csv

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from euclidfm.core.files import write_table
from euclidfm.core.spreadsheet import escape_table, escape_text
from euclidfm.discover import add_rating, read_ratings

FORMULAS = ["=1+1", "+1+1", "-1+1", "@SUM(A1)", "\t=1", "\r=1", "\n=1", "\uff1d1+1", "=cmd|' /C calc'!A0"]


@pytest.mark.parametrize("text", FORMULAS)
def test_formulas_are_escaped(text):
    assert escape_text(pa.array([text, None])).to_pylist() == ["'" + text, None]


@pytest.mark.parametrize("text", ["-1.5", "+3", "-1e-3", ".5", "spiral", "", "a=b", " x", "42", "-.5E+10"])
def test_numbers_and_plain_text_stay(text):
    assert escape_text(pa.array([text])).to_pylist() == [text]


@settings(max_examples=50, deadline=None)
@given(st.lists(st.text()))
def test_no_text_begins_like_a_formula(values):
    for before, after in zip(values, escape_text(pa.array(values, pa.string())).to_pylist(), strict=True):
        assert after in (before, f"'{before}")
        if after[:1] in set("=@\t\r"):
            raise AssertionError(after)


def test_a_csv_file_has_no_formula_in_names_or_cells(tmp_path):
    kinds = pa.array(["=x", "y"]).dictionary_encode()
    table = pa.table({"object_id": [-5, 6], "=name": ["@a", "b"], "kind": kinds, "z": [-0.5, None]})
    write_table(table, tmp_path / "t.csv")
    with (tmp_path / "t.csv").open(newline="") as f:
        rows = list(csv.reader(f))
    assert rows == [["object_id", "'=name", "kind", "z"], ["-5", "'@a", "'=x", "-0.5"], ["6", "b", "y", ""]]
    assert escape_table(table.select(["z"])).equals(table.select(["z"]))


def test_the_name_of_a_rater_is_no_formula(tmp_path):
    add_rating(tmp_path / "r.csv", 7, 5, "=HYPERLINK(1)")
    assert '"\'=HYPERLINK(1)"' in (tmp_path / "r.csv").read_text()
    assert read_ratings(tmp_path / "r.csv") == {7: 5.0}
