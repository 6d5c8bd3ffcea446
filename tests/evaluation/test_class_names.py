"""Classes that are called as our own words, or as what pandas takes for nothing, in tables that join by class.

Every count is made again from what lies below it, read with the csv module. From a folder to sufficiency, with names of
any letters: tests/inputs/test_any_names.py.
"""

import csv
import json
import re
import shutil
from dataclasses import replace
from pathlib import Path

import numpy
import pytest
import torch
import yaml
from PIL import Image

from stylex.artifacts import read_json
from stylex.attfind.explanations import explain_analysed
from stylex.attfind.records import Attribute, Direction, write_attributes
from stylex.config import ExperimentPaths, backbone_paths, experiment_paths, load_experiment
from stylex.config.base import POOLED, Protocol
from stylex.datasets import download, prepare
from stylex.errors import ConfigError
from stylex.evaluation.sufficiency import sufficiency
from stylex.latents.encode import encode
from stylex.latents.table import read_latents, write_latents
from stylex.project import load_checked_experiment
from stylex.report.basic_tables import subset_table
from stylex.report.comparisons import paired_table
from stylex.report.run import Run
from tests.builders import NARROW, balance, save_random_network, save_random_stylex

REPOSITORY = Path(__file__).parents[2]
PAIRS = [("both", "all"), ("rest", "random"), ("NA", "null"), ("3", "nan"), ("neither", "low_$")]
COUNT = 40  # images of a class
KS = (1, 2, 3)
PETS = {
    "extends": "cpu-32",
    "title": "Pets",
    "domain": "Pets",
    "dataset": {"name": "pets"},
    "stylex": {"perceptual_backbone": "pets-32", "networks": NARROW},
    "attfind": {
        "images": 48, "protocols": [Protocol.SAME_IMAGES.value], "max_attributes": 3, "shift": 2.0,
        "precision": "float32", "batch_size": 128,
    },
    "evaluation": {
        "sufficiency_k": [*KS], "frechet_attributes": 1, "figure_attributes": 1, "explained_images": 10,
        "explanation_steps": 3,
    },
}  # fmt: skip
WITHOUT_CST = {"conditioning": "none", "conditional_discriminator": False, "losses": {"classifier": 0.0}}
FILES = {
    "datasets/pets": {
        "title": "Pets", "layout": "folders", "licence": "own", "folder": "photos", "channels": 1,
        "shares": {"train": 0.2, "val": 0.1, "test": 0.7},
    },
    "backbones/pets-32": {"extends": "backbone-32", "dataset": "pets"},
    "experiments/pets": PETS,
    "experiments/pets-without-cst": {"extends": "pets", "classifier_of": "pets", "stylex": WITHOUT_CST},
}  # fmt: skip
EXPERIMENTS = ("pets", "pets-without-cst")


def describe(root, names):
    for name, content in FILES.items():
        (root / f"config/{name}.yaml").write_text(yaml.safe_dump(content))
    for index, name in enumerate(names * COUNT):
        path = root / "photos" / name / f"{index:03d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        values = numpy.random.default_rng(index).integers(0, 256, (32, 32), numpy.uint8)
        Image.fromarray(values).save(path)
    download(root, "pets")


def analyse(root, name, names):
    """Encode with random networks, spread the decisions over the classes, and name three attributes of each."""
    paths, config = experiment_paths(root, name), load_experiment(root, name)
    layout = save_random_stylex(root, name).synthesis.layout
    encode(root, name, "cpu")
    if name == "pets":
        balance(paths)
    latents = read_latents(paths.latents)
    decided = torch.nn.functional.one_hot((torch.arange(len(latents.ids)) % 3 == 0).long())
    write_latents(paths.latents, replace(latents, reconstruction_logits=decided.float()))
    attributes = [
        Attribute(target, rank, index, *layout.locate(index), Direction(index % 2), 1.0, 1)
        for position, target in enumerate(names)
        for rank in KS
        for index in [7 * rank + 3 * position]
    ]
    for path in paths.attribute_lists(config.method).values():
        write_attributes(path, attributes, {})
    sufficiency(root, name, "cpu")
    explain_analysed(root, name, "cpu")


