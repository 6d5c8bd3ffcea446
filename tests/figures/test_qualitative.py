"""Every figure of images is written, with many attributes and with none."""

from dataclasses import replace

import pytest
from PIL import Image

from stylex.config import ExperimentPaths, SuitePaths
from stylex.errors import ArtifactError, ConfigError
from stylex.figures import qualitative
from stylex.figures.names import ANIMATION_NAMES, FIGURE_NAMES, figure_files

OF_IMAGES = ("teaser", "class-attributes", "comparison", "reconstructions", *ANIMATION_NAMES)


@pytest.mark.parametrize(
    ("subject", "found"), [((3, 64), True), ((1, 32), False)], indirect=["subject"], ids=["colour", "no attribute"]
)
def test_every_file(subject, monkeypatch, found):
    subject = subject if found else replace(subject, attributes={})
    monkeypatch.setattr(qualitative, "load_subject", lambda root, experiment, device: subject)
    qualitative.qualitative_figures(subject.paths.root, "suite", "mnist", "cpu")
    paths = SuitePaths(subject.paths.root, "suite")
    for name, suffix in figure_files():
        if name not in OF_IMAGES:
            continue
        path = paths.figure("mnist", name, suffix)
        if suffix == "pdf":
            assert path.read_bytes().startswith(b"%PDF")
            continue
        with Image.open(path) as image:
            image.verify()


def test_names_are_of_files_that_differ():
    files = figure_files()
    assert len(files) == len(set(files)) == 2 * (len(FIGURE_NAMES) + len(ANIMATION_NAMES)) + len(ANIMATION_NAMES)


def test_an_image_that_is_not_in_the_data_is_named(subject):
    latents = replace(subject.latents, ids=["gone", *subject.latents.ids[1:]])
    with pytest.raises(ArtifactError, match="image 'gone' of .*latents.parquet is not in the dataset; run encode"):
        replace(subject, latents=latents).originals([0])


def test_an_unknown_class_is_named(subject):
    evaluation = subject.config.evaluation.model_copy(update={"figure_class": "8"})
    config = subject.config.model_copy(update={"evaluation": evaluation})
    with pytest.raises(ConfigError, match="unknown class '8'; choose one of dull, bright"):
        _ = replace(subject, config=config).class_name
    assert subject.class_name == "bright" and subject.target == 1
    assert isinstance(subject.paths, ExperimentPaths)
