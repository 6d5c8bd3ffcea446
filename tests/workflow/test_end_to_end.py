"""The whole chain on real MNIST digits with a tiny budget: every stage, every artifact, and what a change reruns.

Each verb records what it runs and reads (recorder/), to be compared with what its rule declares.
"""

import ast
import json
import re
import shutil
from base64 import urlsafe_b64decode
from contextlib import contextmanager
from pathlib import Path

import numpy
import pytest
import torch
import yaml

from stylex.artifacts import read_json, read_table, sha256
from stylex.attfind.records import Attribute, Direction, read_attributes, write_attributes
from stylex.classifiers import load_classifier
from stylex.config import (
    ExperimentPaths,
    GalleryPaths,
    SuitePaths,
    backbone_paths,
    experiment_paths,
    load_experiment,
    oracle_paths,
    weights_path,
)
from stylex.datasets import download, leaves, prepare
from stylex.evaluation.counterfactuals import apply_attributes, images_to_turn
from stylex.figures import animations, attributes, comparison, explanations, reconstructions
from stylex.figures.animations import render_sweep
from stylex.figures.make import experiment_figures
from stylex.figures.style import show
from stylex.latents.encode import encode
from stylex.latents.table import read_latents
from stylex.networks.model import load_stylex
from stylex.source import LEFT_OUT, ROOT, imported
from tests.browsers import Browser, downloaded
from tests.builders import NARROW, save_random_network, save_random_stylex, serving, through_png
from tests.workflow.test_plan import AFTER_ATTRIBUTES

TWIN = {
    "extends": "tiny",
    "classifier_of": "tiny",
    "stylex": {"conditioning": "none", "conditional_discriminator": False, "losses": {"classifier": 0}},
    "attfind": {"encode_shards": 2, "batch_size": 12},
}
SUITE = {
    "title": "A test",
    "experiments": ["tiny", "tiny-without-cst"],
    "tables": [
        "classifiers", "samples", "sufficiency", "seeds", "paired", "subset", "frechet", "counterfactuals",
        "user_study",
    ],
}  # fmt: skip
# What no experiment of that suite asks for; the networks and latents that its rules read are random.
LEAVES = {
    "extends": "leaves-32",
    "title": "Leaves",
    "stylex": {"networks": NARROW},
    "attfind": {"images": 24},
    "evaluation": {"factor_regressor": "tiny", "random_moves": 4},
}
REGRESSOR = {
    "dataset": "leaves", "resolution": 32, "architecture": "resnet18", "width": 0.125, "epochs": 1, "batch_size": 32,
    "learning_rate": 0.005, "max_images": 64,
}  # fmt: skip
OTHERS = {"title": "Others", "experiments": ["leaves-tiny", "released-tiny"], "tables": ["factors"]}

RECORDER = Path(__file__).parent / "recorder"
# Every verb begins in it, and it only calls them.
BEGIN = "stylex.cli.__init__"
# Of what a rule may leave out, these run nevertheless: they look up and check, and an answer other than an error stands
# in the rule's inputs and parameters.
ASKED = {f"stylex.config.{name}" for name in ("analysis", "experiments", "finetuning", "imported", "training")}
ASKED |= {"stylex.datasets.catalog", "stylex.datasets.download"}
# What `train` says of its model when all is written; another limit is no reason to train again.
SAID = {f"stylex/diagnosis/{name}.py" for name in ("__init__", "verdicts")} | {"stylex/classifiers/metrics.py"}
# How many images are in a batch changes no more than roundings; of which a suite or its latents consist, inputs say.
UNTOLD = {"experiments:attfind.batch_size", "experiments:evaluation.batch_size"}
UNTOLD |= {"suites:experiments", "suites:seeds", "suites:shown", "experiments:attfind.encode_shards"}
# A regressor's file is told as a whole, as a classifier's with classes; to merge is told what it is to encode.
UNREAD = {
    "regressor": {"regressors:balance", "regressors:label_smoothing"},
    "merge": {"experiments:attfind.min_realism"},
}

