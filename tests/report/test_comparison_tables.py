"""Methods on the same images, single images explained, and means over seeds: by hand."""

import math
import shutil
from pathlib import Path

import pandas
import pytest
import yaml

from stylex.artifacts import read_json, read_table, write_json
from stylex.attfind.explanations import COLUMNS as STEP_COLUMNS
from stylex.config import ExperimentPaths, SuitePaths, load_experiment, load_suite
from stylex.errors import ArtifactError
from stylex.evaluation.intervals import wilson_interval
from stylex.evaluation.paired import mcnemar
from stylex.figures.make import methods_of_classifier
from stylex.report import tables
from stylex.report.classifiers import classifier_row
from stylex.report.paired import COLUMNS, compared
from stylex.report.seeds import over_seeds, seed_groups
from stylex.report.subset import fractions


def flips(*rows: tuple[str, str, float | None]) -> pandas.DataFrame:
    frame = pandas.DataFrame(rows, columns=["id", "target_class", "first_k"])
    return frame.assign(method="any", protocol="held_out")


@pytest.mark.parametrize(
    ("only_a", "only_b", "p"),
    [
        (0, 0, 1.0),  # nothing to tell them apart
        (3, 3, 1.0),
        (5, 0, 2 / 32),  # two of the 2^5 outcomes are as extreme
        (1, 7, 2 * (1 + 8) / 256),
        (10, 2, 2 * (1 + 12 + 66) / 4096),
    ],
)
def test_mcnemar_by_hand(only_a, only_b, p):
    assert mcnemar(only_a, only_b) == pytest.approx(p, rel=1e-12) == mcnemar(only_b, only_a)


def test_flips_are_joined_by_id_and_target_class_whatever_their_order():
    a = flips(("1", "x", 1), ("2", "x", None), ("3", "y", 11), ("4", "y", 10), ("5", "x", 2))
    b = flips(("4", "y", None), ("3", "y", 3), ("2", "x", None), ("1", "x", 4), ("5", "y", 1), ("6", "x", 1))
    # Image 5 goes towards x in one model and towards y in the other, and only one has image 6: neither is compared.
    rows = {row["target_class"]: row for row in compared(a, b, 0, k=10)}
    assert {target: (row["n"], row["only_a"], row["only_b"]) for target, row in rows.items()} == {
        "x": (2, 0, 0), "y": (2, 1, 1), "*": (4, 1, 1),
    }  # fmt: skip
    assert rows["*"]["difference"] == 0 and rows["*"]["p"] == 1
    within = {row["target_class"]: row for row in compared(a, b, 0, k=3)}
    assert (within["*"]["only_a"], within["*"]["only_b"], within["*"]["difference"]) == (1, 1, 0.0)
    assert within["y"]["difference"] == -0.5


def test_an_image_with_several_targets_counts_once():
    """Eight targets of each of six images: A alone flips all of them. Counted apart, p would be 2^-47."""
    a = flips(*((str(image), str(target), 1) for image in range(6) for target in range(8)))
    b = a.assign(first_k=None)
    rows = {row["target_class"]: row for row in compared(a, b, 0)}
    assert list(rows) == [*map(str, range(8)), "*"]
    assert (rows["*"]["n"], rows["*"]["only_a"], rows["*"]["only_b"], rows["*"]["difference"]) == (48, 6, 0, 1.0)
    assert rows["*"]["p"] == mcnemar(6, 0) == 2 / 64
    # An image with more targets under A counts for A.
    mixed = compared(flips(("1", "x", 1), ("1", "y", 1), ("1", "z", None)), flips(("1", "x", None), ("1", "y", None),
                     ("1", "z", 1)), 0)[-1]  # fmt: skip
    assert (mixed["only_a"], mixed["only_b"], mixed["difference"]) == (1, 0, pytest.approx(1 / 3))


