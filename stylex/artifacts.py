"""Files as interfaces: atomic writes, checked reads, provenance.

A file is written under a temporary name in its own folder, fsynced and renamed, so that a reader never sees half a
file; a full disk or a read-only target leaves what was there and raises `StorageError`.
"""

from __future__ import annotations

import csv
import errno
import hashlib
import json
import os
import platform
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stylex.errors import ArtifactError, StorageError

if TYPE_CHECKING:
    import pandas
    import torch

# Of the header of a file of tensors: which network they are of. The rest says where they come from.
DESCRIPTIONS = ("network", "stylex_config", "shape")
OVERRIDES = "STYLEX_OVERRIDES"  # as in `stylex.config.loading`, which reads them
CHECKOUT = ("stylex", "workflow", "config")  # what of it decides a result
NAMED = 3  # of the files that are changed, how many a provenance names
PACKAGES = ("stylex", "torch", "torchvision", "numpy", "pyarrow", "pandas")
# Columns of names and words, in whatever table: a class may be called 3 or NA.
TEXT = frozenset((
    "answer", "architecture", "block", "claim", "class_name", "classes", "classifier", "dataset", "direction", "domain",
    "experiment", "experiment_a", "experiment_b", "experiments", "extractor", "factor", "finding", "id", "measure",
    "method", "method_a", "method_b", "model", "note", "observer_extractor", "oracle", "participant", "protocol",
    "question", "remedy", "selection", "sentence", "source", "study", "target_class", "verdict", "word",
))  # fmt: skip
REMAKE = "delete it and run its stage again"  # of what a stage has made
VERSIONED = "mend it, or take it back from git"  # of what the project came with
UNWRITABLE = {
    errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM, errno.ENOTDIR, errno.EISDIR, errno.EFBIG,
    errno.ENAMETOOLONG,
}  # fmt: skip
REMEDIES = {
    errno.ENAMETOOLONG: "give it a shorter name",
    **dict.fromkeys((errno.ENOTDIR, errno.EEXIST), "there is a file where a folder goes: name another folder"),
    errno.EISDIR: "there is a folder of this name: move it",
}
LONGEST = 100  # bytes of a name that is written under a longer one first