# What a stage resumes from, locks or fetches is of no other's concern.
WORKING = re.compile(r"/checkpoints/|\.parts/|/\.\d+\.(lock|preparing)|^data/weights/explaining-in-style/")
# One verb, three rules.
ENCODE = {"encode": set(), "encode_shard": {"--shard"}, "merge": {"--merge"}}

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def finished(computing, tmp_path_factory, add_released):
    """The project after one run of a suite with a tiny experiment and its twin without the classifier.

    And after one of the rules that are left: what they need besides is there.
    """
    computing.configure_tiny(SUITE)
    computing.write_config("experiments/tiny-without-cst", TWIN)
    write_others(computing, add_released)
    (computing.root / "records").mkdir()
    computing.environment |= {"PYTHONPATH": str(RECORDER), "RUN_RECORDS": str(computing.root / "records")}
    computing.compute()
    with serving_weights(computing.root, tmp_path_factory.mktemp("weights")):
        drawn, released = (ExperimentPaths(Path(), name) for name in OTHERS["experiments"])
        targets = map(str, (drawn.factors, released.stylex_model, weights_path(Path(), "alexnet")))
        rules = ("--allowed-rules", "regressor", "factors", "convert_released", "weights", "--")
        computing.compute("--config", "suite=others", *rules, *targets)
    return computing


def write_others(project, add_released):
    """Write a suite on leaves and of a released model; prepare the leaves, and encode some with random networks."""
    root = project.root
    add_released(root, "released-tiny")
    project.write_config("regressors/tiny", REGRESSOR)
    project.write_config("experiments/leaves-tiny", LEAVES)
    project.write_config("suites/others", OTHERS)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(leaves, "COUNT", 200)
        download(root, "leaves")
        prepare(root, "leaves", 32)
    paths = ExperimentPaths(root, "leaves-tiny")
    layout = save_random_stylex(root, "leaves-tiny", channels=3).synthesis.layout
    save_random_network(paths.classifier.model, "classifier", leaves.CLASSES, 3)
    save_random_network(backbone_paths(root, "leaves-32").model, "backbone", ("a", "b"), 3, seed=1)
    encode(root, "leaves-tiny", "cpu")
    found = [Attribute(name, 1, 5, *layout.locate(5), Direction.TO_MAX, 1.0, 1) for name in leaves.CLASSES]
    write_attributes(paths.attributes, found, {})


@contextmanager
def serving_weights(root, folder):
    """Serve other weights than AlexNet's in their place, as long as the block lasts."""
    catalog = root / "stylex/pretrained.yaml"
    published = catalog.read_text()
    content = yaml.safe_load(published)
    file = folder / content["alexnet"]["file"]["name"]
    torch.save({"weight": torch.zeros(1)}, file)
    with serving(folder) as address:
        content["alexnet"]["folder"] = address
        content["alexnet"]["file"] |= {"size": file.stat().st_size, "sha256": sha256(file)}
        catalog.write_text(yaml.safe_dump(content))
        yield
    catalog.write_text(published)


def test_every_artifact_is_there(finished):
    suite, files = SuitePaths(finished.root, "tiny"), made_by_rules(finished)
    assert len(files) > 150 and suite.report.relative_to(finished.root).as_posix() in files
    assert not [file for file in files if (finished.root / file).stat().st_size == 0]


def test_tables_hold_the_numbers_of_the_experiment(finished):
    paths, suite = ExperimentPaths(finished.root, "tiny"), SuitePaths(finished.root, "tiny")
    ours = read_table(paths.sufficiency, ("target_class",))
    assert set(ours.target_class) == {"4", "9", "*"} and set(ours.k) == {1, 3}
    measured = ours[ours.n > 0]  # so short a training may draw every reconstruction as one class
    assert (measured.target_class == "*").any()
    assert (measured.low <= measured.fraction).all() and (measured.fraction <= measured.high).all()
    table = read_table(suite.table("sufficiency", "csv"), ("target_class",))
    assert set(measured.fraction) <= set(table.fraction)
    assert read_table(paths.frechet).n_attributes.tolist() == [0, 1] * 2
    metrics = json.loads(paths.classifier.metrics.read_text())
    assert 0 <= metrics["accuracy"] <= 1