def test_the_interval_of_a_difference_resamples_images():
    # Of 100 images A alone flips 30 and B alone 5: sd of the mean sqrt(0.35 - 0.25^2) / 10.
    a = flips(*((str(image), "x", 1 if image < 30 else None) for image in range(100)))
    b = flips(*((str(image), "x", 1 if 30 <= image < 35 else None) for image in range(100)))
    row = compared(a, b, 0)[-1]
    half = 1.96 * (0.35 - 0.25**2) ** 0.5 / 10
    assert (row["low"], row["high"]) == pytest.approx((0.25 - half, 0.25 + half), abs=0.011)
    # Ten targets of each image, all alike: no more images, no narrower.
    both = [pandas.concat([side.assign(target_class=str(target)) for target in range(10)]) for side in (a, b)]
    assert compared(*both, 0)[-1] | {"n": 100} == row | {"protocol": "held_out"}


def test_protocols_are_compared_apart():
    a = flips(("1", "x", 1), ("2", "x", None))
    other = flips(("1", "x", None)).assign(protocol="same_images")
    rows = compared(pandas.concat([a, other]), pandas.concat([a, other.assign(first_k=2)]), 0)
    assert [(row["protocol"], row["target_class"], row["n"], row["only_b"]) for row in rows] == [
        ("held_out", "x", 2, 0), ("held_out", "*", 2, 0), ("same_images", "x", 1, 1), ("same_images", "*", 1, 1),
    ]  # fmt: skip
    assert compared(flips(("1", "x", 1)), flips(("2", "x", 1)), 0) == []  # no image in common: nothing to compare


def test_paired_table_of_the_demo(finished: Path):
    frame = read_table(SuitePaths(finished, "demo").table("paired", "csv"), ("target_class",))
    assert tuple(frame.columns) == COLUMNS
    main = frame[frame["protocol"] == "held_out"]
    pooled = main[(main["target_class"] == "*") & (main["domain"] == "MNIST 3 / 5")]
    assert pooled[["experiment_a", "method_a", "experiment_b", "method_b"]].to_numpy().tolist() == [
        ["mnist", "stylex", "mnist-without-cst", "without_cst"],
        ["mnist", "stylex", "mnist-without-cst", "wu_2021"],
        ["mnist-without-cst", "without_cst", "mnist-without-cst", "wu_2021"],
    ]
    # All 200 images flip, or every second, or every fourth.
    counts = pooled[["k", "n", "only_a", "only_b", "difference"]].to_numpy().tolist()
    assert counts == [[10, 200, 100, 0, 0.5], [10, 200, 150, 0, 0.75], [10, 200, 50, 0, 0.25]]
    assert pooled["p"].iloc[2] == pytest.approx(2**-49)
    text = SuitePaths(finished, "demo").table("paired", "md").read_text()
    compared_images = "| MNIST 3 / 5 | held out | all directions | StylEx | StylEx without CST | 200 | 100 | 0 |"
    assert f"{compared_images} +50.0 (+43.0 to +57.0) | &lt; 0.001 |" in text
    origin = read_json(SuitePaths(finished, "demo").table("paired", "csv").with_suffix(".provenance.json"))
    assert origin["mnist-without-cst.config_digest"] == load_experiment(finished, "mnist-without-cst").digest()


def test_a_suite_without_a_second_method_has_nothing_to_compare(measured: Path):
    path = measured / "config/suites/demo.yaml"
    path.write_text(yaml.safe_dump({"title": "One", "experiments": ["mnist"], "tables": ["paired"]}))
    tables(measured, "demo")
    assert SuitePaths(measured, "demo").table("paired", "csv").read_text() == ",".join(COLUMNS) + "\n"
    assert (
        "| Domain | Protocol | Target class | A | B |" in SuitePaths(measured, "demo").table("paired", "md").read_text()
    )


