"""The Python blocks of docs/api.md run."""

import re
import shutil
from pathlib import Path

import pytest

PAGE = Path(__file__).parents[2] / "docs/api.md"
BLOCKS = re.findall(r"^```python\n(.*?)^```$", PAGE.read_text(), re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("block", BLOCKS, ids=["explain", "move", "find_attributes"])
def test_a_block_runs(block, folder, tmp_path, monkeypatch, capsys):
    shutil.copytree(folder, tmp_path / "models/mnist")
    monkeypatch.chdir(tmp_path)
    exec(compile(block, str(PAGE), "exec"), {})
    assert capsys.readouterr().out
    assert (tmp_path / "explained.png").is_file() == ("save" in block)
