"""Real trainings, sabotaged each in its own way and not at all: `train` and `diagnose` name what has failed."""

import logging

import pytest

from stylex.artifacts import read_json, read_table
from stylex.config import ExperimentPaths
from stylex.diagnosis import COLUMNS, write_diagnosis
from stylex.diagnosis.verdicts import CRITERIA
from stylex.networks.model import StylexNetworks
from stylex.networks.synthesis import Synthesis
from stylex.training import train

OF_TRAININGS = set(CRITERIA) - {"moves_distance"}  # which the report alone has


@pytest.fixture
def diagnosed(root_of_tiles, caplog):
    """Train an experiment and diagnose it; return its table, whose numbers `train` has told in the same words."""

    def run(paths):
        with caplog.at_level(logging.INFO, "stylex"):
            caplog.clear()
            assert train(root_of_tiles, paths.name)
            told = lines(caplog)
            caplog.clear()
            write_diagnosis(root_of_tiles, paths.name, "cpu")
        assert told == lines(caplog) != []
        table = read_table(paths.diagnosis)
        assert tuple(table.columns) == COLUMNS and table["measure"].tolist() == [
            each for each in CRITERIA if each in table["measure"].tolist()
        ]
        failed = table[table["verdict"] != "good"]
        assert len(told) == max(len(failed), 1)
        assert (failed["remedy"] != "").all() and (table["remedy"] != "").sum() == len(failed)
        assert told[0].startswith(f"diagnosis of {paths.name}: {[*failed['verdict'], 'good'][0]}: ")
        return table.set_index("measure")

    return run


def lines(caplog):
    return [record.getMessage() for record in caplog.records if record.getMessage().startswith("diagnosis of ")]


def failed(table):
    return list(dict.fromkeys(verdict for verdict in table["verdict"] if verdict != "good"))


def test_a_good_training_is_good(experiment, diagnosed, root_of_tiles):
    paths = experiment("good", training={"images": 6400})
    table = diagnosed(paths)
    assert failed(table) == [] and set(table.index) == OF_TRAININGS
    assert (table["n"] == 256).all() and table.loc["accuracy", "value"] == 1
    origin = read_json(paths.diagnosis.with_suffix(".provenance.json"))
    assert origin["seed"] == "0" and origin["device"] == "cpu"
    before = paths.diagnosis.read_bytes()
    write_diagnosis(root_of_tiles, "good", "cpu")
    assert paths.diagnosis.read_bytes() == before


def test_a_classifier_of_labels_by_lot_is_weak(experiment, diagnosed):
    table = diagnosed(ExperimentPaths(experiment("any").root, "by-lot"))
    assert failed(table)[0] == "weak classifier"
    assert table.loc["accuracy", "value"] == pytest.approx(0.5, abs=0.1)


def test_a_generator_that_does_not_see_its_styles_has_collapsed(experiment, diagnosed, monkeypatch):
    styles = Synthesis.styles
    monkeypatch.setattr(Synthesis, "styles", lambda self, w_plus: styles(self, 0 * w_plus))
    table = diagnosed(experiment("collapsed"))
    assert failed(table)[0] == "collapsed generator"
    assert table.loc["sample_diversity", "value"] == 0
    # What follows from it comes after: one image for all is of no image, and of one class.
    assert {"blind encoder", "ignored condition", "lost classes", "poor reconstructions"} == set(failed(table)[1:])


def test_a_discriminator_that_may_not_change_its_score_has_collapsed(experiment, diagnosed):
    table = diagnosed(experiment("penalised", losses={"r1_gamma": 10000.0}))
    assert failed(table)[0] == "collapsed discriminator"


def test_an_encoder_that_nobody_asks_for_the_image_is_blind(experiment, diagnosed):
    table = diagnosed(experiment("blind", losses={"reconstruction_x": 0.0, "reconstruction_w": 0.0}))
    assert failed(table) == ["blind encoder", "poor reconstructions"]
    assert table.loc["own_nearer", "value"] == pytest.approx(0.5, abs=0.1)


def test_a_condition_of_other_images_is_ignored(experiment, diagnosed, monkeypatch):
    """In training, c is that of another image of the batch, and nothing asks the image to be of its class."""
    conditioning = StylexNetworks.conditioning
    paths = experiment("ignored", losses={"classifier": 0.0}, conditional_discriminator=False)
    with monkeypatch.context() as patched:
        patched.setattr(StylexNetworks, "conditioning", lambda self, logits: conditioning(self, logits.flip(0)))
        assert train(paths.root, "ignored")
    table = diagnosed(paths)
    assert failed(table)[0] == "ignored condition"
    assert table.loc["condition_followed", "value"] < 0.2


def test_without_a_condition_its_measures_do_not_apply(experiment, diagnosed):
    """Nor does the class that reconstructions lose: without the classifier in training that is a finding, no fault."""
    changes = {"conditioning": "none", "conditional_discriminator": False, "losses": {"classifier": 0.0}}
    table = diagnosed(experiment("unconditioned", training={"images": 320}, **changes))
    assert OF_TRAININGS - set(table.index) == {"condition_followed", "class_kept"}
