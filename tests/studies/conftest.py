"""Tests of this folder run torch on one thread."""

import pytest


@pytest.fixture(autouse=True)
def _one_thread(one_torch_thread):
    return one_torch_thread