def test_the_twin_explains_the_same_classifier_by_two_methods(finished):
    paths, suite = ExperimentPaths(finished.root, "tiny-without-cst"), SuitePaths(finished.root, "tiny")
    assert not paths.classifier.folder.exists() and paths.wu_2021.is_file()
    flips = read_table(paths.flips, ("target_class",))
    assert set(flips["method"]) == {"without_cst", "wu_2021"}
    paired = read_table(suite.table("paired", "csv"), ("target_class",))
    assert paired["n"].max() <= 24 and paired["p"].between(0, 1).all()


def test_who_judges_counterfactuals_has_taught_nobody(finished):
    for name in ("tiny", "tiny-without-cst"):
        origin = read_json(ExperimentPaths(finished.root, name).counterfactuals.with_suffix(".provenance.json"))
        files = {
            "oracle": oracle_paths(finished.root, "tiny"),
            "backbone": backbone_paths(finished.root, "tiny"),  # the perceptual network of the loss
            "classifier": experiment_paths(finished.root, name).classifier,
        }
        assert {role: origin[f"{role}_sha256"] for role in files} == {
            role: sha256(paths.model) for role, paths in files.items()
        }
        assert len({origin[f"{role}_sha256"] for role in files}) == 3


def test_counterfactuals_are_of_the_images_whose_flips_are_counted(finished):
    paths = ExperimentPaths(finished.root, "tiny-without-cst")
    images, flips = read_table(paths.counterfactual_images), read_table(paths.flips)
    keys = ["method", "protocol", "target_class", "id"]
    both = images.merge(flips, on=keys, suffixes=("", "_of_flips"))
    assert len(both) == len(flips) > 0 and set(both["method"]) == {"without_cst", "wu_2021"}
    assert both["first_k"].equals(both["first_k_of_flips"].astype(both["first_k"].dtype))
    methods = {"random", "subset", "independent", "latent", "ganalyze", "pixel"}  # no condition: there is none
    assert set(images["method"]) == {*methods, *both["method"]}
    table = read_table(SuitePaths(finished.root, "tiny").table("counterfactuals", "csv"))
    assert set(table["experiment"]) == {"tiny", "tiny-without-cst"} and "condition" in set(table["method"])


def test_logs_and_benchmarks_are_written(finished):
    assert "tiny" in (finished.root / "results/logs/experiments/tiny/train.log").read_text()
    assert (finished.root / "results/benchmarks/rules/train/tiny.tsv").is_file()


def test_a_rule_declares_the_files_that_run(finished, rules):
    for name, rule in chain(finished, rules).items():
        counted = {path for module in rule.modules for path in imported(module, rule.without)}
        left_out = {f"{each.replace('.', '/')}.py" for each in (*LEFT_OUT, *ASKED & set(rule.without), BEGIN)}
        said = SAID if "stylex.diagnosis" in rule.without else set()
        told = {path.relative_to(ROOT).as_posix() for path in counted} | left_out | said
        ran = {f"stylex/{file}" for record in records(finished, rule.verb, name) for file in record["ran"]}
        assert ran <= told, (name, sorted(ran - told))


def test_a_rule_declares_the_keys_that_are_read_and_no_other(finished, rules):
    for name, rule in chain(finished, rules).items():
        told = declared_keys(finished, name)
        files = {tuple(each.split(":")) for record in records(finished, rule.verb, name) for each in record["read"]}
        read = {f"{file.split('/')[0]}:{key}" for file, key in files}
        assert {key for key in read if not any(within(key, each) for each in told)} <= UNTOLD, name
        unread = {each for each in told if not any(within(key, each) for key in read)}
        assert {each for each in unread if not each.startswith("suites:")} == UNREAD.get(name, set()), name


