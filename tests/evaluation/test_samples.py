"""The classes of random samples, against images generated one at a time."""

import shutil
from pathlib import Path

import pytest
import torch
import yaml

from stylex.artifacts import load_tensors, read_json, read_table, save_tensors
from stylex.classifiers import build_network, load_classifier
from stylex.classifiers.wrapper import NetworkDescription, save_network
from stylex.config import experiment_paths, load_experiment
from stylex.evaluation.intervals import wilson_interval
from stylex.evaluation.samples import COLUMNS, samples
from stylex.latents.table import Latents, read_latents, write_latents
from stylex.networks.model import build_networks, load_stylex, save_stylex

SAMPLES, IMAGES = 30, 6


@pytest.fixture(params=["probabilities", "none"])
def project(request, root: Path) -> Path:
    """A project with latents of random networks, conditioned or not, and a classifier that is not of one opinion."""
    name = "mnist" if request.param == "probabilities" else "mnist-without-cst"
    shutil.copy(root / f"config/experiments/{name}.yaml", root / "config/experiments/tiny.yaml")
    path = root / "config/experiments/tiny.yaml"
    content = yaml.safe_load(path.read_text())
    content.pop("classifier_of", None)
    channels = {f"{kind}_channels": [8, 8, 8, 8] for kind in ("generator", "encoder", "discriminator")}
    stylex = content.setdefault("stylex", {})
    stylex |= {"networks": channels | {"latent_dim": 8}, "conditioning": request.param}
    content["evaluation"] = {"random_samples": SAMPLES, "batch_size": 7}
    path.write_text(yaml.safe_dump(content))
    config, paths = load_experiment(root, "tiny"), experiment_paths(root, "tiny")
    assert config.stylex.conditioning == request.param
    networks = build_networks(config.stylex, resolution=32, image_channels=1, classes=2, seed=0)
    save_stylex(paths.stylex_model, networks, {})
    torch.manual_seed(0)
    description = NetworkDescription(
        role="classifier", name="random", architecture="resnet18", width=0.125, channels=1, resolution=32,
        class_names=("3", "5"),
    )  # fmt: skip
    save_network(paths.classifier.model, build_network("resnet18", 1, 2, 0.125), description, {})
    logits = torch.randn(IMAGES, 2)
    nothing, size = torch.zeros(IMAGES), networks.synthesis.layout.size
    write_latents(
        paths.latents,
        Latents(
            ids=[str(row) for row in range(IMAGES)], labels=nothing.long(), logits=logits, w=torch.zeros(IMAGES, 8),
            styles=torch.zeros(IMAGES, size), to_rgb_styles=torch.zeros(IMAGES, 3), reconstruction_l1=nothing,
            reconstruction_perceptual=nothing, reconstruction_logits=-logits, discriminator=nothing,
            class_names=("3", "5"), provenance={},
        ),
    )  # fmt: skip
    return root


def plain_decisions(root: Path) -> list[int]:
    """Decide about the samples one at a time, with the bias that splits them; it is written to the classifier."""
    paths, config = experiment_paths(root, "tiny"), load_experiment(root, "tiny")
    networks, classifier, latents = (
        load_stylex(paths.stylex_model),
        load_classifier(paths.classifier.model),
        read_latents(paths.latents),
    )
    random = torch.Generator().manual_seed(config.seed)
    images = torch.randint(IMAGES, (SAMPLES,), generator=random).tolist()
    difference = []
    for row, z in zip(images, torch.randn(SAMPLES, 8, generator=random), strict=True):
        condition = latents.logits[row].softmax(0)[: 0 if config.method == "without_cst" else None]
        w_plus = torch.cat([networks.mapping(z[None])[0], condition])
        answer = classifier(networks.synthesis.render(networks.synthesis.styles(w_plus[None])))[0]
        difference.append(float(answer[1] - answer[0]))
    below, above = sorted(difference)[SAMPLES // 3 - 1 : SAMPLES // 3 + 1]
    border = (below + above) / 2  # of no sample: in a batch it may differ in its last bit
    tensors, header = load_tensors(paths.classifier.model)
    tensors["head.bias"][1] -= border
    save_tensors(paths.classifier.model, tensors, header)
    return [int(value >= border) for value in difference]


def test_decisions_are_counted_for_each_class_and_kind_of_image(project):
    decided = plain_decisions(project)
    samples(project, "tiny", "cpu")
    paths, latents = experiment_paths(project, "tiny"), read_latents(experiment_paths(project, "tiny").latents)
    table = read_table(paths.samples, ("images",))
    assert tuple(table.columns) == COLUMNS
    second = int((latents.logits[:, 1] > latents.logits[:, 0]).sum())
    expected = {"analysed": (IMAGES - second, second), "reconstructed": (second, IMAGES - second)}
    expected["generated"] = (decided.count(0), decided.count(1))
    assert 0 < decided.count(0) < SAMPLES
    for kind, counts in expected.items():
        rows = table[table["images"] == kind]
        assert rows["class_name"].tolist() == ["3", "5"] and rows["count"].tolist() == list(counts)
        for row in rows.to_dict("records"):
            assert row["n"] == sum(counts) and row["fraction"] == pytest.approx(row["count"] / row["n"])
            assert (row["low"], row["high"]) == pytest.approx(wilson_interval(row["count"], row["n"]))
    origin = read_json(paths.samples.with_suffix(".provenance.json"))
    assert origin["config_digest"] == load_experiment(project, "tiny").digest()


def test_a_generator_of_one_image_is_seen_to_collapse(project):
    paths = experiment_paths(project, "tiny")
    tensors, header = load_tensors(paths.stylex_model)
    save_tensors(
        paths.stylex_model, {name: value * ("affine.weight" not in name) for name, value in tensors.items()}, header
    )
    samples(project, "tiny", "cpu")
    table = read_table(paths.samples, ("images",))
    assert sorted(table[table["images"] == "generated"]["count"]) == [0, SAMPLES]
    assert (table[table["images"] == "analysed"]["count"] > 0).all()