def test_the_figure_of_methods_shows_what_explains_the_same_classifier(finished: Path):
    for name in ("mnist", "mnist-without-cst"):
        frame = methods_of_classifier(finished, "demo", name)
        pairs = frame[["experiment", "method"]].drop_duplicates().to_numpy().tolist()
        assert pairs == [["mnist", "stylex"], ["mnist-without-cst", "without_cst"], ["mnist-without-cst", "wu_2021"]]


def steps(*rows: tuple[str, str, int, bool]) -> pandas.DataFrame:
    frame = pandas.DataFrame(rows, columns=["id", "target_class", "step", "flipped"])
    return frame.reindex(columns=list(STEP_COLUMNS))


def test_fractions_of_single_images_by_hand():
    # Image 1 turns back at step 2 and still counts; of the three images towards x one has no step at all.
    found = steps(("1", "x", 1, True), ("1", "x", 2, False), ("2", "x", 1, False), ("2", "x", 2, True),
                  ("3", "y", 1, False))  # fmt: skip
    rows = {(row["target_class"], row["k"]): row for row in fractions(found, {"x": 3, "y": 1, "z": 0}, 2)}
    assert {key: (row["flipped"], row["n"]) for key, row in rows.items()} == {
        ("x", 1): (1, 3), ("x", 2): (2, 3), ("y", 1): (0, 1), ("y", 2): (0, 1), ("z", 1): (0, 0), ("z", 2): (0, 0),
        ("*", 1): (1, 4), ("*", 2): (2, 4),
    }  # fmt: skip
    assert rows["*", 2]["fraction"] == 0.5 and rows["z", 1]["fraction"] is None
    assert (rows["x", 2]["low"], rows["x", 2]["high"]) == wilson_interval(2, 3)


def test_subset_table_of_the_demo(finished: Path):
    frame = read_table(SuitePaths(finished, "demo").table("subset", "csv"), ("target_class",))
    row = frame[(frame["experiment"] == "mnist-without-cst") & (frame["target_class"] == "*") & (frame["k"] == 2)]
    assert row["selection"].tolist() == ["subset", "independent"]
    caption = SuitePaths(finished, "demo").table("subset", "md").read_text()
    assert "Independent: by at least one of the k coordinates with the largest effects, each moved alone" in caption
    assert set(row["method"]) == {"without_cst"} and set(row["n"]) == set(row["flipped"]) == {8}
    assert (frame[frame["k"] == 1]["flipped"] == 0).all()
    assert "| mnist | MNIST 3 / 5 | StylEx | subset | 8 | 1 | 0.0 (0.0–32.4) | 100.0 (67.6–100.0) |" in (
        SuitePaths(finished, "demo").table("subset", "md").read_text()
    )


def test_explanations_that_do_not_say_of_how_many_images_are_refused(measured: Path):
    path = ExperimentPaths(measured, "mnist").subset.with_suffix(".provenance.json")
    write_json(path, {"seed": "0", "config_digest": "0"})
    with pytest.raises(ArtifactError, match=r"how many images were explained; run `stylex explain` again"):
        tables(measured, "demo")


def test_mean_and_deviation_over_seeds_by_hand():
    common = {"method": "stylex", "protocol": "held_out", "target_class": "*", "k": 10}
    rows = over_seeds(pandas.DataFrame([common | {"fraction": value} for value in (0.5, 0.7, 0.9, None)]))
    assert [(row["seeds"], pytest.approx(row["mean"]), pytest.approx(row["sd"])) for row in rows] == [(3, 0.7, 0.2)]
    assert math.isnan(over_seeds(pandas.DataFrame([common | {"fraction": 0.5}]))[0]["sd"])


