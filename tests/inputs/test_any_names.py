"""Classes of any names, in any layout: from image files to tables and back, every count made again from the images."""

import csv
import shutil
import tempfile
from collections import Counter
from pathlib import Path

import numpy
import pytest
import torch
import yaml
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from PIL import Image

from stylex.artifacts import load_tensors, read_table, save_tensors, write_table
from stylex.attfind.records import Attribute, Direction, read_attributes, write_attributes
from stylex.classifiers import build_network, load_classifier
from stylex.classifiers.frozen import NetworkDescription, save_network
from stylex.config import ExperimentPaths, SuitePaths, backbone_paths, load_experiment
from stylex.config.base import POOLED
from stylex.datasets import download, load_split, prepare
from stylex.evaluation.sufficiency import sufficiency
from stylex.latents.encode import encode
from stylex.latents.table import read_latents
from stylex.networks.model import build_networks, load_stylex, save_stylex
from stylex.networks.stylespace import StyleVector
from stylex.report.basic_tables import sufficiency_table
from stylex.report.run import Run

REPOSITORY = Path(__file__).parents[2]
SPLITS = {"train": 4, "val": 3, "test": 9}  # images of a class
KS = (1, 2)
NETWORKS = {f"{kind}_channels": [8, 8, 8, 8] for kind in ("generator", "encoder", "discriminator")}
EXPERIMENT = {
    "extends": "cpu-32",
    "title": "Anything",
    "domain": "Anything",
    "dataset": {"name": "anything"},
    "stylex": {"perceptual_backbone": "anything", "networks": NETWORKS | {"latent_dim": 8}},
    "attfind": {
        "images": 64, "protocols": ["same_images"], "max_attributes": 2, "shift": 2.0, "precision": "float32",
        "batch_size": 64,
    },
    "evaluation": {"sufficiency_k": [*KS], "frechet_attributes": 1, "figure_attributes": 1},
}  # fmt: skip
# Cc, Cs, Zl, Zp: nothing that prints. Names that differ only in case or composition are one to some file systems.
PRINTABLE = st.text(st.characters(exclude_categories=("C", "Zl", "Zp")), min_size=1, max_size=12)
HOSTILE = [
    "NA", "nan", "None", "null", "true", "no", "-1", "1e5", "007", "both", "all", 'a,"b"', "=1+1", "#", "$x$", "~"
]  # fmt: skip
NAMES = st.lists(
    (st.sampled_from(HOSTILE) | PRINTABLE).filter(
        lambda name: name.isprintable() and name == name.strip() and name != POOLED
    ),
    min_size=2,
    max_size=5,
    unique_by=lambda name: name.casefold(),
)


def fits_folder(name):
    """Whether a folder can be called so, and is read as a class."""
    return "/" not in name and not name.startswith(".") and name.lower() not in (*SPLITS, "valid", "testing")


@st.composite
def datasets(draw):
    """Draw a layout and names that it can have."""
    layout = draw(st.sampled_from(["folders", "folders of splits", "table", "table of splits"]))
    names = draw(NAMES)
    if layout.startswith("folders"):
        names = [name if fits_folder(name) else f"class {position}" for position, name in enumerate(names)]
    return layout, names


def write_images(root, layout, names):
    """Write different noise for each image and what the layout needs; return label and split by the file's bytes."""
    draw, written, rows = numpy.random.default_rng(0), {}, []
    for position, name in enumerate(names):
        for split, count in SPLITS.items():
            for number in range(count):
                file = Path(split) / f"{position}-{number}.png"
                if layout.startswith("folders"):
                    upper = Path(split) / name if layout.endswith("splits") else Path(name)
                    file = upper / f"{split}-{number}.png"
                path = root / "photos" / file
                path.parent.mkdir(parents=True, exist_ok=True)
                pixels = draw.integers(0, 256, (32, 32), numpy.uint8)
                Image.fromarray(pixels).save(path)
                written[pixels.tobytes()] = name, split
                rows.append({"path": file, "label": name, "split": split})
    if layout.startswith("table"):
        columns = ["path", "label", "split"] if layout.endswith("splits") else ["path", "label"]
        with (root / "photos/images.csv").open("w", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, columns, extrasaction="ignore")
            writer.writeheader()
            writer.writerows(rows)
    return written


def describe(root, layout):
    """Write the files of the dataset, of a backbone and of the experiment."""
    own = {"folder": "photos"} if layout.startswith("folders") else {"csv": "photos/images.csv"}
    dataset = {"title": "Anything", "layout": layout.split()[0], "licence": "own", "channels": 1, **own}
    if not layout.endswith("splits"):
        dataset["shares"] = {"train": 0.25, "val": 0.1875, "test": 0.5625}
    files = {"datasets": dataset, "experiments": EXPERIMENT}
    files["backbones"] = {"extends": "backbone-32", "dataset": "anything"}
    for kind, content in files.items():
        (root / f"config/{kind}/anything.yaml").write_text(yaml.safe_dump(content))


