"""What DVC carries of Snakemake's records of what made each file, beside the results that they are about.

Snakemake has them all in one folder, .snakemake/metadata. For DVC there is a bundle for each stage of dvc.yaml, which
is an output of the stage, so that the records of its results come and go with them, whichever stages are pulled.
`python workflow/records.py NAME` makes the bundle NAME; the Snakefile takes in those that DVC has brought.
"""

from __future__ import annotations

import hashlib
import json
import sys
from base64 import urlsafe_b64decode
from collections.abc import Iterable
from pathlib import Path

RECORDS, BUNDLES = Path(".snakemake/metadata"), Path(".snakemake/bundles")
SHARED = ("backbones", "oracles", "regressors")  # the folders of results/ that belong to the data


def bundle_of(file: str) -> Path:
    """Return the bundle of a result: of the data and the networks that measure, of an experiment, or of a suite."""
    top, *folders = Path(file).parts
    if top != "results" or folders[0] in SHARED:
        return BUNDLES / "data.json"
    if folders[0] == "experiments":
        return BUNDLES / "experiments" / f"{folders[1]}.json"
    return BUNDLES / "suites" / f"{folders[0]}.json"


def made_file(record: Path) -> str:
    """Return the file that a record is about: its name is that of the record, in parts where it is long."""
    return urlsafe_b64decode("".join(part.removeprefix("@") for part in record.relative_to(RECORDS).parts)).decode()


def save(name: str) -> None:
    """Make a bundle of the present records, as a new file: the old one may be a link into DVC's cache."""
    bundle = BUNDLES / f"{name}.json"
    files = [path for path in sorted(RECORDS.rglob("*")) if path.is_file() and bundle_of(made_file(path)) == bundle]
    text = json.dumps({path.relative_to(RECORDS).as_posix(): path.read_text() for path in files}, indent=0)
    bundle.parent.mkdir(parents=True, exist_ok=True)
    written = bundle.with_suffix(".tmp")
    written.write_text(text)
    written.replace(bundle)
    _take(bundle)


def restore() -> None:
    """Take in the bundles that have changed, as DVC has brought other results, and of the others what is missing."""
    for bundle in BUNDLES.rglob("*.json"):
        same = _stamp(bundle).is_file() and _stamp(bundle).read_text() == _digest(bundle)
        for name, text in json.loads(bundle.read_text()).items():
            path = RECORDS / name
            if not (same and path.is_file()):
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(text)
        _take(bundle)


def forget(files: Iterable[str]) -> None:
    """Remove the bundles of files that are about to be made anew, until DVC has recorded these."""
    for bundle in {bundle_of(file) for file in files}:
        bundle.unlink(missing_ok=True)
        _stamp(bundle).unlink(missing_ok=True)


def _take(bundle: Path) -> None:
    _stamp(bundle).parent.mkdir(parents=True, exist_ok=True)
    _stamp(bundle).write_text(_digest(bundle))


def _digest(bundle: Path) -> str:
    return hashlib.sha256(bundle.read_bytes()).hexdigest()


def _stamp(bundle: Path) -> Path:
    """Return the file that says which version of a bundle was taken in."""
    return RECORDS.parent / "taken" / bundle.relative_to(BUNDLES).with_suffix("").as_posix().replace("/", "-")


if __name__ == "__main__":
    save(sys.argv[1])
