"""What others run the workflow with: an image, conda, the catalogue, Snakemake's own report."""

import re
import zipfile
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
RECIPE = (ROOT / "stylex.def").read_text()


def test_image_and_conda_environment_have_the_same_python():
    (python,) = re.findall(r"^From: python:([\d.]+)-", RECIPE, re.MULTILINE)
    assert f"python={python}" in yaml.safe_load((ROOT / "environment.yml").read_text())["dependencies"]


def test_image_has_the_locked_packages_and_no_others():
    (copied,) = re.findall(r"^    (requirements\.lock) (\S+)$", RECIPE, re.MULTILINE)
    assert (ROOT / copied[0]).is_file()
    assert re.findall(r"pip install (.*)", RECIPE) == [f"--no-cache-dir -r {copied[1]}"]


def test_jobs_find_the_image_where_it_is_built():
    (image,) = re.findall(r'^container: "(.*)"$', (ROOT / "workflow/Snakefile").read_text(), re.MULTILINE)
    assert f"apptainer build {image} stylex.def" in RECIPE
    assert f"/{image}" in (ROOT / ".gitignore").read_text().split()


def test_catalogue_finds_what_it_looks_for():
    usage = yaml.safe_load((ROOT / ".snakemake-workflow-catalog.yml").read_text())["usage"]
    assert usage["mandatory-flags"] == {"desc": "None is needed.", "flags": []}
    assert usage["software-stack-deployment"] == {
        "conda": True, "apptainer": False, "apptainer+conda": False, "report": True,
    }  # fmt: skip
    assert (ROOT / "workflow/Snakefile").is_file() and (ROOT / "config/README.md").is_file()
    assert {"snakemake", "workflow"} <= set(re.findall(r"\w+", (ROOT / "README.md").read_text().lower()))


@pytest.mark.slow
def test_report_of_snakemake_needs_no_network(built):
    built.environment |= dict.fromkeys(("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"), "http://127.0.0.1:9")
    built.done("snakemake", "--report", "report.zip")
    with zipfile.ZipFile(built.root / "report.zip") as archive:
        (page,) = (name for name in archive.namelist() if name.endswith("/report.html"))
        text = archive.read(page).decode()
        names = archive.namelist()
        assert all(any(name.endswith(end) for name in names) for end in ("mnist-teaser.png", "sufficiency.csv")), names
    assert '"train"' in text