def prepared_as_written(root, names, layout, written):
    """Check the splits against the files; return the class names in their order."""
    download(root, "anything")
    prepare(root, "anything", 32)
    config, found = load_experiment(root, "anything").dataset, Counter()
    for name in SPLITS:
        split = load_split(root, config, name)
        assert split.class_names == tuple(sorted(names))
        for pixels, label in zip(split.raw(), split.labels.tolist(), strict=True):
            label_written, split_written = written[pixels.numpy().tobytes()]
            assert split.class_names[label] == label_written
            assert name == split_written or not layout.endswith("splits")
            found[label_written, name] += 1
    assert found == {(label, split): count for label in names for split, count in SPLITS.items()}
    return tuple(sorted(names))


def analyse(root, names):
    """Encode with random networks of which every class is decided, and give each class two attributes."""
    paths, config = ExperimentPaths(root, "anything"), load_experiment(root, "anything")
    torch.manual_seed(0)
    description = NetworkDescription(
        role="classifier", name="anything", architecture="resnet18", width=0.0625, channels=1, resolution=32,
        class_names=names,
    )  # fmt: skip
    save_network(paths.classifier.model, build_network("resnet18", 1, len(names), 0.0625), description, {})
    backbone = description.model_copy(update={"role": "backbone"})
    save_network(backbone_paths(root, "anything").model, build_network("resnet18", 1, len(names), 0.0625), backbone, {})
    networks = build_networks(config.stylex, resolution=32, image_channels=1, classes=len(names), seed=0)
    save_stylex(paths.stylex_model, networks, {})
    encode(root, "anything", "cpu")
    tensors, header = load_tensors(paths.classifier.model)
    tensors["head.bias"] -= read_latents(paths.latents).reconstruction_logits.mean(dim=0)
    save_tensors(paths.classifier.model, tensors, header)
    encode(root, "anything", "cpu")
    layout = networks.synthesis.layout
    attributes = [
        Attribute(target, rank, index, *layout.locate(index), Direction(rank % 2), 1.0, 1)
        for position, target in enumerate(names)
        for rank in KS
        for index in [5 * rank + 7 * position]
    ]
    for path in paths.attribute_lists(config.method).values():
        write_attributes(path, attributes, {})
    sufficiency(root, "anything", "cpu")


def flips_of_images(root, names):
    """Return n and the flipped ones of each class and k, from images as a file holds them; nothing is asked of tables.

    Which images are turned, and where each coordinate goes, is worked out here again.
    """
    paths, config = ExperimentPaths(root, "anything"), load_experiment(root, "anything")
    latents, classifier = read_latents(paths.latents), load_classifier(paths.classifier.model)
    synthesis, lists = load_stylex(paths.stylex_model).synthesis, read_attributes(paths.attributes)

    @torch.no_grad()
    def decided(space, to_rgb):
        levels = ((synthesis.render(StyleVector(space, to_rgb)) + 1) * 127.5).round().clamp(0, 255).to(torch.uint8)
        return classifier(levels.float() / 127.5 - 1).argmax(dim=1)

    styles, to_rgb, found = latents.styles, latents.to_rgb_styles, {}
    decisions, extremes = decided(styles, to_rgb), (styles.min(dim=0).values, styles.max(dim=0).values)
    for target, name in enumerate(names):
        others = decisions != target
        flipped = torch.zeros(int(others.sum()), dtype=torch.bool)
        for k in KS:
            space = styles[others].clone()
            for one in lists[name][:k]:
                start, extreme = styles[others, one.style_index], extremes[one.direction][one.style_index]
                space[:, one.style_index] = start + config.attfind.shift * (extreme - start)
            if len(space):
                flipped |= decided(space, to_rgb[others]) == target
            found[name, k] = len(flipped), int(flipped.sum())
    for k in KS:
        found[POOLED, k] = tuple(map(sum, zip(*(found[name, k] for name in names), strict=True)))
    return found


@settings(
    max_examples=20,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow],
    phases=[Phase.generate],
)
@given(datasets())
def test_every_count_is_that_of_the_images(dataset):
    layout, names = dataset
    with tempfile.TemporaryDirectory() as temporary:
        root = Path(temporary)
        shutil.copytree(REPOSITORY / "config", root / "config")
        describe(root, layout)
        names = prepared_as_written(root, names, layout, write_images(root, layout, names))
        analyse(root, names)
        expected = flips_of_images(root, names)
        written = SuitePaths(root, "anything").table("sufficiency", "csv")
        write_table(written, sufficiency_table(Run(root, {"anything": load_experiment(root, "anything")})).data, {})
        table = read_table(written)
        own = table[table["method"] == "stylex"]
        found = {(row.target_class, row.k): (row.n, row.flipped, row.fraction) for row in own.itertuples()}
        assert {key: row[:2] for key, row in found.items()} == expected
        for n, flipped, fraction in found.values():
            assert fraction == pytest.approx(flipped / n) if n else numpy.isnan(fraction)
