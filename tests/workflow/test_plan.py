"""What a change of the configuration or of the code reruns, and what it does not."""

import sys
from pathlib import Path

import pytest
import yaml

from stylex.figures.catalog import RELEASED, figure_files

# …_aside: by the other protocol.
GALLERY = {"frames", "gallery"}
AFTER_LISTS = {"sufficiency", "frechet", "maps", "counterfactuals", "study", "observer", "figures", "tables", "report"}
AFTER_LISTS |= GALLERY
AFTER_ATTRIBUTES = AFTER_LISTS | {"attributes", "attributes_aside"}
AFTER_EFFECTS = AFTER_ATTRIBUTES | {"effects", "effects_aside", "explanations"}
BASELINE = {"baseline", "baseline_aside"}  # of Wu et al., in the twin without the classifier
AFTER_ENCODE = AFTER_EFFECTS | {"encode", "ganalyze", "samples"} | BASELINE
AFTER_TRAIN = AFTER_ENCODE | {"train", "diagnose"}
EVERYTHING = AFTER_TRAIN | {"classifier", "backbone", "oracle", "prepare", "download"}
MEASURED = {"counterfactuals", "tables", "report"}

# One or two keys of each stage, and those that bring other rules. test_end_to_end.py: rules declare all that they read.
CHANGES = {
    "attfind: {threshold: 1.5}": AFTER_ATTRIBUTES,
    "attfind: {shift: 1.25}": AFTER_EFFECTS,
    "attfind: {images: 20}": AFTER_ENCODE,
    "attfind: {encode_shards: 2}": AFTER_ENCODE - {"encode"} | {"encode_shard", "merge"},
    "attfind: {batch_size: 7}": {"report"},
    "evaluation: {sufficiency_k: [1, 2]}": {"sufficiency", "figures", "tables", "report", "gallery"},
    "evaluation: {frechet_attributes: 3}": {"frechet", "figures", "tables", "report"},
    "evaluation: {frechet_extractors: [backbone, inception]}": {"weights", "frechet", "figures"} | MEASURED,
    "stylex: {perceptual: lpips-alex}": AFTER_TRAIN | {"weights"},
    "evaluation: {explained_images: 3}": {"explanations", "figures", "tables", "report"},
    "evaluation: {random_samples: 10}": {"samples", "tables", "report"},
    "evaluation: {ganalyze: {steps: 10}}": {"ganalyze", "figures"} | MEASURED,
    "evaluation: {figure_attributes: 3}": {"maps", "figures", "report"},
    "evaluation: {figure_class: '3'}": {"ganalyze", "figures"} | MEASURED,
    "evaluation: {oracle: null}": {"maps", "figures"} | MEASURED | GALLERY,
    "evaluation: {oracle: mnist-full-32}": {"download", "prepare", "oracle", "maps", "figures"} | MEASURED | GALLERY,
    "evaluation: {counterfactual_attributes: 5}": MEASURED,
    "attfind: {max_attributes: 41}": AFTER_ATTRIBUTES | BASELINE,
    "attfind: {against: '3'}": AFTER_ATTRIBUTES | BASELINE | {"ganalyze"},
    "study: {attributes: 3}": {"study", "observer", "tables", "report"},
    "study: {observer_draws: 3}": {"observer", "tables", "report"},
    "classifier: {epochs: 2}": AFTER_TRAIN | {"classifier"},
    "classifier: {pretrained: imagenet, width: 1}": AFTER_TRAIN | {"classifier", "weights"},
    "dataset: {classes: ['3', '8']}": AFTER_TRAIN | {"classifier"},
    "title: Another": {"study", "observer", "tables", "report", "gallery"},
    "domain: Digits": {"samples", "sufficiency", "figures", "gallery"} | MEASURED,
    "published_domain: Age": {"tables", "report"},
    "seed: 7": AFTER_TRAIN | {"classifier"},
}


def test_everything_is_planned(virgin):
    counts = virgin.planned()
    assert set(counts) == EVERYTHING - BASELINE - {"attributes_aside", "effects_aside"}
    assert counts["train"] == 2 and counts["classifier"] == 2 and counts["report"] == 1


