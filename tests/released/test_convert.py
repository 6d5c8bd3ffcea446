"""The conversion of a reduced model that TensorFlow wrote, against what TensorFlow computed with it."""

import pickle
import shutil
import zipfile
from itertools import pairwise

import numpy
import pandas
import pytest
import torch

from stylex.attfind.effects import Measurement, compute_effects
from stylex.attfind.records import read_effects
from stylex.classifiers import load_classifier
from stylex.cli import main
from stylex.config import experiment_paths, load_experiment
from stylex.config.paths import released_folder
from stylex.errors import ArtifactError, ConfigError
from stylex.latents.table import read_latents
from stylex.networks.model import load_stylex
from stylex.quantization import quantized
from stylex.released.convert import Request, convert_released
from stylex.released.download import LATENTS

EXACT = {"rtol": 0, "atol": 1e-5}


def test_networks_are_those_of_tensorflow(project, expected):
    convert_released(project, "tiny", "cpu")
    paths = experiment_paths(project, "tiny")
    networks, classifier = load_stylex(paths.stylex_model), load_classifier(paths.classifier.model)
    networks.synthesis.quantized = False  # theirs are not
    latents = read_latents(paths.latents)
    styles = networks.synthesis.styles(networks.w_plus(latents.w, latents.logits))
    images = networks.synthesis.render(styles)
    torch.testing.assert_close(styles.space, expected["styles"], **EXACT)
    torch.testing.assert_close(styles.to_rgb, expected["to_rgb_styles"], **EXACT)
    torch.testing.assert_close(images, expected["images"], **EXACT)
    assert 0.1 < (expected["images"].abs() < 1).float().mean() < 1  # some are cut off, and not all
    torch.testing.assert_close(classifier(images), expected["logits"], **EXACT)
    torch.testing.assert_close(networks.encoder(images), expected["encoded"], **EXACT)
    torch.testing.assert_close(networks.mapping(expected["z"]), expected["mapped"], **EXACT)
    scores = networks.discriminator(images, latents.logits.softmax(dim=1), group=1)
    torch.testing.assert_close(scores, expected["discriminator"], **EXACT)


def test_latents_hold_what_is_known_of_the_images(project, expected):
    convert_released(project, "tiny", "cpu")
    latents = read_latents(experiment_paths(project, "tiny").latents)
    assert latents.ids == ["00000", "00001", "00002"] and latents.class_names == ("old", "young")
    torch.testing.assert_close(latents.styles, expected["styles"], **EXACT)
    seen = load_classifier(experiment_paths(project, "tiny").classifier.model)(quantized(expected["images"]))
    torch.testing.assert_close(latents.reconstruction_logits, seen, **EXACT)
    assert not torch.allclose(seen, expected["logits"], **EXACT)
    assert torch.equal(latents.labels, latents.logits.argmax(1))
    assert latents.reconstruction_l1.isnan().all() and latents.reconstruction_perceptual.isnan().all()
    assert len(latents.provenance["sha256 generator.savedmodel.zip"]) == 64


def test_released_effects_are_those_that_we_measure(project):
    convert_released(project, "tiny", "cpu")
    path = experiment_paths(project, "tiny").effects()
    theirs = read_effects([path])
    path.unlink()
    compute_effects(project, "tiny", "cpu")
    ours = read_effects([path])
    assert theirs.ids == ours.ids and "authors" in theirs.header.provenance["effects"]
    assert theirs.effect.abs().max() > 0.1
    # Theirs are of images that nobody has rounded to 256 levels.
    torch.testing.assert_close(theirs.effect, ours.effect, rtol=0, atol=0.05)
    torch.testing.assert_close(theirs.base_logits, ours.base_logits, rtol=0, atol=0.05)


def test_conversion_is_compared_with_the_authors_numbers_on_images_that_nobody_has_rounded(project):
    (found,) = convert_released(project, "tiny", "cpu", Request(tolerance=1e-4))
    paths, options = experiment_paths(project, "tiny"), load_experiment(project, "tiny").attfind
    networks, classifier = load_stylex(paths.stylex_model), load_classifier(paths.classifier.model)
    networks.synthesis.quantized = False
    latents, theirs = read_latents(paths.latents), read_effects([paths.effects()])
    rows = Measurement(networks, classifier, latents, options, "cpu").rows(range(3))
    effects, logits = torch.stack([row.effect for row in rows]), torch.stack([row.base_logits for row in rows])
    torch.testing.assert_close(theirs.effect, effects, rtol=0, atol=1e-4)
    torch.testing.assert_close(theirs.base_logits, logits, rtol=0, atol=1e-4)
    rounded = (latents.reconstruction_logits - theirs.base_logits).abs().max()
    assert max(found.largest.values()) < 1e-4 < rounded, "the latents have logits of what a file holds"