@contextmanager
def storage_errors(path: Path) -> Iterator[None]:
    """Turn an unwritable target or a full disk into one clear line."""
    try:
        yield
    except OSError as error:
        if error.errno is None or error.errno not in UNWRITABLE | REMEDIES.keys():
            raise
        remedy = REMEDIES.get(error.errno, "free some space or make the folder writable")
        raise StorageError(
            f"cannot write {path}: {os.strerror(error.errno)}; {remedy} (earlier artifacts are intact)"
        ) from None


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`; on success fsync it and rename it to `path`, on any error remove it."""
    written = os.fsencode(path.name)
    name = path.name if len(written) <= LONGEST else hashlib.sha256(written).hexdigest()
    temporary = path.with_name(f".{name}.{os.getpid()}.tmp")
    with storage_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            yield temporary
            _fsync(temporary)
            os.replace(temporary, path)
            _fsync(path.parent)
        finally:
            temporary.unlink(missing_ok=True)


@contextmanager
def atomic_folder(folder: Path) -> Iterator[Path]:
    """Yield an empty folder beside `folder`; on success it takes its place, on any error it is removed.

    What was at `folder` before is removed then; only between the two renames nothing is there.
    """
    temporary, old = (folder.with_name(f".{folder.name}.{os.getpid()}.{kind}") for kind in ("tmp", "old"))
    with storage_errors(folder):
        shutil.rmtree(temporary, ignore_errors=True)  # of a process of this number that was killed
        temporary.mkdir(parents=True)
        try:
            yield temporary
            _fsync(temporary)
            if folder.exists():
                os.replace(folder, old)
            os.replace(temporary, folder)
            _fsync(folder.parent)
        except BaseException:
            if old.exists() and not folder.exists():
                os.replace(old, folder)
            raise
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
            shutil.rmtree(old, ignore_errors=True)


def _fsync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_text(path: Path, text: str) -> None:
    """Write `text` atomically as UTF-8."""
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: Path, content: Any) -> None:
    """Write `content` atomically as indented JSON; NaN is refused."""
    write_text(path, json.dumps(content, indent=1, allow_nan=False) + "\n")


def read_json(path: Path, remedy: str = REMAKE) -> Any:
    """Read a JSON artifact; raise `ArtifactError`, with a remedy, when it is missing or damaged."""
    try:
        return json.loads(require(path).read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise ArtifactError(f"{path} is damaged ({error}); {remedy}") from None


def write_table(path: Path, frame: pandas.DataFrame, provenance: Mapping[str, str]) -> None:
    """Write `frame` as CSV, and its provenance beside it as <name>.provenance.json."""
    write_json(path.with_suffix(".provenance.json"), dict(provenance))
    text = frame.to_csv(index=False, lineterminator="\n")
    if "\r" in text:  # a cell that ends a line to every reader, and that the writer quotes only if told to
        text = frame.to_csv(index=False, lineterminator="\n", quoting=csv.QUOTE_NONNUMERIC)
    write_text(path, text)


def read_table(path: Path, text: tuple[str, ...] = (), remedy: str = REMAKE) -> pandas.DataFrame:
    """Read a CSV artifact as it was written; raise `ArtifactError` when it is missing or damaged.

    The columns of `TEXT`, and of this table those of `text`, are strings, whatever they look like; an empty one is "".
    Elsewhere, an empty cell is NaN. remedy: what to do with a damaged file.
    """
    import pandas

    columns = TEXT.union(text)
    try:
        frame = pandas.read_csv(require(path), dtype=dict.fromkeys(columns, str), keep_default_na=False, na_values=[""])
        return frame.fillna({name: "" for name in frame.columns if name in columns})
    except (pandas.errors.ParserError, pandas.errors.EmptyDataError, UnicodeDecodeError) as error:
        reason = " ".join(str(error).split())
        raise ArtifactError(f"{path} is damaged ({reason}); {remedy}") from None


def save_tensors(path: Path, tensors: Mapping[str, torch.Tensor], header: Mapping[str, str]) -> None:
    """Write tensors atomically as safetensors with a string header; the same content gives the same bytes."""
    from safetensors.torch import save

    content = save({name: value.detach().cpu().contiguous() for name, value in tensors.items()}, dict(header))
    # safetensors writes the strings of a header in random order. Format: length in 8 bytes, JSON padded to 8, tensors.
    end = 8 + int.from_bytes(content[:8], "little")
    entries = json.loads(content[8:end])
    entries["__metadata__"] = dict(sorted(entries.get("__metadata__", {}).items()))
    text = json.dumps(entries, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)
    with atomic_path(path) as temporary:
        temporary.write_bytes(len(text).to_bytes(8, "little") + text + content[end:])


def load_tensors(path: Path, remedy: str = REMAKE) -> tuple[dict[str, torch.Tensor], dict[str, str]]:
    """Read tensors (on the CPU) and header; raise `ArtifactError`, with a remedy, for a missing or damaged file."""
    from safetensors import SafetensorError, safe_open

    require(path)
    try:
        with safe_open(path, "pt") as file:
            return {name: file.get_tensor(name) for name in file.keys()}, dict(file.metadata() or {})  # noqa: SIM118
    except SafetensorError as error:
        raise ArtifactError(f"{path} is damaged ({error}); {remedy}") from None


def require(path: Path) -> Path:
    """Return `path` if it is a file; raise `ArtifactError` with the remedy otherwise."""
    if not path.is_file():
        raise ArtifactError(
            f"{path} does not exist; run the stage that makes it first (`snakemake --cores 2` runs all)"
        )
    return path


def sha256(path: Path) -> str:
    """Return the hex sha256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def content_digest(path: Path) -> str:
    """Return the hex sha256 of what a file of tensors or a Parquet file holds, wherever and whenever it was made.

    Of tensors: with the description of the network that they are of; of Parquet: with all that holds for its rows.
    Raises `ArtifactError` when the file is missing or damaged.
    """
    import torch

    digest = hashlib.sha256()
    if path.suffix == ".parquet":
        description, content = _rows(path)
        digest.update(content)
    else:
        tensors, header = load_tensors(path)
        description = {key: header[key] for key in DESCRIPTIONS if key in header}
        for name, value in sorted(tensors.items()):
            digest.update(f"{name} {value.dtype} {list(value.shape)}\n".encode())
            digest.update(value.reshape(-1).view(torch.uint8).numpy().tobytes())
    digest.update(json.dumps(description, sort_keys=True).encode())
    return digest.hexdigest()


def _rows(path: Path) -> tuple[dict[str, str], bytes]:
    """Return the metadata of a Parquet file, but for its provenance, and its columns, however they were grouped."""
    import pyarrow.parquet

    try:
        with pyarrow.parquet.ParquetFile(require(path)) as file:
            table = file.read().combine_chunks()
    except (pyarrow.ArrowException, OSError) as error:
        if isinstance(error, OSError) and error.errno in UNWRITABLE:  # it may not be read, and need not be damaged
            raise
        raise ArtifactError(f"{path} is damaged ({error}); {REMAKE}") from None
    kept = (table.schema.metadata or {}).items()
    metadata = {key.decode(): value.decode() for key, value in kept if key not in (b"provenance", b"ARROW:schema")}
    sink = pyarrow.BufferOutputStream()
    with pyarrow.ipc.new_stream(sink, table.schema.remove_metadata()) as writer:
        writer.write_table(table.replace_schema_metadata(None))
    return metadata, sink.getvalue().to_pybytes()


def provenance(config_digest: str, seed: int, device: str = "cpu") -> dict[str, str]:
    """Return where a number comes from: config digest and overrides, seed, device, code and package versions."""
    overrides = {"overrides": os.environ[OVERRIDES]} if os.environ.get(OVERRIDES, "{}") != "{}" else {}
    versions = {f"version_{name}": _version(name) for name in PACKAGES}
    machine = {"device": device, "machine": platform.machine(), "python": platform.python_version()}
    code = {"commit": _git("rev-parse", "--short=12", "HEAD") or "unknown", "uncommitted": _uncommitted()}
    return {"config_digest": config_digest, **overrides, "seed": str(seed), **code, **machine, **versions}


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "not installed"


def _uncommitted() -> str:
    """Return which files that decide a result are not as they were committed, or new: "no", a list, "unknown"."""
    status = _git("status", "--porcelain", "--untracked-files=all", "--no-renames", "--", *CHECKOUT)
    if status is None:
        return "unknown"
    files = sorted(line[3:] for line in status.splitlines())
    more = f" and {len(files) - NAMED} more" if len(files) > NAMED else ""
    return ", ".join(files[:NAMED]) + more or "no"


@cache
def _git(*arguments: str) -> str | None:
    """Return what git says of the checkout that the package lies in, asked once a process; None without git."""
    command = ["git", "-C", str(Path(__file__).parents[1]), "--no-optional-locks", *arguments]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=10).stdout.rstrip()
    except (OSError, subprocess.SubprocessError):
        return None
