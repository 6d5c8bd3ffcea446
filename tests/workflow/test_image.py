"""Every step of stylex.def, in a Debian that debootstrap has just made: what Apptainer would do, without Apptainer.

What differs: python:3.11-slim-bookworm is bookworm with a Python of its own, in place of which a virtual environment
of bookworm's Python 3.11 stands here; and packages of the lock that are installed in the test's environment are
there already, so that pip finds each at its version and fetches the others, if any.
"""

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
RECIPE = (ROOT / "stylex.def").read_text()
MIRROR = "http://deb.debian.org/debian"
PYTHON = "opt/python"
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(os.geteuid() != 0, reason="debootstrap and chroot need root"),
    pytest.mark.skipif(
        shutil.which("debootstrap") is None, reason="debootstrap is not on PATH (apt-get install debootstrap)"
    ),
]


def section(name: str) -> list[str]:
    """Return the lines of a section of the recipe, without comments."""
    (text,) = re.findall(rf"^%{name}\n(.*?)(?=^%|\Z)", RECIPE, re.MULTILINE | re.DOTALL)
    return [line.strip() for line in text.splitlines() if line.strip() and not line.strip().startswith("#")]


class Image:
    """The root folder of an image; commands run in it as in a container, with its environment.

    They see the packages of this environment, and no one else sees them there: the mount is theirs alone.
    """

    def __init__(self, folder: Path) -> None:
        self.folder, self.packages = folder, f"{PYTHON}/lib/python3.11/site-packages"

    def run(self, script: str) -> subprocess.CompletedProcess[str]:
        ours = next(entry for entry in sys.path if entry.endswith("site-packages"))
        mount = f"mount --bind --options ro {shlex.quote(ours)} {shlex.quote(str(self.folder / self.packages))}"
        exports = "\n".join(section("environment"))
        inside = shlex.join(["chroot", str(self.folder), "/bin/bash", "-euo", "pipefail", "-c", f"{exports}\n{script}"])
        shell = ["unshare", "--mount", "/bin/bash", "-euc", f"{mount}\nexec {inside}"]
        environment = {"PATH": f"/{PYTHON}/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME": "/root", "LANG": "C.UTF-8"}
        environment |= {name: os.environ[name] for name in os.environ if name.lower().endswith("_proxy")}
        return subprocess.run(shell, env=environment, capture_output=True, text=True, timeout=550, check=False)


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Image:
    """Debian of the recipe's base with `python`, where the recipe's files lie and the lock's packages are at hand."""
    folder = tmp_path_factory.mktemp("image") / "root"
    (base,) = re.findall(r"^From: python:3\.11-slim-(\w+)$", RECIPE, re.MULTILINE)
    packages = "python3,python3-venv,ca-certificates"
    done("debootstrap", "--variant=minbase", f"--include={packages}", base, str(folder), MIRROR)
    for file in ("etc/resolv.conf", "etc/hosts"):
        shutil.copy(f"/{file}", folder / file)
    done("chroot", str(folder), "/usr/bin/python3", "-m", "venv", f"/{PYTHON}")
    scripts = (path for path in Path(sys.executable).parent.iterdir() if path.is_file() and not path.is_symlink())
    for script in scripts:  # pip made them with the packages
        content = script.read_bytes()
        if content.startswith(b"#!") and b"python" in content.partition(b"\n")[0]:
            target = folder / PYTHON / "bin" / script.name
            target.write_bytes(f"#!/{PYTHON}/bin/python".encode() + content[content.index(b"\n") :])
            target.chmod(0o755)
    for line in section("files"):
        source, target = line.split()
        (folder / target[1:]).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / source, folder / target[1:])
    return Image(folder)


def done(*command: str) -> None:
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout[-2000:] + result.stderr[-2000:]


def test_each_step_of_the_recipe_succeeds_and_its_own_test_passes(image):
    for step in section("post"):
        result = image.run(step)
        assert result.returncode == 0, (step, result.stdout[-1000:], result.stderr[-1000:])
    result = image.run("\n".join(section("test")))
    assert result.returncode == 0, result.stdout + result.stderr
    assert "No broken requirements found" in result.stdout


def test_a_job_runs_in_it_on_the_projects_folder(image):
    for part in ("stylex", "config", "workflow"):
        shutil.copytree(ROOT / part, image.folder / "project" / part, ignore=shutil.ignore_patterns("__pycache__"))
    (script,) = section("runscript")
    assert script == 'exec "$@"'
    result = image.run("cd /project && PYTHONPATH=/project python -m stylex validate demo")
    assert result.returncode == 0, result.stderr
    assert result.stdout.startswith("suite demo:")
