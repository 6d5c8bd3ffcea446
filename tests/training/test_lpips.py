"""LPIPS instead of the backbone's distance: the same training, and its name in what encode writes."""

import dataclasses

import torch
import yaml
from torchvision.models import alexnet

from stylex.artifacts import read_table, sha256
from stylex.config import ExperimentPaths, weights_path
from stylex.latents.encode import encode
from stylex.latents.table import read_latents
from stylex.pretrained import WEIGHTS
from stylex.training import train


def test_training_and_encoding_take_lpips_from_the_weights_file(tiny_root, monkeypatch):
    path = weights_path(tiny_root, "alexnet")
    path.parent.mkdir(parents=True)
    state = alexnet(weights=None).state_dict()
    unused = {key: torch.zeros(1).expand(value.shape) for key, value in state.items() if key.startswith("classifier")}
    torch.save(state | unused, path)
    published = dataclasses.replace(WEIGHTS["alexnet"].file, sha256=sha256(path))
    monkeypatch.setitem(WEIGHTS, "alexnet", dataclasses.replace(WEIGHTS["alexnet"], file=published))

    paths = ExperimentPaths(tiny_root, "tiny")
    file = tiny_root / "config/experiments/tiny.yaml"
    content = yaml.safe_load(file.read_text())
    content["stylex"]["perceptual"] = "lpips-alex"
    content["stylex"]["training"] |= {"images": 32, "sample_interval": 16, "precision": {"cpu": "bfloat16"}}
    content["attfind"] = {"images": 6}
    file.write_text(yaml.safe_dump(content))

    assert train(tiny_root, "tiny", "cpu")
    history = read_table(paths.stylex_history)
    assert (history["reconstruction_perceptual"] > 0).all() and history["val_frechet_distance"].notna().all()
    encode(tiny_root, "tiny", "cpu")
    latents = read_latents(paths.latents)
    assert latents.provenance["perceptual"] == "lpips-alex"
    assert (latents.reconstruction_perceptual > 0).all()