def test_attfind_and_sufficiency_run_on_the_artifacts(project, change, monkeypatch, capsys):
    monkeypatch.chdir(project)
    change(attfind={"threshold": 0.001})
    for arguments in (["convert-released", "tiny", "--device", "cpu"], ["attributes", "tiny"], ["sufficiency", "tiny"]):
        with pytest.raises(SystemExit) as end:
            main(arguments)
        assert end.value.code == 0
    assert "authors measured: logits" in capsys.readouterr().out
    table = pandas.read_csv(experiment_paths(project, "tiny").sufficiency)
    assert set(table["k"]) == set(range(1, 11)) and (table["n"] <= 3).all()


def test_latents_alone_leave_the_effects_to_be_measured(project, change):
    change(released="latents")
    convert_released(project, "tiny", "cpu")
    paths = experiment_paths(project, "tiny")
    assert paths.latents.is_file() and not paths.effects().exists()


def test_same_files_give_the_same_bytes(project):
    paths = experiment_paths(project, "tiny")
    convert_released(project, "tiny", "cpu")
    first = [path.read_bytes() for path in (paths.stylex_model, paths.classifier.model, paths.latents)]
    convert_released(project, "tiny", "cpu")
    assert first == [path.read_bytes() for path in (paths.stylex_model, paths.classifier.model, paths.latents)]


@pytest.mark.parametrize(
    ("sections", "message"),
    [
        ({"networks": {"latent_dim": 7}}, "of another shape: .*MappingDense_0 .* more"),
        ({"networks": {"mapping_layers": 7}}, "not known here: .*Dense7/MappingDense_7"),
        ({"networks": {"mapping_layers": 9}}, "missing: .*Dense8/MappingDense_8"),
        ({"classifier": {"width": 1 / 32}}, "mobilenet.*of another shape: batch_normalization/beta"),
        ({"classifier": {"architecture": "mobilenet_v1"}}, "activations .* Relu, .*architecture: mobilenet_v1_relu"),
        ({"networks": {"edges": "repeat"}}, "largest differences .* logits"),
        ({"networks": {"clamped": False}}, "largest differences .* logits"),
        ({"stylex": {"conditioning": "logits"}}, "are probabilities, not logits; set stylex.conditioning"),
    ],
)
def test_what_does_not_fit_is_one_line_and_writes_nothing(project, change, sections, message):
    change(**sections)
    with pytest.raises(ArtifactError, match=message) as error:
        convert_released(project, "tiny", "cpu", Request(tolerance=1e-4))
    assert "\n" not in str(error.value)
    assert not (project / "results").exists()


def test_unknown_variable_may_be_named(project, change):
    change(networks={"mapping_layers": 7})
    names = (
        "generator/generator_mapping/Dense7/MappingDense_7",
        "generator/generator_mapping/DenseBiasAct7/MappingBias_7",
    )
    convert_released(project, "tiny", "cpu", Request(ignored=names))
    assert experiment_paths(project, "tiny").stylex_model.is_file()


def test_experiment_has_the_coordinates_that_the_notebook_names(root):
    """[N] shows coordinate 5300; 5,760 are those of StyleGAN2's configuration F at 256x256."""
    config = load_experiment(root, "released-age")
    widths = config.stylex.networks.widths("generator", config.dataset.resolution)
    assert widths == [512, 512, 512, 512, 512, 256, 128]
    assert widths[0] + sum(sum(pair) for pair in pairwise(widths)) == 5760


def test_experiment_that_trains_is_refused(project):
    with pytest.raises(ConfigError, match="'mnist' trains its own networks"):
        convert_released(project, "mnist", "cpu")


@pytest.mark.parametrize(
    "options", [{"shift": 2.0}, {"shards": 2}, {"discriminator_filter": {"change": 0.2, "effect": 0.2, "images": 10}}]
)
def test_released_effects_are_of_one_kind(project, change, options):
    change(attfind=options)
    with pytest.raises(ConfigError, match="released effects are of shift 1"):
        convert_released(project, "tiny", "cpu")


def test_latents_of_other_images_are_noticed(project):
    path = released_folder(project) / LATENTS
    latents = pickle.loads(path.read_bytes())
    path.write_bytes(pickle.dumps([(number, latent + numpy.float32(0.01)) for number, latent in latents]))
    with pytest.raises(ArtifactError, match=r"no effects of image 00000|are logits"):
        convert_released(project, "tiny", "cpu")


def test_archive_of_something_else_is_named(project):
    archive = released_folder(project) / "encoder.savedmodel.zip"
    with zipfile.ZipFile(archive, "w") as target:
        target.writestr("notes.txt", "nothing")
    with pytest.raises(ArtifactError, match=r"no encoder\.savedmodel/variables in the archive"):
        convert_released(project, "tiny", "cpu")
    shutil.rmtree(released_folder(project) / "encoder")
