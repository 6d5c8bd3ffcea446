"""What the tests of several folders build: small random networks, latents, experiments, and a server of files."""

import io
import tarfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy
import pandas
import torch
import yaml
from PIL import Image
from torch import Tensor

from stylex.artifacts import load_tensors, save_tensors, write_table
from stylex.classifiers import Classifier, build_network
from stylex.classifiers.frozen import NetworkDescription, Role, save_network
from stylex.config import ExperimentPaths, load_experiment
from stylex.evaluation.factors import OVERLAP
from stylex.latents.table import SCALARS, VECTORS, Latents, read_latents
from stylex.networks.model import StylexNetworks, build_networks, save_stylex

CAUSES = ("spots", "curl")  # of the classes of drawn leaves
NARROW = {f"{kind}_channels": [8, 8, 8, 8] for kind in ("generator", "encoder", "discriminator")} | {"latent_dim": 8}


def configure(root: Path, name: str, **sections: Any) -> None:
    """Give an experiment other sections in place of its own."""
    path = root / f"config/experiments/{name}.yaml"
    path.write_text(yaml.safe_dump(yaml.safe_load(path.read_text()) | sections))


def narrow(root: Path, name: str, **sections: Any) -> StylexNetworks:
    """Make the networks of an experiment narrow and save random ones; give it other sections in place of its own."""
    stylex = yaml.safe_load((root / f"config/experiments/{name}.yaml").read_text()).get("stylex", {})
    configure(root, name, **sections, stylex=stylex | {"networks": NARROW})
    return save_random_stylex(root, name)


def save_random_stylex(root: Path, name: str, channels: int = 1) -> StylexNetworks:
    """Save random networks of an experiment on two classes at 32x32, by its seed."""
    config = load_experiment(root, name)
    networks = build_networks(config.stylex, 32, channels, 2, seed=config.seed)
    save_stylex(ExperimentPaths(root, name).stylex_model, networks, {})
    return networks


def describe(role: Role, names: Any, channels: int = 1, resolution: int = 32) -> NetworkDescription:
    return NetworkDescription(
        role=role, name="random", architecture="resnet18", width=0.125, channels=channels, resolution=resolution,
        class_names=tuple(names),
    )  # fmt: skip


def random_network(kind: type, role: Role, names: Any, resolution: int = 32) -> Any:
    """Return a small random network on grey images, frozen as what it is to be."""
    return kind(build_network("resnet18", 1, len(names), 0.125), describe(role, names, 1, resolution))


def random_classifier(names: Any, resolution: int) -> Classifier:
    torch.manual_seed(1)
    return random_network(Classifier, "classifier", names, resolution)


def save_random_network(
    path: Path, role: Role, names: Any, channels: int = 1, seed: int = 0, resolution: int = 32
) -> None:
    torch.manual_seed(seed)
    description = describe(role, names, channels, resolution)
    save_network(path, build_network("resnet18", channels, len(names), 0.125), description, {})


def balance(paths: ExperimentPaths) -> None:
    """Shift the classifier's bias so that half of the encoded reconstructions fall on either side."""
    logits = read_latents(paths.latents).reconstruction_logits
    tensors, header = load_tensors(paths.classifier.model)
    tensors["head.bias"][1] -= (logits[:, 1] - logits[:, 0]).median() + 1e-6
    save_tensors(paths.classifier.model, tensors, header)


def latents_of(count: int, **columns: Any) -> Latents:
    """Return the latents of `count` images of two classes; columns that are not given are 0."""
    zeros, two = torch.zeros(count), torch.zeros(count, 2)
    known: dict[Any, Any] = {**dict.fromkeys(SCALARS, zeros), **dict.fromkeys(VECTORS, zeros[:, None])}
    known |= {"logits": two, "reconstruction_logits": two, "labels": zeros.long(), "class_names": ("3", "5")}
    known |= {"ids": [str(row) for row in range(count)], "provenance": {}}
    return Latents(**(known | columns))


def through_png(images: numpy.ndarray, folder: Path) -> Tensor:
    """Write grey images [n, H, W] in [-1, 1] as any program does; return [n, 1, H, W] of what the files hold."""
    folder.mkdir(exist_ok=True)
    read = []
    for number, image in enumerate(images):
        path = folder / f"{number}.png"
        Image.fromarray(numpy.clip(numpy.rint((image + 1) * 127.5), 0, 255).astype(numpy.uint8)).save(path)
        read.append(numpy.asarray(Image.open(path)))
    return torch.from_numpy(numpy.stack(read)).float()[:, None] / 127.5 - 1


def checkpoints(folder: Path) -> list[int]:
    """Return after how many images the checkpoints of a training were written, which their names say."""
    return sorted(int(path.name.split("-")[-2]) for path in folder.glob("*-*.pt"))


@contextmanager
def serving(folder: Path) -> Iterator[str]:
    """Serve the files of a folder on loopback; yield the address, which ends in a slash."""
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(folder))) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()
        thread.join()


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *arguments: object) -> None:
        pass


def overlap_of(inside: float) -> dict[str, float]:
    """Return the columns of a move that acts inside its region by this share, and half as much by chance."""
    values = (inside / 2, inside, inside - 0.1, inside + 0.1, inside / 4, 0.0, 1.0, inside / 8)
    return dict(zip(OVERLAP, values, strict=True))


def write_factors(root: Path, name: str, moves: list[tuple]) -> None:
    """Write what each move changes: method, target class, rank, factor, purity, change, coordinate."""
    common = {"experiment": name, "n": 10, "direction": "to_max", "change_curl": 0.0, "change_size": 0.0}
    rows = [
        common | dict(zip(("method", "target_class", "rank", "factor"), (method, target, rank, factor), strict=True))
        | {"cause": factor in CAUSES, "style_index": index, "purity": purity, "change": change, "change_spots": change}
        | (dict.fromkeys(OVERLAP) if factor is None else overlap_of(purity))
        for method, target, rank, factor, purity, change, index in moves
    ]  # fmt: skip
    measured = {"experiment": name, "n": 20, "r2_images": 0.99, "r2_reconstructions": 0.5, "logit_weight": 3.0}
    fit = [measured | {"factor": factor, "cause": factor in CAUSES} for factor in ("spots", "curl", "size")]
    write_table(ExperimentPaths(root, name).factors, pandas.DataFrame(rows), {})
    write_table(ExperimentPaths(root, name).factor_fit, pandas.DataFrame(fit), {})


def tgz(members: dict[str, bytes]) -> bytes:
    """Return a gzipped tar archive of members by their names."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w:gz") as archive:
        for name, content in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return stream.getvalue()
