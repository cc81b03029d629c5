import json
import math

import pytest

from euclidfm.core.records import make_record, read_records, summarise


def record(value, **more):
    return make_record(task="t", metric="rmse", value=value, low=value - 1, high=value + 1, n_test=7, **more)


def test_the_fields_of_a_record_and_their_order():
    names = "task method inputs fraction n_train n_test seed metric value low high kind"
    assert " ".join(record(1.0, kind="ring")) == names


def test_null_is_read_as_nan(tmp_path):
    file = tmp_path / "records.json"
    file.write_text(json.dumps([record(1.0) | {"low": None}]))
    assert math.isnan(read_records(file)[0]["low"])


def test_the_mean_and_the_scatter_over_seeds():
    one, alone = summarise([record(1.0, seed=0), record(3.0, seed=1), record(5.0, method="other")])
    assert (one["value"], one["low"], one["high"], one["repeats"]) == (2.0, 1.0, 3.0, 2)
    assert one["scatter"] == pytest.approx(math.sqrt(2))
    assert alone["repeats"] == 1
    assert math.isnan(alone["scatter"])