@pytest.fixture
def repeated(measured: Path) -> Path:
    """The demo with a second seed of an experiment and of its twin."""
    for name, text in {
        "mnist-1": "extends: mnist\nseed: 1\ntitle: again\n",
        "mnist-without-cst-1": "extends: mnist-without-cst\nseed: 1\nclassifier_of: mnist-1\n",
        "mnist-longer": "extends: mnist\nseed: 2\nstylex: {training: {images: 64000}}\n",
    }.items():
        (measured / "config/experiments" / f"{name}.yaml").write_text(text)
    path = measured / "config/suites/demo.yaml"
    suite = yaml.safe_load(path.read_text())
    suite["experiments"] += ["mnist-1", "mnist-without-cst-1"]
    path.write_text(yaml.safe_dump(suite | {"tables": ["seeds"]}))
    for source, target in (("mnist", "mnist-1"), ("mnist-without-cst", "mnist-without-cst-1")):
        path = ExperimentPaths(measured, target).sufficiency
        shutil.copytree(ExperimentPaths(measured, source).folder, path.parent)
        table = read_table(path, ("target_class",))
        table["fraction"] /= 2
        table.to_csv(path, index=False)
        write_json(path.with_suffix(".provenance.json"), {"seed": "1"})
    return measured


def test_experiments_that_differ_only_by_their_seed_form_a_group(repeated: Path):
    names = [*load_suite(repeated, "demo").experiments, "mnist-longer"]
    configs = {name: load_experiment(repeated, name) for name in names}
    assert seed_groups(configs) == [["mnist", "mnist-1"], ["mnist-without-cst", "mnist-without-cst-1"]]


def test_table_over_seeds(repeated: Path):
    tables(repeated, "demo")
    frame = read_table(SuitePaths(repeated, "demo").table("seeds", "csv"), ("target_class",))
    assert set(frame["experiments"]) == {"mnist mnist-1", "mnist-without-cst mnist-without-cst-1"}
    row = frame[(frame["method"] == "stylex") & (frame["target_class"] == "*") & (frame["k"] == 10)].iloc[0]
    # 0.7 and 0.35
    assert (row["seeds"], row["mean"], row["sd"]) == (2, pytest.approx(0.525), pytest.approx(0.35 / 2**0.5))
    text = SuitePaths(repeated, "demo").table("seeds", "md").read_text()
    assert "| mnist mnist-1 | MNIST 3 / 5 | StylEx | held out | all directions | 2 |" in text and "52.5 ± 24.7" in text


def test_a_suite_of_one_seed_says_so(measured: Path):
    path = measured / "config/suites/demo.yaml"
    path.write_text(yaml.safe_dump(yaml.safe_load(path.read_text()) | {"tables": ["seeds"]}))
    tables(measured, "demo")
    assert "No experiments of this suite differ only by their seed." in (
        SuitePaths(measured, "demo").table("seeds", "md").read_text()
    )


def test_images_of_another_dataset_are_named_and_not_compared(measured: Path):
    config = measured / "config"
    (config / "backbones/mnist-full.yaml").write_text("extends: backbone-32\ndataset: mnist-full\n")
    (config / "experiments/other.yaml").write_text(
        "extends: mnist\nclassifier_of: mnist\ndataset: {name: mnist-full}\nstylex: {perceptual_backbone: mnist-full}\n"
    )
    path = config / "suites/demo.yaml"
    suite = yaml.safe_load(path.read_text())
    path.write_text(yaml.safe_dump(suite | {"experiments": [*suite["experiments"], "other"]}))
    shutil.copytree(ExperimentPaths(measured, "mnist").folder, ExperimentPaths(measured, "other").folder)
    row = classifier_row(measured, "other", load_experiment(measured, "other"))
    assert row["dataset"] == "mnist-full (classifier: mnist)"
    rows = {
        name: len(read_table(ExperimentPaths(measured, name).sufficiency))
        for name in ("mnist", "mnist-without-cst", "other")
    }
    rows = {name: count // 2 for name, count in rows.items()}  # of the main protocol
    assert len(methods_of_classifier(measured, "demo", "other")) == rows["other"]
    assert len(methods_of_classifier(measured, "demo", "mnist")) == rows["mnist"] + rows["mnist-without-cst"]