def test_leaves_are_measured_by_one_regressor_and_need_no_download(virgin):
    counts = virgin.planned("--config", "suite=leaves")
    assert set(counts) == EVERYTHING | {"regressor", "factors"}
    assert counts["regressor"] == 1 and counts["backbone"] == 2
    assert counts["factors"] == counts["train"] == 9
    assert counts["classifier"] == 6 and counts["baseline"] == 3  # a twin explains the classifier of its seed


@pytest.mark.parametrize("change", CHANGES)
def test_changed_option_reruns_what_depends_on_it(built, change):
    set_option(built, change)
    assert set(built.planned()) == CHANGES[change]


@pytest.mark.parametrize(
    "option", ["threshold: 1.5", "threshold_margins: 2.0", "tolerance: 0.2", "max_attributes: 41", "confidence: 0.9"]
)
def test_a_screened_search_measures_for_the_options_of_its_choices(virgin, option):
    set_option(virgin, "attfind: {engine: screened}")
    target = "results/experiments/mnist/attfind/attributes.csv"
    assert virgin.snakemake(target).returncode == 0
    set_option(virgin, f"attfind: {{{option}}}")
    assert "effects" in virgin.planned(target)


def test_changed_training_reruns_the_experiment_and_what_extends_it(built):
    built.edit("config/experiments/mnist.yaml", "    images: 24000", "    images: 64000")
    counts = built.planned()
    assert set(counts) == AFTER_TRAIN
    assert counts["train"] == 2


def test_changed_twin_leaves_the_experiment_and_its_classifier_alone(built):
    with (built.root / "config/experiments/mnist-without-cst.yaml").open("a") as file:
        file.write("  training: {images: 64000}\n")
    counts = built.planned()
    assert set(counts) == AFTER_TRAIN
    assert counts["train"] == 1


def test_a_suite_of_a_twin_alone_trains_the_classifier_that_it_explains(virgin):
    virgin.write_config("suites/demo", virgin.read_config("suites/demo") | {"experiments": ["mnist-without-cst"]})
    counts = virgin.planned()
    assert counts["classifier"] == counts["train"] == 1
    assert virgin.snakemake("results/experiments/mnist/classifier/model.safetensors").returncode == 0


def test_changed_backbone_reruns_the_training_that_uses_it(built):
    with (built.root / "config/backbones/mnist-32.yaml").open("a") as file:
        file.write("epochs: 1\n")
    counts = built.planned()
    assert set(counts) == AFTER_TRAIN | {"backbone"}
    assert counts["train"] == 2


@pytest.mark.parametrize(
    ("module", "rules"),
    [
        ("attfind/selection.py", AFTER_ATTRIBUTES),
        ("attfind/engine.py", AFTER_EFFECTS),
        ("attfind/explanations.py", {"explanations", "frechet", "figures"} | MEASURED | GALLERY),
        ("evaluation/baselines.py", BASELINE | {"ganalyze"} | AFTER_LISTS - {"frechet", "maps", "frames"}),
        ("evaluation/quality.py", MEASURED),
        ("evaluation/sufficiency.py", {"sufficiency", "figures", "gallery"} | MEASURED),
        ("evaluation/maps.py", {"maps", "figures"} | MEASURED | GALLERY),
        ("evaluation/frechet.py", {"frechet", "figures"} | MEASURED),
        ("evaluation/factors.py", set()),  # of leaves alone
        (
            "evaluation/intervals.py",
            {"samples", "sufficiency", "maps", "study", "observer", "figures"} | MEASURED | GALLERY,
        ),
        ("study/observer.py", {"observer", "tables", "report"}),
        ("study/published.py", set()),
        ("training/step.py", AFTER_TRAIN),
        ("diagnosis/verdicts.py", {"diagnose", "tables", "report", "gallery"}),
        ("diagnosis/verdicts.yaml", {"diagnose", "tables", "report", "gallery"}),
        ("report/claims.yaml", {"report"}),
        ("classifiers/training.py", AFTER_TRAIN | {"classifier", "backbone", "oracle"}),
        ("distances.py", AFTER_TRAIN),
        ("report/page.py", {"report"}),
        ("report/templates/page.css", {"report"}),
        ("gallery/page.py", {"gallery"}),
        ("gallery/templates/gallery.js", {"gallery"}),
        ("gallery/sheets.py", GALLERY),
        ("cli/models.py", set()),
        ("config/training.py", AFTER_TRAIN),
        ("config/finetuning.py", AFTER_TRAIN | {"classifier", "backbone", "oracle"}),
        ("config/loading.py", set()),
        ("datasets/catalog.py", {"download", "prepare", *AFTER_TRAIN, "classifier", "backbone", "oracle"}),
        ("datasets/layouts/published.py", set()),
        ("datasets/layouts/__init__.py", set()),
        ("artifacts.py", set()),
    ],
)
def test_changed_code_reruns_its_stages(built, module, rules):
    with (built.root / "stylex" / module).open("a") as file:
        file.write("changed: {limit: 1}\n" if module.endswith(".yaml") else "CHANGED = True\n")
    assert set(built.planned()) == rules


