"""The workflow may import the names of the figures at no cost."""

import subprocess
import sys


def test_names_import_nothing_heavy():
    heavy = "{'torch', 'matplotlib', 'pandas'}"
    code = f"import sys, stylex.figures.names; sys.exit(bool({heavy} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
