"""What must not change: bit for bit what was written down, on the machine that wrote it.

`make goldens` writes the values anew. A deliberate change is listed in the changelog, with figures.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from goldens.walk import machine

HERE = Path(__file__).parent
VALUES = HERE / "values.json"


@pytest.mark.slow
def test_nothing_changed(tmp_path):
    kept = json.loads(VALUES.read_text())
    here = machine()
    if kept["machine"] != here:
        other = ", ".join(k for k in here if kept["machine"].get(k) != here[k])
        pytest.skip(f"GOLDENS OF ANOTHER MACHINE ({other}): run `make goldens` before and after a change")
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    target = tmp_path / "values.json"
    subprocess.run([sys.executable, str(HERE / "walk.py"), str(tmp_path / "walk"), str(target)],
                   check=True, env=environment)  # fmt: skip
    found = json.loads(target.read_text())["values"]
    assert found.keys() == kept["values"].keys()
    moved = {k: (kept["values"][k], v) for k, v in found.items() if kept["values"][k] != v}
    assert not moved, f"{len(moved)} of {len(found)} changed: {json.dumps(moved, indent=1)}"