def test_comments_and_docstrings_rerun_nothing(built):
    for path in built.root.glob("stylex/**/*.py"):
        path.write_text(path.read_text().replace('"""', '"""Changed: ', 1) + "# changed\n")
    assert built.planned() == {}


def test_new_key_reruns_what_is_told_the_whole_section(built):
    built.edit("stylex/config/analysis.py", "    split: Split", "    another_key: int = 3\n    split: Split")
    assert set(built.planned()) == {"report"}


def test_time_stamps_alone_rerun_nothing(built):
    for path in [*built.root.glob("stylex/**/*.py"), *built.root.glob("results/experiments/**/*")]:
        path.touch()
    assert built.planned() == {}


def test_names_that_people_give_to_attributes_renew_report_and_gallery_alone(built):
    (built.root / "results/experiments/mnist/names.json").write_text("{}")
    assert set(built.planned()) == {"report", "gallery"}


def test_failed_stage_keeps_earlier_artifacts(virgin):
    trap = "ROOT = Path()\nif sys.argv[1] == 'train':\n    raise SystemExit(2)"
    virgin.edit("stylex/__main__.py", "ROOT = Path()", trap)
    result = virgin.snakemake("--keep-going")
    assert result.returncode == 1
    assert (virgin.root / "results/experiments/mnist/classifier/model.safetensors").is_file()
    assert "encode" not in virgin.executed()


def test_interpreter_of_snakemake_runs_the_verbs(virgin):
    """`.venv/bin/snakemake` works without an activated environment."""
    virgin.environment["PATH"] = "/usr/bin:/bin"
    result = virgin.run(str(Path(sys.executable).parent / "snakemake"), "--cores", "2", "data/raw/mnist/source.json")
    assert result.returncode == 0, result.stderr
    assert virgin.executed() == ["download"]


def test_weights_of_ones_own_need_no_download(built):
    (built.root / "fid.pth").write_bytes(b"")
    set_option(built, "evaluation: {frechet_extractors: [inception], inception_weights: fid.pth}")
    assert set(built.planned()) == {"frechet", "figures"} | MEASURED


def set_option(project, change):
    content = project.read_config("experiments/mnist")
    for key, value in yaml.safe_load(change).items():
        content[key] = {**content.get(key, {}), **value} if isinstance(value, dict) else value
    project.write_config("experiments/mnist", content)


def test_a_released_model_beside_trained_experiments_is_built_as_far_as_it_goes(virgin):
    suite = {
        "title": "Mixed",
        "experiments": ["mnist", "released-age"],
        "tables": ["samples", "sufficiency", "frechet", "user_study"],
    }
    virgin.write_config("suites/mixed", suite)
    virgin.compute("--config", "suite=mixed")
    verbs = virgin.executed()
    once, twice = ("convert-released", "train", "frechet", "samples", "explain", "report"), ("study", "figures")
    expected = dict.fromkeys(once, 1) | dict.fromkeys((*twice, "sufficiency"), 2)
    assert {verb: verbs.count(verb) for verb in expected} == expected
    drawn = {path.name for path in (virgin.root / "results/mixed/figures").glob("released*")}
    assert drawn == {f"released-age-{name}.{suffix}" for name, suffix in figure_files(RELEASED)}
    assert virgin.planned("--config", "suite=mixed") == {}


def test_images_of_a_released_model_are_prepared_and_measured(virgin):
    suite = {"title": "Images", "experiments": ["released-age-ffhq"], "tables": ["sufficiency", "frechet"]}
    virgin.write_config("suites/images", suite)
    assert set(virgin.planned("--config", "suite=images")) == {
        "convert_released", "download", "prepare", "weights", "attributes", "sufficiency", "frechet", "maps",
        "figures_released_with_images", "tables", "report", "frames", "gallery",
    }  # fmt: skip