@pytest.fixture(scope="module", params=PAIRS, ids="-".join)
def project(request, tmp_path_factory):
    """A project of two classes, and their names in the order of the labels."""
    root, names = tmp_path_factory.mktemp("names"), tuple(sorted(request.param))
    shutil.copytree(REPOSITORY / "config", root / "config")
    describe(root, names)
    prepare(root, "pets", 32)
    save_random_network(ExperimentPaths(root, "pets").classifier.model, "classifier", names)
    save_random_network(backbone_paths(root, "pets-32").model, "backbone", names, seed=2)
    for name in EXPERIMENTS:
        analyse(root, name, names)
    return root, names


def read(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def flips_of(root, name):
    """Return the first_k of the images (0: never) by id, by method and target class."""
    flips = {}
    for row in read(ExperimentPaths(root, name).flips):
        images = flips.setdefault((row["method"], row["target_class"]), {})
        assert row["id"] not in images
        images[row["id"]] = int(row["first_k"] or 0)
    return flips


def test_explanations_of_single_images_are_counted_by_class_and_of_all(project):
    root, names = project
    table = subset_table(Run(root, {"pets": load_experiment(root, "pets")})).data.to_dict("records")
    assert len(table) == 2 * 3 * (len(names) + 1)
    paths = ExperimentPaths(root, "pets")
    for row in table:
        path = paths.subset if row["selection"] == "subset" else paths.independent
        origin = read_json(path.with_suffix(".provenance.json"))
        targets = names if row["target_class"] == POOLED else (row["target_class"],)
        flipped = {
            step["id"]
            for step in read(path)
            if step["target_class"] in targets and step["flipped"] == "True" and int(step["step"]) <= row["k"]
        }
        n = sum(int(origin[f"images towards {target}"]) for target in targets)
        assert (row["n"], row["flipped"]) == (n, len(flipped))
        assert n == 10 or row["target_class"] != POOLED


def test_methods_on_the_same_images_are_counted_by_class_and_of_all(project):
    root, names = project
    experiments = {name: load_experiment(root, name) for name in EXPERIMENTS}
    rows = paired_table(Run(root, experiments)).data.to_dict("records")
    assert any(row["only_a"] or row["only_b"] for row in rows)
    flips = {name: flips_of(root, name) for name in EXPERIMENTS}
    for row in rows:
        sides = []
        for side in "ab":
            of_side = flips[row[f"experiment_{side}"]]
            chosen = names if row["target_class"] == POOLED else (row["target_class"],)
            lists = [of_side[row[f"method_{side}"], target] for target in chosen]
            sides.append({
                (target, identity): 1 <= first <= row["k"]
                for target, each in zip(chosen, lists, strict=True)
                for identity, first in each.items()
            })  # fmt: skip
        same = sides[0].keys() & sides[1].keys()
        only_a = sum(sides[0][image] and not sides[1][image] for image in same)
        only_b = sum(sides[1][image] and not sides[0][image] for image in same)
        assert (row["n"], row["only_a"], row["only_b"]) == (len(same), only_a, only_b)


@pytest.mark.parametrize("name", ["*", "all directions"])
def test_no_class_is_called_as_all_together(root, name):
    describe(root, ("cat", name))
    means = f"{re.escape(repr(name))} means all classes"
    with pytest.raises(ConfigError, match=f"dataset 'pets': {means} together in our tables: rename"):
        prepare(root, "pets", 32)
    assert not (root / "data/processed/pets/32").exists()
    manifest = root / "data/processed/pets/32/manifest.json"
    manifest.parent.mkdir()
    manifest.write_text(json.dumps({"class_names": [name, "cat"]}))  # of an earlier version
    with pytest.raises(ConfigError, match=rf"experiments/pets\.yaml: dataset 'pets': {means}"):
        load_checked_experiment(root, "pets")
    path = root / "config/datasets/pets.yaml"
    path.write_text(path.read_text() + f"classes: ['{name}', cat]\n")
    with pytest.raises(
        ConfigError, match=rf"config/datasets/pets\.yaml: classes\.0 = {re.escape(repr(name))}: {means}"
    ):
        prepare(root, "pets", 32)


def test_all_others_are_no_class_of_the_dataset(root):
    describe(root, ("cat", "rest"))
    path = root / "config/experiments/pets.yaml"
    for name in ("rest", "cat"):
        path.write_text(yaml.safe_dump(PETS | {"dataset": {"name": "pets", "one_vs_rest": name}}))
        if name == "cat":
            assert load_checked_experiment(root, "pets").dataset.one_vs_rest == "cat"
            continue
        with pytest.raises(ConfigError, match=r"one_vs_rest: 'rest' is what all other classes together are called"):
            load_checked_experiment(root, "pets")
