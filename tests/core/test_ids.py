import numpy as np
import pytest

from euclidfm.core.errors import InputError
from euclidfm.core.ids import match_ids
from euclidfm.core.tables import column_for


def test_rows_of_ids_in_any_order():
    assert match_ids(np.array([5, 2, 9, 2]), np.array([9, 2, 5])).tolist() == [2, 1, 0, 1]


def test_a_missing_id_is_minus_one():
    assert match_ids(np.array([0, 7, 99]), np.array([9, 7])).tolist() == [-1, 1, -1]
    assert match_ids(np.array([1, 2]), np.empty(0, np.int64)).tolist() == [-1, -1]
    assert match_ids(np.empty(0, np.int64), np.array([1])).tolist() == []


def test_of_a_repeated_id_the_first_row():
    assert match_ids(np.array([3, 4]), np.array([4, 3, 3])).tolist() == [1, 0]


def test_equal_arrays_match_row_by_row():
    ids = np.array([4, 3, 4])
    assert match_ids(ids, ids.copy()).tolist() == [0, 1, 2]


def test_a_repeated_id_is_refused_where_ids_must_be_unique():
    with pytest.raises(InputError, match="object_id 3 stands more than once in the labels"):
        match_ids(np.array([4, 3, 3]), np.array([4, 3, 3]), unique_in="the labels")


def test_a_column_for_given_objects():
    table = {"object_id": np.array([8, 6]), "z": np.array([0.8, 0.6]), "kind": np.array(["a", "b"])}
    ids = np.array([6, 7, 8])
    np.testing.assert_array_equal(column_for(ids, table, "z"), [0.6, np.nan, 0.8])
    assert column_for(ids, table, "kind").tolist() == ["b", "", "a"]
    with pytest.raises(InputError, match="no column 'mass'; it has object_id, z, kind"):
        column_for(ids, table, "mass")
