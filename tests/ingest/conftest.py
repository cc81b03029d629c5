import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
from skyfiles import write_sky


@pytest.fixture
def sky(tmp_path):
    return write_sky(tmp_path / "sky")
