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
from stylex.attfind.records import write_attributes
from stylex.config import DatasetPaths, backbone_paths, experiment_paths, load_experiment, oracle_paths
from stylex.diagnosis import write_diagnosis
from stylex.errors import AttributesNotFoundError
from stylex.evaluation.baselines import ganalyze
from stylex.evaluation.frechet import frechet
from stylex.evaluation.maps import maps
from stylex.evaluation.quality import counterfactuals
from stylex.evaluation.samples import samples
from stylex.evaluation.sufficiency import random_flips, sufficiency
from stylex.latents.encode import encode
from tests.builders import NARROW, balance, save_random_network, save_random_stylex
from tests.conftest import REPOSITORY

TINY = "tiny"
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
}


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
    for stage, (run, _) in STAGES.items():
        run(root, TINY, "cpu")
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
