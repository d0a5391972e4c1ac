"""The ONNX graphs of the program give what it gives itself."""

import subprocess
import sys

import pytest

from conftest import REPOSITORY, program


def test_graphs_equal_encode(sweep, written):
    pytest.importorskip("onnxruntime")
    pytest.importorskip("onnx")
    models = [REPOSITORY / "models" / name for name in ("cpc-edge.safetensors", "cpc-edge-raw.safetensors")]
    told = subprocess.run([sys.executable, REPOSITORY / "docs" / "onnx_check.py", program("cpc-lab"), written(sweep), *models],
                          capture_output=True, text=True)
    assert told.returncode == 0, told.stdout + told.stderr