def test_a_verb_reads_and_writes_what_its_rules_declare(finished, rules):
    made, verbs, wrong = made_by_rules(finished), {}, {}
    for name, rule in chain(finished, rules).items():
        verbs.setdefault(rule.verb, set()).add(name)
    for verb, names in verbs.items():
        outputs = {file for file, job in made.items() if job["rule"] in names}
        inputs = {path for file in outputs for path in made[file]["input"]}
        files = [record["files"] for record in records(finished, verb)]
        read, written = ({path for each in files for path in each[how]} for how in ("read", "written"))
        # A manifest and the record of a download have the checksums of what lies beside them.
        beside = tuple(
            f"{Path(path).parent}/" for path in inputs | outputs if path.endswith(("manifest.json", "source.json"))
        )
        others = {path for path in read | written if not path.startswith(beside) and not WORKING.search(path)}
        found = {
            "undeclared": {path for path in others - inputs - outputs if (finished.root / path).is_file()},
            # Tables and report share a list of inputs; which of them they read depends on the suite. The page of the
            # gallery loads the frames in a browser.
            "unread": {
                path
                for path in inputs - read
                if path.startswith(("data/", "results/")) and verb not in ("tables", "report", "gallery")
            },
            "not written": outputs - written,
        }
        wrong |= {(verb, how): sorted(paths) for how, paths in found.items() if paths}
    assert wrong == {}


def made_by_rules(project):
    """Return Snakemake's record of each file that a rule made."""
    files = (project.root / ".snakemake/metadata").iterdir()
    return {urlsafe_b64decode(path.name).decode(): json.loads(path.read_text()) for path in files}


def chain(project, rules):
    """Return the rules that ran, as Snakemake's records name them."""
    ran = {job["rule"] for job in made_by_rules(project).values()}
    chain = {name: rules[{"prepare": "prepare mnist"}.get(name, name)] for name in ran}
    assert chain.keys() >= {"encode_shard", "merge", "regressor", "factors", "weights", "convert_released"}
    return chain


def records(project, verb, rule=None):
    """Return what the processes of a verb, or of one of its rules, have recorded."""
    every = [json.loads(path.read_text()) for path in (project.root / "records").iterdir()]
    found = [each for each in every if " ".join([*each["verb"], ""]).startswith(f"{verb} ")]
    if rule in ENCODE:
        found = [each for each in found if {"--shard", "--merge"} & {*each["verb"]} == ENCODE[rule]]
    assert found, verb
    return found


def declared_keys(project, rule):
    """Return the keys, by kind of file, of which the parameters of a rule's jobs held the values."""
    jobs = made_by_rules(project).values()
    texts = [ast.literal_eval(text) for job in jobs if job["rule"] == rule for text in job["params"]]
    keys = set()
    for value in [json.loads(text) for text in texts if isinstance(text, str) and text.startswith("{")]:
        kind = {name: f"{name}s" for name in ("backbone", "oracle", "regressor")}.get(rule, "experiments")
        sections = [each for name, each in value.items() if name != "suite"] if "suite" in value else [value]
        keys |= {f"{kind}:{key}" for section in sections for key in section}
        keys |= {f"suites:{key}" for key in value.get("suite", ())}
    return keys


def within(key, section):
    return key == section or key.startswith(f"{section}.")


def test_changed_option_of_attfind_reruns_attfind_and_what_follows(finished):
    experiment = finished.root / "config/experiments/tiny.yaml"
    before = experiment.read_text()
    experiment.write_text(before.replace("threshold: 0.0", "threshold: 0.01"))
    assert set(finished.planned()) == AFTER_ATTRIBUTES
    model = ExperimentPaths(finished.root, "tiny").stylex_model
    trained = model.stat().st_mtime_ns
    finished.compute()
    assert model.stat().st_mtime_ns == trained
    assert finished.planned() == {}


def classified(images, classifier, folder: Path):
    """Return the classifier's probabilities [n, classes] of images [n, H, W, 1] that were written and read again."""
    with torch.no_grad():
        return classifier(through_png(numpy.stack(images)[..., 0], folder)).softmax(dim=1).numpy()


