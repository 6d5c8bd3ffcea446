"""Every figure of images is written, with many attributes and with none; what the experiment lacks is named."""

from dataclasses import replace

import pytest
from PIL import Image

from stylex.config import SuitePaths
from stylex.errors import ArtifactError, ConfigError
from stylex.figures import make
from stylex.figures.catalog import ANIMATION_NAMES, figure_files

OF_IMAGES = ("teaser", "class-attributes", "comparison", "reconstructions")


@pytest.mark.parametrize(
    ("experiment", "found"),
    [((3, 64), True), ((1, 32), False)],
    indirect=["experiment"],
    ids=["colour", "no attribute"],
)
def test_every_file(experiment, monkeypatch, found):
    experiment = experiment if found else replace(experiment, attributes={})
    monkeypatch.setattr(make, "load_analysed", lambda root, suite, name, device: experiment)
    monkeypatch.setattr(make, "figure_names", lambda config: OF_IMAGES)
    make.experiment_figures(experiment.paths.root, "suite", "mnist", "cpu")
    paths = SuitePaths(experiment.paths.root, "suite")
    files = figure_files(OF_IMAGES)
    assert len(files) == len(list((paths.folder / "figures").iterdir())) == 2 * (4 + len(ANIMATION_NAMES)) + 4
    for name, suffix in files:
        path = paths.figure("mnist", name, suffix)
        if suffix == "pdf":
            assert path.read_bytes().startswith(b"%PDF")
            continue
        with Image.open(path) as image:
            image.verify()


def test_an_image_that_is_not_in_the_data_is_named(experiment):
    latents = replace(experiment.latents, ids=["gone", *experiment.latents.ids[1:]])
    with pytest.raises(ArtifactError, match="image 'gone' of .*latents.parquet is not in the dataset; run encode"):
        replace(experiment, latents=latents).originals([0])


def test_an_unknown_class_is_named(experiment):
    evaluation = experiment.config.evaluation.model_copy(update={"figure_class": "8"})
    config = experiment.config.model_copy(update={"evaluation": evaluation})
    with pytest.raises(ConfigError, match="unknown class '8'; choose one of dull, bright"):
        _ = replace(experiment, config=config).class_name
    assert experiment.class_name == "bright" and experiment.target == 1
