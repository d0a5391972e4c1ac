"""The module as a whole: its examples, its types, its version."""

import doctest
import pathlib
import re
import subprocess
import sys

import pytest

import cpc_stream
from conftest import REPOSITORY

HERE = pathlib.Path(__file__).resolve().parents[1]


def test_examples_of_the_docstrings():
    result = doctest.testmod(cpc_stream)
    assert result.attempted >= 12 and result.failed == 0


@pytest.mark.parametrize("page", [HERE / "README.md", REPOSITORY / "docs" / "python.md"], ids=lambda page: page.name)
def test_examples_of_the_pages(page):
    result = doctest.testfile(str(page), module_relative=False)
    assert result.attempted >= 4 and result.failed == 0


def test_the_notebook_runs():
    nbformat, nbclient = pytest.importorskip("nbformat"), pytest.importorskip("nbclient")
    notebook = nbformat.read(HERE / "example.ipynb", as_version=4)
    nbclient.NotebookClient(notebook, timeout=600, kernel_name="python3").execute()
    printed = "".join(
        output.get("text", "") for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs
    )
    assert "foreign sound" in printed


def test_everything_is_documented():
    for name in cpc_stream.__all__:
        thing = getattr(cpc_stream, name)
        if isinstance(thing, type):
            members = [member for key, member in vars(thing).items() if not key.startswith("_")]
            assert all(item.__doc__ for item in [thing, *members]), name


def test_the_stub_describes_the_module(tmp_path):
    allowed = tmp_path / "allowed"
    # the library inside the package, which the package shows whole
    allowed.write_text("cpc_stream.cpc_stream\n")
    stubtest = [sys.executable, "-m", "mypy.stubtest", "cpc_stream", "--allowlist", allowed]
    result = subprocess.run(stubtest, cwd=tmp_path, capture_output=True, text=True)
    assert result.returncode == 0, result.stdout + result.stderr


def test_types_are_checked(tmp_path):
    (tmp_path / "right.py").write_text(
        "import cpc_stream\nimport numpy as np\n"
        "model = cpc_stream.Model.load()\n"
        "z, c = model.encode(np.zeros(160), 16_000)\n"
        "for output in cpc_stream.Stream(model, 16_000).push(z[:, 0]):\n"
        "    if isinstance(output, cpc_stream.Frame):\n"
        "        print(output.p)\n"
        "    elif isinstance(output, cpc_stream.Calibrated):\n"
        "        print('calibrated')\n"
        "    else:\n"
        "        print(output['summary'].upper())\n"
    )
    (tmp_path / "wrong.py").write_text("import cpc_stream\ncpc_stream.Model.load(3)\n")
    for name, code in (("right.py", 0), ("wrong.py", 1)):
        mypy = [sys.executable, "-m", "mypy", "--strict", name]
        result = subprocess.run(mypy, cwd=tmp_path, capture_output=True, text=True)
        assert result.returncode == code, result.stdout


def test_the_version_is_that_of_the_project():
    manifest = (REPOSITORY / "Cargo.toml").read_text()
    assert cpc_stream.__version__ == re.search(r'^version = "(.*)"', manifest, re.M).group(1)