def test_each_probability_beside_a_picture_is_that_of_its_file(finished, monkeypatch, tmp_path):
    shown: list[tuple[numpy.ndarray, str]] = []
    sweeps = []

    def recorded(axes, image, corner="", *arguments, **options):
        shown.append((image, corner))
        show(axes, image, corner, *arguments, **options)

    def recorded_sweep(*arguments):
        sweeps.append(render_sweep(*arguments))
        return sweeps[-1]

    for module in (animations, attributes, comparison, explanations, reconstructions):
        monkeypatch.setattr(module, "show", recorded)
    monkeypatch.setattr(animations, "render_sweep", recorded_sweep)
    for name in ("tiny", "tiny-without-cst"):
        classifier = load_classifier(experiment_paths(finished.root, name).classifier.model)
        experiment_figures(finished.root, "tiny", name, "cpu")
        told = [(image, float(corner)) for image, corner in shown if corner]
        assert len(told) > 30
        probabilities = classified([image for image, _ in told], classifier, tmp_path)
        # Of one class or of the other, as the figure says.
        for (_, number), chances in zip(told, probabilities, strict=True):
            assert numpy.abs(chances - number).min() <= 0.01
        for sweep in filter(None, sweeps):
            target = classifier.class_names.index(sweep.class_name)
            images = sweep.images.reshape(-1, *sweep.images.shape[2:])
            chances = classified(images, classifier, tmp_path)[:, target]
            assert numpy.abs(chances - sweep.chances.flatten()).max() <= 0.01
        shown.clear()
        sweeps.clear()


def test_the_flips_counted_from_files_are_those_of_sufficiency(finished, tmp_path):
    config, paths = load_experiment(finished.root, "tiny"), experiment_paths(finished.root, "tiny")
    synthesis = load_stylex(paths.stylex_model).synthesis
    classifier = load_classifier(paths.classifier.model)
    table = read_table(paths.sufficiency, ("protocol", "target_class"))
    for protocol in config.attfind.protocols:
        latents = read_latents(paths.latents).under(protocol)
        lists = read_attributes(paths.under(protocol, config.attfind.protocol).attributes)
        for target, name in enumerate(latents.class_names):
            rows = images_to_turn(latents, name, None)
            flipped = numpy.zeros(len(rows), dtype=bool)
            own = table[(table.protocol == protocol) & (table.target_class == name)].set_index("k")
            assert set(own["n"]) == {len(rows)}
            for k in range(1, 4):
                styles = apply_attributes(latents, rows, lists.get(name, [])[:k], config.attfind.shift)
                if len(rows):
                    with torch.no_grad():
                        images = synthesis.render(styles).permute(0, 2, 3, 1).numpy()
                    flipped |= classified(images, classifier, tmp_path).argmax(axis=1) == target
                if k in own.index:
                    assert own.loc[k, "flipped"] == flipped.sum()


@pytest.mark.browser
@pytest.mark.skipif(shutil.which("chromium") is None, reason="chromium is not on PATH (apt-get install chromium)")
def test_a_name_given_in_the_gallery_of_the_run_reaches_its_report(finished, tmp_path):
    paths, gallery = ExperimentPaths(finished.root, "tiny"), GalleryPaths(finished.root, "tiny")
    with Browser(tmp_path / "profile") as browser:
        browser.call("Browser.setDownloadBehavior", behavior="allow", downloadPath=str(tmp_path))
        browser.open(f"{gallery.page.as_uri()}#experiment=tiny&image=2&at=1", 1280)
        browser.wait("!document.getElementById('stage').hidden")
        answer = browser.evaluate("document.getElementById('answer').textContent")
        browser.evaluate("document.querySelector('#attributes .name').focus()")
        browser.call("Input.insertText", text="a closed loop")
        assert browser.complaints() == []
        browser.evaluate("document.getElementById('export').click()")
        file = downloaded(tmp_path / "names.json")
    rows = read_table(gallery.numbers("tiny"), ("decision", "oracle", "together"))
    second = rows[rows["id"] == rows["id"].unique()[1]].query("attribute == 1 and position == 1").iloc[0]
    assert f"Decided {second['decision']}. An independent classifier: {second['oracle']}." in answer
    assert f"= {second['P(4)']:.2f}" in answer or f"= {second['P(9)']:.2f}" in answer
    finished.done("python", "-m", "stylex", "names", str(file))
    assert set(finished.planned()) == {"report", "gallery"}
    finished.compute()
    for page in (SuitePaths(finished.root, "tiny").report, gallery.page):
        assert "a closed loop" in page.read_text()
    paths.names.unlink()
    finished.compute()
    assert "a closed loop" not in gallery.page.read_text() and finished.planned() == {}
