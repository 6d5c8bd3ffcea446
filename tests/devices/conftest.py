"""A project of small random networks in which every stage of the analysis has run on the CPU."""

import shutil

import numpy
import pyarrow
import pytest
import yaml

from stylex.artifacts import sha256, write_json
from stylex.attfind import selection
from stylex.attfind.effects import compute_effects
from stylex.attfind.explanations import explain_analysed
from stylex.attfind.records import Attribute, Direction, write_attributes
from stylex.config import (
    DatasetPaths,
    backbone_paths,
    experiment_paths,
    load_experiment,
    oracle_paths,
    regressor_paths,
)
from stylex.datasets import download, leaves, prepare
from stylex.diagnosis import write_diagnosis
from stylex.errors import AttributesNotFoundError
from stylex.evaluation.baselines import ganalyze
from stylex.evaluation.factors import factors
from stylex.evaluation.frechet import frechet
from stylex.evaluation.maps import maps
from stylex.evaluation.quality import counterfactuals
from stylex.evaluation.samples import samples
from stylex.evaluation.sufficiency import random_flips, sufficiency
from stylex.latents.encode import encode
from tests.builders import NARROW, balance, save_random_network, save_random_stylex
from tests.conftest import REPOSITORY

TINY, DRAWN = "tiny", "drawn"
DIGITS = tuple("0123456789")
EXPERIMENT = {
    "extends": "mnist",
    "attfind": {
        "images": 24, "max_attributes": 3, "threshold": 1000.0, "precision": "float32", "batch_size": 128,
        "discriminator_filter": {"change": 1000.0, "effect": 0.0, "images": 1.0}, "protocols": ["held_out"],
    },
    "stylex": {
        "networks": NARROW,
        "training": {
            "images": 48, "batch_size": 8, "autoencoder_images": 16, "checkpoint_interval": 24, "sample_interval": 24,
            "precision": {"cpu": "float32", "cuda": "float32"},
        },
    },
    "evaluation": {
        "sufficiency_k": [1, 3], "frechet_attributes": 1, "ganalyze": {"steps": 5}, "counterfactual_searches": 4,
        "counterfactual_diversity": 2, "counterfactual_lists": 2, "batch_size": 10, "random_lists": 1,
        "random_samples": 20, "explained_images": 6, "explanation_steps": 3, "figure_attributes": 1,
        "baselines": {"latent_steps": 4, "pixel_levels": 3, "ganalyze_steps": 3},
    },
}  # fmt: skip
# Of images whose factors are known, for the stage that asks for them.
EXPERIMENT_DRAWN = {
    "extends": "leaves-32",
    "title": "drawn",
    "attfind": {"images": 12, "precision": "float32"},
    "stylex": {"networks": NARROW},
    "evaluation": {"batch_size": 10, "random_moves": 2},
}
# In the order in which they run: what writes the files, and which attributes of ExperimentPaths they are.
STAGES = {
    "encode": (encode, ["latents"]),
    "effects": (compute_effects, ["effects"]),
    "sufficiency": (sufficiency, ["sufficiency", "flips"]),
    "random_flips": (random_flips, ["random_flips"]),
    "frechet": (frechet, ["frechet"]),
    "explain": (explain_analysed, ["independent", "subset"]),
    "ganalyze": (ganalyze, ["ganalyze"]),
    "samples": (samples, ["samples"]),
    "maps": (maps, ["maps", "map_numbers"]),
    "counterfactuals": (counterfactuals, ["counterfactuals", "counterfactual_images"]),
    "diagnosis": (write_diagnosis, ["diagnosis"]),
    "factors": (factors, ["factors", "factor_fit"]),
}


def experiment_of(stage):
    return DRAWN if stage == "factors" else TINY


def write_split(root):
    """Write random images of the digits 3, 5 and 8 as a prepared dataset has them."""
    manifest, shards = DatasetPaths(root, "mnist").manifest(32), {}
    manifest.parent.mkdir(parents=True)
    for seed, split in enumerate(("train", "val", "test")):
        labels = [[3, 5, 8][row % 3] for row in range(60)]
        pixels = numpy.random.default_rng(seed).integers(0, 256, (len(labels), 1, 32, 32), numpy.uint8)
        columns = {
            "image": pyarrow.FixedShapeTensorArray.from_numpy_ndarray(pixels),
            "label": pyarrow.array(labels),
            "id": pyarrow.array([f"{split}-{row:03d}" for row in range(len(labels))]),
        }
        batch, file = pyarrow.record_batch(columns), manifest.parent / f"{split}-00000.arrow"
        with pyarrow.ipc.new_file(str(file), batch.schema) as writer:
            writer.write_batch(batch)
        shards[split] = [{"file": file.name, "bytes": file.stat().st_size, "sha256": sha256(file)}]
    write_json(manifest, {"class_names": list(DIGITS), "channels": 1, "resolution": 32, "shards": shards})


def write_drawn(root):
    """Draw leaves, and write what the experiment on them needs for its factors: random networks, and an attribute."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(leaves, "COUNT", 80)
        download(root, "leaves")
        prepare(root, "leaves", 32)
    (root / f"config/experiments/{DRAWN}.yaml").write_text(yaml.safe_dump(EXPERIMENT_DRAWN))
    paths, regressor = experiment_paths(root, DRAWN), regressor_paths(root, "leaves-32")
    save_random_stylex(root, DRAWN, channels=3)
    save_random_network(paths.classifier.model, "classifier", leaves.CLASSES, 3, seed=3)
    save_random_network(backbone_paths(root, "leaves-32").model, "backbone", ("a", "b"), 3, seed=4)
    save_random_network(regressor.model, "regressor", leaves.FACTORS, 3, seed=5)
    write_json(regressor.metrics, {key: dict.fromkeys(leaves.FACTORS, 0.5) for key in ("mean", "sd")})
    encode(root, DRAWN, "cpu")
    balance(paths)
    encode(root, DRAWN, "cpu")
    found = [Attribute(name, 1, 5, 0, 5, Direction.TO_MAX, 1.0, 1) for name in leaves.CLASSES]
    write_attributes(paths.attributes, found, {})


@pytest.fixture(scope="session")
def analysed(tmp_path_factory):
    """The project. Tests must not change it."""
    root = tmp_path_factory.mktemp("devices")
    shutil.copytree(REPOSITORY / "config", root / "config")
    (root / f"config/experiments/{TINY}.yaml").write_text(yaml.safe_dump(EXPERIMENT))
    write_split(root)
    paths = experiment_paths(root, TINY)
    save_random_stylex(root, TINY)
    save_random_network(paths.classifier.model, "classifier", ("3", "5"), seed=0)
    save_random_network(backbone_paths(root, "mnist-32").model, "backbone", DIGITS, seed=1)
    save_random_network(oracle_paths(root, "mnist-32").model, "oracle", DIGITS, seed=2)
    encode(root, TINY, "cpu")
    balance(paths)
    write_drawn(root)
    for stage, (run, _) in STAGES.items():
        run(root, experiment_of(stage), "cpu")
        if stage == "effects":
            try:
                selection.select(root, TINY, load_experiment(root, TINY).attfind.protocol)
            except AttributesNotFoundError:
                write_attributes(paths.attributes, [], {})
    return root


@pytest.fixture
def project(analysed, tmp_path):
    """A copy of it, which a test may change."""
    shutil.copytree(analysed, tmp_path / "project")
    return tmp_path / "project"
