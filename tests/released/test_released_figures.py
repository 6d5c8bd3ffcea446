"""What is drawn and measured of a released model: with no image but its own, and with those of its latents."""

import csv
from dataclasses import replace
from pathlib import Path

import numpy
import pytest
import torch
from PIL import Image
from torchvision.models import inception_v3

from stylex.artifacts import read_table, sha256
from stylex.attfind.selection import select
from stylex.config import SuitePaths, experiment_paths, load_experiment
from stylex.datasets import download, load_all_classes, prepare
from stylex.errors import ArtifactError
from stylex.evaluation.counterfactuals import load_originals
from stylex.evaluation.frechet import frechet
from stylex.evaluation.maps import maps
from stylex.evaluation.sufficiency import sufficiency
from stylex.figures.catalog import RELEASED, RELEASED_WITH_IMAGES, figure_files, figure_names
from stylex.figures.make import experiment_figures
from stylex.latents.table import read_latents
from stylex.pretrained import WEIGHTS
from stylex.released.convert import convert_released

NUMBERS = range(12)  # of the drawn faces; the released latents are of the first three
NUMBERED = """
title: Faces that nobody has
layout: ffhq
licence: none
folder: faces
shares: {train: 0.6, val: 0.2, test: 0.2}
"""


@pytest.fixture
def analysed(project, change) -> Path:
    """The project with attributes and sufficiency of the reduced model, whose images nobody has."""
    change(attfind={"threshold": 0.001})
    return analyse(project)


def analyse(project: Path) -> Path:
    convert_released(project, "tiny", "cpu")
    select(project, "tiny")
    sufficiency(project, "tiny", "cpu")
    maps(project, "tiny", "cpu")
    return project


def draw(project: Path) -> set[str]:
    """Draw the figures; return the names of the files."""
    experiment_figures(project, "released", "tiny", "cpu")
    return {path.name for path in (SuitePaths(project, "released").folder / "figures").iterdir()}


def test_what_needs_no_image_is_drawn_and_nothing_else(analysed):
    assert draw(analysed) == {f"tiny-{name}.{suffix}" for name, suffix in figure_files(RELEASED)}
    assert not (analysed / "data" / "processed").exists()
    assert figure_names(load_experiment(analysed, "released-age")) == RELEASED
    assert load_experiment(analysed, "released-age").evaluation.figure_attributes == 4, "as [G] figure 2"


def test_images_that_the_reconstruction_keeps_come_first_though_no_error_is_known(analysed):
    from stylex.figures.attributes import strongest
    from stylex.figures.experiment import load_analysed

    subject = load_analysed(analysed, "released", "tiny", "cpu")
    attribute = next(each for found in subject.attributes.values() for each in found)
    latents, effects = subject.latents, subject.effects
    target, ids = latents.class_names.index(attribute.target_class), latents.ids
    assert effects.ids == ids and latents.reconstruction_l1.isnan().all()
    base = torch.full_like(effects.base_logits, -1.0)
    base[:, 1 - target] = 1.0  # all are decided otherwise
    effect = torch.zeros_like(effects.effect)
    effect[:, attribute.direction, attribute.style_index, target] = torch.tensor([3.0, 2.0, 1.0])
    labels = torch.tensor([target, 1 - target, 1 - target])  # the first one's reconstruction is not decided as it is
    chosen = strongest(
        attribute, True, replace(effects, base_logits=base, effect=effect), replace(latents, labels=labels), 3
    )
    assert chosen == [1, 2, 0]


def write_faces(project: Path, numbers=NUMBERS) -> None:
    """Draw faces in the layout of FFHQ: one colour each, so that pixels tell the number."""
    folder = project / "faces" / "resized"
    folder.mkdir(parents=True)
    for number in numbers:
        Image.new("RGB", (32, 32), (20 * number, 255 - 20 * number, 7)).save(folder / f"{number:05d}.png")
    with (project / "faces" / "ffhq_aging_labels.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["image_number", "age_group", "gender"])
        writer.writerows([number, "20-29", ("female", "male")[number % 2]] for number in numbers)
    (project / "config/datasets/numbered.yaml").write_text(NUMBERED)
    download(project, "numbered")
    prepare(project, "numbered", 32)


@pytest.fixture
def with_images(project, change) -> Path:
    write_faces(project)
    evaluation = {"frechet_attributes": 1, "frechet_extractors": ["inception"], "inception_weights": "mine.pth"}
    change(attfind={"threshold": 0.001}, released_images="numbered", evaluation=evaluation)
    return analyse(project)


def test_images_are_found_by_the_number_of_the_latent_in_whichever_split(with_images):
    config, latents = load_experiment(with_images, "tiny"), read_latents(experiment_paths(with_images, "tiny").latents)
    homes = [load_all_classes(with_images, "numbered", 32, split).ids for split in ("train", "val", "test")]
    assert len({place for place, ids in enumerate(homes) for number in latents.ids if number in ids}) > 1
    images = load_originals(with_images, config, latents)(torch.tensor([2, 0]))
    levels = ((images + 1) * 127.5).round().int()
    assert images.shape == (2, 3, 32, 32)
    for image, number in zip(levels, (2, 0), strict=True):
        assert (image == torch.tensor([20 * number, 255 - 20 * number, 7])[:, None, None]).all()


def test_a_missing_image_is_one_line(project, change):
    write_faces(project, [number for number in NUMBERS if number != 1])
    change(released_images="numbered")
    convert_released(project, "tiny", "cpu")
    config, latents = load_experiment(project, "tiny"), read_latents(experiment_paths(project, "tiny").latents)
    with pytest.raises(ArtifactError, match=r"numbered.32.manifest\.json has no image 00001, .*\(1 of 3 are missing\)"):
        load_originals(project, config, latents)


@pytest.mark.slow
def test_fid_of_the_released_model_is_measured_and_drawn(with_images, monkeypatch):
    network = inception_v3(weights=None, num_classes=1008, aux_logits=False, init_weights=False)
    torch.save(network.state_dict(), with_images / "mine.pth")
    published = replace(WEIGHTS["inception"].file, sha256=sha256(with_images / "mine.pth"))
    monkeypatch.setitem(WEIGHTS, "inception", replace(WEIGHTS["inception"], file=published))
    frechet(with_images, "tiny", "cpu")
    curve = read_table(experiment_paths(with_images, "tiny").frechet)
    found = curve[["protocol", "n_attributes", "n", "extractor"]].to_numpy().tolist()
    assert found == [["same_images", k, 3, "inception"] for k in (0, 1)]
    assert numpy.isfinite(curve["frechet_distance"]).all()
    assert draw(with_images) == {f"tiny-{name}.{suffix}" for name, suffix in figure_files(RELEASED_WITH_IMAGES)}
