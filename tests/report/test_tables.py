"""Tables: values round-trip to CSV, readers get units, intervals and the published context; metrics and summary."""

import csv
import json
import shutil
from pathlib import Path

import pandas
import pytest
import yaml

from stylex.artifacts import TEXT, read_json, read_table, write_json, write_table
from stylex.attfind.explanations import COLUMNS as STEP_COLUMNS
from stylex.config import ExperimentPaths, SuitePaths, load_experiment, load_suite, recomputed_user_study
from stylex.errors import ArtifactError
from stylex.evaluation.factors import OVERLAP
from stylex.evaluation.intervals import mcnemar, wilson_interval
from stylex.evaluation.sufficiency import COLUMNS as SUFFICIENCY
from stylex.figures.curves import methods_of_classifier
from stylex.report import factors, tables
from stylex.report.basic_tables import classifier_row, fractions
from stylex.report.comparisons import PAIRED, compared
from stylex.report.published import read_published, spell_source, with_published
from stylex.report.repeated import over_seeds, seed_groups
from stylex.report.run import Run
from stylex.report.table import Block, Table, percent, to_latex, to_markdown
from stylex.report.user_study import COLUMNS as USER_STUDY
from stylex.report.user_study import user_study_table
from stylex.report.writing import experiment_metrics, summary

REPOSITORY = Path(__file__).parents[2]
NAN = float("nan")


def read(root: Path, name: str, suffix: str = "md") -> str:
    return SuitePaths(root, "demo").table(name, suffix).read_text(encoding="utf-8")


def frame(root: Path, name: str, text: tuple[str, ...] = ()) -> pandas.DataFrame:
    return read_table(SuitePaths(root, "demo").table(name, "csv"), text)


def run_of(root: Path, *names: str) -> Run:
    return Run(root, {name: load_experiment(root, name) for name in names})


def change_suite(root: Path, **changes: object) -> None:
    path = root / "config/suites/demo.yaml"
    path.write_text(yaml.safe_dump(yaml.safe_load(path.read_text()) | changes))
    tables(root, "demo")


# Each table of a finished suite


def test_every_table_of_the_suite_is_written_in_three_formats_with_the_provenance_of_its_experiments(finished: Path):
    for name in load_suite(finished, "demo").tables:
        assert all(read(finished, name, suffix) for suffix in ("csv", "md", "tex"))
    origin = read_json(SuitePaths(finished, "demo").table("paired", "csv").with_suffix(".provenance.json"))
    assert origin["mnist-without-cst.config_digest"] == load_experiment(finished, "mnist-without-cst").digest()


def test_sufficiency_has_the_values_of_the_experiments_and_is_written_as_percentages(finished: Path):
    ours = frame(finished, "sufficiency")
    assert tuple(ours.columns) == SUFFICIENCY and ours["published"].isna().all()
    parts = [
        read_table(ExperimentPaths(finished, name).sufficiency) for name in load_suite(finished, "demo").experiments
    ]
    columns = list(SUFFICIENCY[:-1])
    expected = pandas.concat(parts, ignore_index=True)[columns]
    pandas.testing.assert_frame_equal(ours[columns], expected, check_dtype=False)
    lines = read(finished, "sufficiency").splitlines()
    header = next(line for line in lines if line.startswith("| Experiment"))
    assert "| k = 1, % | k = 5, % | k = 10, % | k = 40, % |" in header and "k = 2" not in header
    mnist = [line for line in lines if line.startswith("| mnist |")]
    assert [line.split(" | ")[3:5] for line in mnist] == [
        [protocol, target] for protocol in ("held out", "same images") for target in ("3", "5", "all directions")
    ]
    assert "| 200 | 2 | 7.0 (4.2–11.4) | 35.0 (28.7–41.8) | 70.0 (63.3–75.9) | 70.0 (63.3–75.9) | – |" in mnist[2]
    cells = [line.split(" | ") for line in lines if "all directions" in line]  # methods of a domain stand together
    methods = ("StylEx", "StylEx without CST", "Wu et al. (StyleSpace)")
    assert sorted(row[2] for row in cells[:6]) == sorted(2 * methods) == sorted(row[2] for row in cells[6:])
    assert "| Lang et al. 2021, Table 3 | Retina DME | StylEx | 10 | 100.0 |  |" in lines
    header = next(line for line in lines if line.startswith("| Source"))
    assert not any(word in header for word in ("FFHQ", "AFHQ", "MNIST"))


def test_a_reproduced_domain_gets_its_published_figure_and_no_other_does(measured: Path):
    path = measured / "config" / "experiments" / "mnist.yaml"
    path.write_text(path.read_text() + "published_domain: AFHQ cats/dogs\n")
    tables(measured, "demo")
    filled = frame(measured, "sufficiency").dropna(subset="published")
    assert set(filled["protocol"]) == {"same_images"}
    assert filled[["experiment", "method", "target_class", "k", "published"]].to_numpy().tolist() == [
        ["mnist", "stylex", "*", 10, 0.25],
        ["mnist", "stylex", "*", 40, 0.94],
        ["mnist-without-cst", "without_cst", "*", 10, 0.157],  # it extends mnist
        ["mnist-without-cst", "wu_2021", "*", 10, 0.01],
    ]
    lines = read(measured, "sufficiency").splitlines()
    line = next(line for line in lines if "| mnist |" in line and "same images | all" in line)
    assert line.endswith("| 25.0 (k = 10), 94.0 (k = 40) |")


def test_classifiers_count_what_the_reconstruction_keeps(finished: Path):
    row = frame(finished, "classifiers").iloc[0]
    assert (row["n_test"], row["accuracy"], row["n_reconstructed"]) == (400, 0.9875, 8)
    assert row["class_kept"] == pytest.approx(7 / 8)
    assert row[["ece", "temperature", "ece_scaled"]].tolist() == [0.0312, 1.625, 0.0104]
    assert all(cells in read(finished, "classifiers") for cells in ("| 87.5 (52.9–97.8) |", "| 3.1 | 1.62 | 1.0 |"))


def test_frechet_names_the_extractor_in_the_column_and_never_says_fid(finished: Path):
    text = read(finished, "frechet")
    header = next(line for line in text.splitlines() if line.startswith("| Attributes"))
    assert r"mnist (n = 200): Fréchet distance, net\_32" in header and "FID" not in header
    assert "| 0 | 1.00 | 1.00 ± 0.20 |" in text
    columns = ["experiment", "protocol", "n_attributes", "n", "extractor", "frechet_distance", "kid", "kid_sd"]
    data = frame(finished, "frechet")
    assert list(data) == [*columns, *(f"kid_fold_{fold}" for fold in range(1, 6))]
    assert len(data) == 88 and text.count("| Attributes") == 2, "a block for each protocol"


def test_fid_stands_beside_the_other_distance_and_the_caption_tells_them_apart(measured: Path):
    path = ExperimentPaths(measured, "mnist").frechet
    curve = read_table(path)
    write_table(path, pandas.concat([curve.assign(extractor="inception", frechet_distance=33.0), curve]), {})
    tables(measured, "demo")
    text = read(measured, "frechet")
    names = ("(n = 200): FID", ": KID × 1000, inception", r"(n = 200): Fréchet distance, net\_32")
    assert (
        f"| mnist {names[0]} | mnist{names[1]} | mnist {names[2]} |" in text and "| 0 | 33.00 | 1.00 ± 0.20 |" in text
    )
    assert "It falls as n grows" in text and "this is not FID" in text


def test_table_of_random_samples_has_a_row_for_each_class_and_shows_a_collapse(finished: Path):
    data = frame(finished, "samples")
    assert set(data["experiment"]) == set(load_suite(finished, "demo").experiments)
    twin = data[(data["experiment"] == "mnist-without-cst") & (data["images"] == "generated")]
    assert twin[["class_name", "count", "n"]].to_numpy().tolist() == [["3", 100, 100], ["5", 0, 100]]
    rows = [line for line in read(finished, "samples").splitlines() if line.startswith("| mnist-without-cst |")]
    assert [row.split(" | ")[2:] for row in rows] == [
        ["StylEx without CST", "3", "8", "100", "50.0 (21.5–78.5)", "62.5 (30.6–86.3)", "100.0 (96.3–100.0) |"],
        ["StylEx without CST", "5", "8", "100", "50.0 (21.5–78.5)", "37.5 (13.7–69.4)", "0.0 (0.0–3.7) |"],
    ]


def test_table_of_counterfactuals_has_agreement_and_distance_side_by_side(finished: Path):
    data = frame(finished, "counterfactuals")
    assert set(data["experiment"]) == set(load_suite(finished, "demo").experiments)
    assert set(data["method"]) == {"stylex", "without_cst", "wu_2021", "random", "pixel"}
    text = read(finished, "counterfactuals")
    assert text.count("never one alone") == 2 and "Protocol: held out." in text and "Protocol: same images." in text
    rows = [line.strip("| ").split(" | ")[1:] for line in text.splitlines() if line.startswith("| mnist |")]
    own = ["StylEx", "all directions", "80", "100.0 (95.4–100.0)", "50.0 (39.3–60.7)", "50.0"]
    chance = ["random moves", "all directions", "160", "0.0 (0.0–4.6)", "0.0 (0.0–4.6)", "50.0"]
    assert rows[:2] == [[*own, "30.0", "3.0", "10.0", "2.0"], [*chance, "–", "–", "–", "–"]]
    assert rows[2][0] == "adversarial pixels"
    assert [row[1] for row in rows if row[1] in ("3", "5")] == ["3", "5"]  # of AttFind's list, the main protocol alone
    distances = next(row for row in rows if row[0] == "StylEx" and len(row) == 9)
    assert distances[:5] == ["StylEx", "all directions", "80", "31.0", "4.0"]


def test_paired_table_of_the_demo(finished: Path):
    data = frame(finished, "paired")
    assert tuple(data.columns) == PAIRED
    main = data[(data["protocol"] == "held_out") & (data["target_class"] == "*") & (data["domain"] == "MNIST 3 / 5")]
    assert main[["experiment_a", "method_a", "experiment_b", "method_b"]].to_numpy().tolist() == [
        ["mnist", "stylex", "mnist-without-cst", "without_cst"],
        ["mnist", "stylex", "mnist-without-cst", "wu_2021"],
        ["mnist-without-cst", "without_cst", "mnist-without-cst", "wu_2021"],
    ]
    # All 200 images flip, or every second, or every fourth.
    counts = main[["k", "n", "only_a", "only_b", "difference"]].to_numpy().tolist()
    assert counts == [[10, 200, 100, 0, 0.5], [10, 200, 150, 0, 0.75], [10, 200, 50, 0, 0.25]]
    assert main["p"].iloc[2] == pytest.approx(2**-49)
    images = "| MNIST 3 / 5 | held out | all directions | StylEx | StylEx without CST | 200 | 100 | 0 |"
    assert f"{images} +50.0 (+43.0 to +57.0) | &lt; 0.001 |" in read(finished, "paired")


def test_subset_table_of_the_demo(finished: Path):
    data = frame(finished, "subset")
    row = data[(data["experiment"] == "mnist-without-cst") & (data["target_class"] == "*") & (data["k"] == 2)]
    assert row["selection"].tolist() == ["subset", "independent"] and set(row["method"]) == {"without_cst"}
    assert set(row["n"]) == set(row["flipped"]) == {8} and (data[data["k"] == 1]["flipped"] == 0).all()
    line = "| mnist | MNIST 3 / 5 | StylEx | subset | 8 | 1 | 0.0 (0.0–32.4) | 100.0 (67.6–100.0) |"
    assert line in read(finished, "subset")


def test_a_suite_of_one_method_and_seed_has_nothing_to_compare_and_says_so(measured: Path):
    change_suite(measured, experiments=["mnist"], tables=["paired", "seeds"])
    assert read(measured, "paired", "csv") == ",".join(PAIRED) + "\n"
    assert "| Domain | Protocol | Target class | A | B |" in read(measured, "paired")
    assert "No experiments of this suite differ only by their seed." in read(measured, "seeds")


def test_explanations_that_do_not_say_of_how_many_images_are_refused(measured: Path):
    path = ExperimentPaths(measured, "mnist").subset.with_suffix(".provenance.json")
    write_json(path, {"seed": "0", "config_digest": "0"})
    with pytest.raises(ArtifactError, match=r"how many images were explained; run `stylex explain` again"):
        tables(measured, "demo")


def test_a_missing_artifact_is_one_clear_line(measured: Path):
    ExperimentPaths(measured, "mnist").sufficiency.unlink()
    with pytest.raises(ArtifactError, match=r"sufficiency\.csv does not exist"):
        tables(measured, "demo")


# Whoever reads a table gets its words as they are in the file, whether or not the reader knows of the column.


def is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return cell in ("", "True", "False")
    return True


def test_every_column_of_words_in_a_finished_project_is_declared(finished: Path):
    either = {"value", "spread", "published", "published_spread", "correct", "images"}  # words, or numbers elsewhere
    paths = sorted([*(finished / "results").rglob("*.csv"), *(finished / "config/published").glob("*.csv")])
    assert len(paths) > 30
    seen = set()
    for path in paths:
        with path.open(newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
        columns = {name: [row[name] for row in rows] for name in (rows[0] if rows else ())}
        words = {name for name, cells in columns.items() if not all(map(is_number, cells))}
        assert words <= TEXT | either, path
        seen |= words
        data = read_table(path)
        assert all(data[name].tolist() == cells for name, cells in columns.items() if name in TEXT), path
    assert {"target_class", "method", "id", "experiment", "direction", "finding", "note"} <= seen


def test_formats_escape_what_has_a_meaning_and_align_numbers():
    data = pandas.DataFrame({"Name_1": ["a|b", r"50 % & \x_{1}~^#$ <y>"], "n": [1, 2]})
    table = Table("awkward", "Awkward", data, (Block("100 % of a_b", data, ("n",)),))
    text = to_latex(table)
    assert all(rule in text for rule in (r"\toprule", r"\midrule", r"\bottomrule", r"\begin{tabular}{lr}"))
    assert r"\caption{100 \% of a\_b}" in text and r"Name\_1 & n \\" in text
    escaped = r"50 \% \& \textbackslash{}x\_\{1\}\textasciitilde{}\textasciicircum{}\#\$ \textless{}y\textgreater{}"
    assert escaped in text
    lines = [line for line in to_markdown(table).splitlines() if line.startswith("|")]
    assert lines[1] == "| :--- | ---: |" and lines[2] == r"| a\|b | 1 |"
    assert all(line.replace(r"\|", "").count("|") == 3 for line in lines)
    assert (percent(0.8333), percent(0.0), percent(NAN)) == ("83.3", "0.0", "–")


# When a published figure may stand beside one of ours


@pytest.mark.parametrize(
    ("domain", "row", "model", "expected"),
    [
        ("FFHQ perceived gender", {"method": "stylex"}, None, [None, 0.832, None]),
        ("FFHQ perceived gender", {"method": "without_cst"}, None, [None, 0.827, None]),
        ("FFHQ perceived gender", {"method": "wu_2021"}, None, [None, 0.143, None]),
        ("AFHQ cats/dogs", {"method": "stylex"}, None, [None, 0.25, 0.94]),
        ("Retina DME", {"method": "without_cst"}, None, [None, 0.0, None]),
        (
            "FFHQ perceived gender",
            {"protocol": "held_out"},
            None,
            [None] * 3,
        ),  # the papers: where they searched
        ("FFHQ perceived gender", {"target_class": "female"}, None, [None] * 3),  # and pool both directions
        ("FFHQ perceived gender", {"method": "stylex"}, "Model 1", [None, 0.51, None]),  # of a replication
        ("FFHQ perceived gender", {"method": "wu_2021"}, "Model 1", [None] * 3),
        (None, {}, None, [None] * 3),
        ("MNIST 4 / 9", {}, None, [None] * 3),
        ("FFHQ", {}, None, [None] * 3),
    ],
)
def test_domain_method_protocol_and_k_must_agree(domain, row, model, expected):
    common = {"method": "stylex", "protocol": "same_images", "target_class": "*"} | row
    ours = pandas.DataFrame(common | {"k": [1, 10, 40], "published": None})
    filled = with_published(ours, read_published(REPOSITORY, "sufficiency"), domain, model)["published"]
    assert [None if pandas.isna(value) else value for value in filled] == expected


def test_sources_are_spelled_out():
    assert spell_source("vandervleuten_2022 Table 1") == "van der Vleuten et al. 2022, Table 1"
    assert read_published(REPOSITORY, "datasets")["source"].iloc[0] == "Lang et al. 2021, Table 1"


# Methods on the same images, by hand


def flips(*rows: tuple[str, str, float | None]) -> pandas.DataFrame:
    data = pandas.DataFrame(rows, columns=["id", "target_class", "first_k"])
    return data.assign(method="any", protocol="held_out")


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
    counts = {target: (row["n"], row["only_a"], row["only_b"]) for target, row in rows.items()}
    assert counts == {"x": (2, 0, 0), "y": (2, 1, 1), "*": (4, 1, 1)}
    assert rows["*"]["difference"] == 0 and rows["*"]["p"] == 1
    within = {row["target_class"]: row for row in compared(a, b, 0, k=3)}
    assert (within["*"]["only_a"], within["*"]["only_b"], within["*"]["difference"]) == (1, 1, 0.0)
    assert within["y"]["difference"] == -0.5


def test_an_image_with_several_targets_counts_once():
    """Eight targets of each of six images: A alone flips all of them. Counted apart, p would be 2^-47."""
    a = flips(*((str(image), str(target), 1) for image in range(6) for target in range(8)))
    last = compared(a, a.assign(first_k=None), 0)[-1]
    assert (last["n"], last["only_a"], last["only_b"], last["difference"]) == (48, 6, 0, 1.0)
    assert last["p"] == mcnemar(6, 0) == 2 / 64
    mixed = [[("1", "x", 1), ("1", "y", 1), ("1", "z", None)], [("1", "x", None), ("1", "y", None), ("1", "z", 1)]]
    last = compared(*(flips(*side) for side in mixed), 0)[-1]  # an image with more targets under A counts for A
    assert (last["only_a"], last["only_b"], last["difference"]) == (1, 0, pytest.approx(1 / 3))


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


def test_the_figure_of_methods_shows_what_explains_the_same_classifier(finished: Path):
    for name in ("mnist", "mnist-without-cst"):
        pairs = methods_of_classifier(finished, "demo", name)[["experiment", "method"]].drop_duplicates()
        twin = [["mnist-without-cst", "without_cst"], ["mnist-without-cst", "wu_2021"]]
        assert pairs.to_numpy().tolist() == [["mnist", "stylex"], *twin]


def test_fractions_of_single_images_by_hand():
    # Image 1 turns back at step 2 and still counts; of the three images towards x one has no step at all.
    rows = [("1", "x", 1, True), ("1", "x", 2, False), ("2", "x", 1, False), ("2", "x", 2, True), ("3", "y", 1, False)]
    steps = pandas.DataFrame(rows, columns=["id", "target_class", "step", "flipped"]).reindex(columns=[*STEP_COLUMNS])
    rows = {(row["target_class"], row["k"]): row for row in fractions(steps, {"x": 3, "y": 1, "z": 0}, 2)}
    assert {key: (row["flipped"], row["n"]) for key, row in rows.items()} == {
        ("x", 1): (1, 3), ("x", 2): (2, 3), ("y", 1): (0, 1), ("y", 2): (0, 1), ("z", 1): (0, 0), ("z", 2): (0, 0),
        ("*", 1): (1, 4), ("*", 2): (2, 4),
    }  # fmt: skip
    assert rows["*", 2]["fraction"] == 0.5 and rows["z", 1]["fraction"] is None
    assert (rows["x", 2]["low"], rows["x", 2]["high"]) == wilson_interval(2, 3)


# Over seeds


def test_mean_and_deviation_over_seeds_by_hand():
    common = {"method": "stylex", "protocol": "held_out", "target_class": "*", "k": 10}
    (row,) = over_seeds(pandas.DataFrame([common | {"fraction": value} for value in (0.5, 0.7, 0.9, None)])).to_numpy()
    assert row.tolist() == [*common.values(), 3, pytest.approx(0.7), pytest.approx(0.2)]
    assert over_seeds(pandas.DataFrame([common | {"fraction": 0.5}]))["sd"].isna().all()


def test_experiments_that_differ_only_by_their_seed_form_a_group_and_a_table(measured: Path):
    """The demo with a second seed of an experiment, of half its flips, and of its twin."""
    for name, text in {
        "mnist-1": "extends: mnist\nseed: 1\ntitle: again\n",
        "mnist-without-cst-1": "extends: mnist-without-cst\nseed: 1\nclassifier_of: mnist-1\n",
        "mnist-longer": "extends: mnist\nseed: 2\nstylex: {training: {images: 64000}}\n",
    }.items():
        (measured / "config/experiments" / f"{name}.yaml").write_text(text)
    for source, target in (("mnist", "mnist-1"), ("mnist-without-cst", "mnist-without-cst-1")):
        path = ExperimentPaths(measured, target).sufficiency
        shutil.copytree(ExperimentPaths(measured, source).folder, path.parent)
        data = read_table(path)
        write_table(path, data.assign(fraction=data["fraction"] / 2), {"seed": "1"})
    names = [*load_suite(measured, "demo").experiments, "mnist-1", "mnist-without-cst-1"]
    configs = {name: load_experiment(measured, name) for name in (*names, "mnist-longer")}
    assert seed_groups(configs) == [["mnist", "mnist-1"], ["mnist-without-cst", "mnist-without-cst-1"]]
    change_suite(measured, experiments=names, tables=["seeds"])
    data = frame(measured, "seeds")
    assert set(data["experiments"]) == {"mnist mnist-1", "mnist-without-cst mnist-without-cst-1"}
    row = data[(data["method"] == "stylex") & (data["target_class"] == "*") & (data["k"] == 10)].iloc[0]
    # 0.7 and 0.35
    assert (row["seeds"], row["mean"], row["sd"]) == (2, pytest.approx(0.525), pytest.approx(0.35 / 2**0.5))
    line = "| mnist mnist-1 | MNIST 3 / 5 | StylEx | held out | all directions | 2 |"
    assert line in read(measured, "seeds") and "52.5 ± 24.7" in read(measured, "seeds")


def test_counterfactuals_over_seeds(measured: Path):
    for seed, agreed in enumerate((None, 0.5, 0.9)):
        paths = ExperimentPaths(measured, f"mnist-seed{seed}" if seed else "mnist")
        if seed:
            shutil.copytree(ExperimentPaths(measured, "mnist").folder, paths.folder)
        table = read_table(paths.counterfactuals)
        write_table(paths.counterfactuals, table.assign(agreement=agreed, frechet_ratio=2.0 * seed), {})
    change_suite(measured, experiments=["mnist"], seeds=3, tables=["counterfactual_seeds"])
    data = frame(measured, "counterfactual_seeds")
    row = data[(data["method"] == "stylex") & (data["target_class"] == "*") & (data["protocol"] == "held_out")]
    row = row.set_index("measure")
    assert set(data["experiments"]) == {"mnist mnist-seed1 mnist-seed2"}
    # Student's t of one degree of freedom is 12.706 at 97.5 %, of two 4.303.
    values = row.loc["agreement", ["seeds", "mean", "sd", "low", "high"]].tolist()
    assert values == pytest.approx([2, 0.7, 0.2828, 0.7 - 12.706 * 0.2, 0.7 + 12.706 * 0.2], rel=1e-3)
    values = row.loc["frechet_ratio", ["seeds", "mean", "sd", "low", "high"]].tolist()
    assert values == pytest.approx([3, 2, 2, 2 - 4.303 * 2 / 3**0.5, 2 + 4.303 * 2 / 3**0.5], rel=1e-3)
    own = read_table(ExperimentPaths(measured, "mnist").diagnosis).set_index("measure")["value"]["own_nearest"]
    assert (row.loc["own_nearest", "mean"], row.loc["own_nearest", "seeds"]) == (pytest.approx(own), 3)
    text = read(measured, "counterfactual_seeds")
    assert "70.0 ± 28.3 (-184.1 to 324.1)" in text and "2.0 ± 2.0 (-3.0 to 7.0)" in text
    assert f"| 3 | {row.loc['agreement', 'n']:.0f} |" in text  # images are counted in whole numbers


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
    assert classifier_row(run_of(measured, "other"), "other")["dataset"] == "mnist-full (classifier: mnist)"
    rows = {
        name: len(read_table(ExperimentPaths(measured, name).sufficiency)) // 2  # of the main protocol
        for name in ("mnist", "mnist-without-cst", "other")
    }
    assert len(methods_of_classifier(measured, "demo", "other")) == rows["other"]
    assert len(methods_of_classifier(measured, "demo", "mnist")) == rows["mnist"] + rows["mnist-without-cst"]
    path.write_text(yaml.safe_dump(suite))  # the figure of an experiment that the suite does not name is its own
    assert len(methods_of_classifier(measured, "demo", "other")) == rows["other"]


# Known factors: coverage and chance by hand, means over seeds

CAUSES = ["spots", "curl"]


def moves(*rows):
    columns = ["target_class", "rank", "factor", "change"]
    return pandas.DataFrame(rows, columns=columns).assign(threshold=0.5)


def test_a_cause_is_covered_by_a_move_of_its_own_above_the_threshold():
    measured = moves(
        ("sick", 1, "size", 2.0), ("sick", 2, "spots", 0.4), ("sick", 3, "curl", -0.6),
        ("healthy", 2, "spots", -0.9), ("healthy", 3, None, NAN),
    )  # fmt: skip
    covered = [factors.covered(measured, CAUSES, k) for k in (1, 2, 3)]
    assert covered == [set(), {"spots"}, {"spots", "curl"}] and factors.covered(measured, ["size"], 1) == {"size"}


def test_chance_by_hand():
    # Four moves of sick: two of spots, one of curl that is too small, one of size; four of healthy: one of spots.
    measured = moves(
        ("sick", 1, "spots", 1.0), ("sick", 2, "spots", -1.0), ("sick", 3, "curl", 0.1), ("sick", 4, "size", 1.0),
        ("healthy", 1, "spots", 1.0), *(("healthy", rank, None, NAN) for rank in (2, 3, 4)),
    )  # fmt: skip
    # k = 1: spots are missed by both with 2/4 x 3/4. k = 2: C(2,2)/C(4,2) x C(3,2)/C(4,2) = 1/6 x 1/2.
    by_chance = [factors.covered_by_chance(measured, CAUSES, k) for k in (1, 2, 10)]
    assert by_chance == [pytest.approx(1 - 3 / 8), pytest.approx(1 - 1 / 12), 1.0]
    assert factors.covered_by_chance(measured, ["angle"], 4) == 0.0
    # One class, four moves: one of spots, one of curl, two of size. Two of them are both causes in one of 6 pairs.
    measured = moves(*(("sick", rank, factor, 1.0) for rank, factor in enumerate(("spots", "curl", "size", "size"), 1)))
    assert [factors.all_covered_by_chance(measured, CAUSES, k) for k in (1, 2, 4)] == pytest.approx([0, 1 / 6, 1])
    one = factors.covered_by_chance(measured, ["spots"], 1)
    assert factors.all_covered_by_chance(measured, ["spots"], 1) == pytest.approx(one)


def test_a_coordinate_in_both_lists_counts_once_by_its_first_rank():
    columns = ["target_class", "rank", "style_index"]
    lists = pandas.DataFrame([("sick", 2, 7), ("sick", 3, 8), ("healthy", 1, 7), ("healthy", 3, 9)], columns=columns)
    lists = lists.assign(experiment="leaves", method="stylex")
    first = [["healthy", 1, 7], ["sick", 3, 8], ["healthy", 3, 9]]
    assert factors.once(lists)[columns].to_numpy().tolist() == first
    other = [lists, lists.assign(experiment="leaves-seed1"), lists.assign(method="random")]
    assert len(factors.once(pandas.concat(other))) == 9  # another model's coordinate 7 is another one


@pytest.mark.parametrize(
    ("values", "text"), [([1.0, 2.0, 3.0], "2.00 ± 1.00"), ([1.5], "1.50"), ([NAN, 2.0], "2.00"), ([], "–")]
)
def test_mean_and_sd_over_seeds(values, text):
    assert factors.over_seeds(values, "{:.2f}".format) == text


def test_factors_stand_by_method_with_mean_and_sd_over_seeds(factor_table):
    coverage = factor_table.blocks[0].frame
    both = coverage[coverage["Target class"] == "all directions"].set_index("Method")
    own = both.loc["StylEx"]  # of three moves of the first seed two are of one coordinate
    assert (own["Seeds"], own["n"], own["Moves"]) == (2, "20 / 20", "2 / 2")
    assert own["Purity, %"] == "60.0 ± 14.1"  # seeds: 70 and 50
    assert own["Of a cause, %"] == "75.0 ± 35.4"  # seeds: 50 and 100
    assert own["Causes, k = 1"] == "1.50 ± 0.71"  # seeds: spots; spots and curl
    assert own["Moved by the list"] == "spots 2/2, size 1/2, curl 1/2"
    assert both.loc["StylEx without CST", "Causes, k = 1"] == "1.00"
    assert both.loc["random moves, StylEx", "Causes, k = 1"] == "0.00 ± 0.00"
    assert "random moves, StylEx without CST" in both.index
    sick = coverage[(coverage["Method"] == "StylEx") & (coverage["Target class"] == "sick")].iloc[0]
    assert sick["Causes, k = 1"] == "1.00 ± 0.00"


def test_each_attribute_is_named_with_the_place_where_it_acts(factor_table):
    named, regions, places, fit = (block.frame for block in factor_table.blocks[1:])
    columns = ["Experiment", "Target class", "1", "2"]
    assert named.iloc[0][columns].tolist() == ["leaves", "sick", "spots +1.00 (80)", "–"]
    assert places.iloc[0][columns].tolist() == ["leaves", "sick", "spots 80.0 (70.0–90.0) / 40.0", "–"]
    assert "random" not in set(named["Method"])
    assert fit.iloc[0][["Factor", "Cause", "Seeds", "R² of images"]].tolist() == ["spots", "yes", 2, "0.99 ± 0.00"]
    lines = regions.set_index(["Method", "Factor"])
    spots = lines.loc[("StylEx", "spots")]  # of the first seed two moves are of one coordinate, the first counts
    assert spots[["Seeds", "Moves"]].tolist() == [2, "1 / 1"]
    assert spots[["Inside, %", "Area, %"]].tolist() == ["70.0 ± 14.1", "35.0 ± 7.1"]  # seeds: 80 and 60
    assert spots[["IoU, %", "IoU by chance, %"]].tolist() == ["17.5 ± 3.5", "8.8 ± 1.8"]
    assert lines.loc[("StylEx", "size"), "Seeds"] == 1 and lines.loc[("StylEx", "curl"), "Inside, %"] == "40.0"
    assert set(lines.index.get_level_values("Method")) == {"StylEx", "StylEx without CST"}  # random ones move nothing


def test_scripts_get_every_move_and_readers_every_format(factor_table):
    assert len(factor_table.data) == 12 and set(OVERLAP) < set(factor_table.data)
    assert list(factor_table.data)[-3:] == ["change_curl", "change_size", "change_spots"]
    assert set(factor_table.data["seed"]) == {0, 1} and set(factor_table.data["threshold"]) == {0.5}
    assert "spots +1.00 (80)" in to_markdown(factor_table) and r"\toprule" in to_latex(factor_table)


# The user study: printed, recomputed, people and machine each in a column of its own

OBSERVER = "Machine observer (no people)"


def study(root: Path) -> tuple[pandas.DataFrame, pandas.DataFrame]:
    ours, context = user_study_table(run_of(root, "mnist")).blocks
    return ours.frame, context.frame


def test_the_observer_never_stands_among_people_and_every_printed_cell_is_there(finished: Path):
    data = frame(finished, "user_study", ("published",))
    assert list(data.columns) == list(USER_STUDY)
    row = data[data["experiment"] == "mnist"].iloc[0]
    assert (row["observer_accuracy"], row["observer_n"], row["questions"]) == (0.9, 20, 2)
    assert data.filter(like="people_").isna().all().all() and data.filter(like="recomputed_").isna().all().all()
    ours, context = study(finished)
    assert ours.iloc[0][["People", OBSERVER]].tolist() == ["–", "0.900 (0.100; 0.141) [0.683–0.988]"]
    assert len(context) == 13 and set(context["From the raw answers"]) == {"–"}
    first, reasons = context.iloc[0], context["Does the printed cell follow?"].tolist()
    assert (first["Source"], first["Published"]) == ("Lang et al. 2021, Table 2", "0.783 ± 0.186")
    assert reasons[0] == "no file of raw answers is known"
    assert "not downloaded: `stylex study published` fetches them" in reasons[-1]


def test_raw_answers_fill_their_row_and_no_other(measured: Path):
    row = {
        "source": "vandervleuten_2022", "domain": "FFHQ perceived gender", "method": "Model 2", "questions": 6,
        "participants": 54, "mean": 0.7994, "population_sd": 0.1605, "sample_sd": 0.1758, "low": 0.7516, "high": 0.8416,
        "kappa": 0.3857, "published": "0.79", "published_spread": "0.1599", "finding": "the mean does not follow",
    }  # fmt: skip
    write_table(recomputed_user_study(measured), pandas.DataFrame([row]), {})
    context = study(measured)[1]
    (filled,) = context[context["From the raw answers"] != "–"].to_dict("records")
    assert (filled["Method"], filled["Participants"]) == ("Model 2", "54")
    assert filled["From the raw answers"] == "0.799 (0.161; 0.176) [0.752–0.842]"
    assert filled["Does the printed cell follow?"] == "the mean does not follow"


def test_an_interval_over_one_question_is_left_out(measured: Path):
    path = ExperimentPaths(measured, "mnist").observer
    observed = read_table(path)
    observed.loc[observed["question"] == "all", ["low", "high"]] = NAN
    write_table(path, observed, {})
    assert study(measured)[0][OBSERVER].tolist() == ["0.900 (0.100; 0.141)"]


@pytest.mark.parametrize(
    ("questionnaire", "expected"), [("0123456789ab", "0.750 (0.250; 0.354) [0.194–0.994]"), ("earlier", "–")]
)
def test_people_count_when_they_answered_this_questionnaire(measured: Path, questionnaire: str, expected: str):
    row = {
        "study": questionnaire, "method": "stylex", "question": "all", "n": 4, "correct": 3, "accuracy": 0.75,
        "low": 0.194, "high": 0.994, "participants": 2, "questions": 2, "population_sd": 0.25, "sample_sd": 0.3536,
        "kappa": -0.1,
    }  # fmt: skip
    write_table(ExperimentPaths(measured, "mnist").study_people, pandas.DataFrame([row]), {})
    assert study(measured)[0]["People"].tolist() == [expected]


# Metrics, which `dvc metrics` compares, and the lines at the end of `make demo`


def test_metrics_are_those_of_the_artifacts(finished: Path):
    paths, names = SuitePaths(finished, "demo"), load_suite(finished, "demo").experiments
    assert all(paths.metrics(name).is_file() for name in names)
    metrics = json.loads(paths.metrics("mnist-without-cst").read_text())
    # Of the fixture: one of eight reconstructions changes class; of 200 images 7 and 3.4 flip with each attribute.
    assert metrics["accuracy"] == 0.9875 and metrics["class_kept"] == pytest.approx(7 / 8)
    assert metrics["sufficiency"] == {"without_cst": {"k10": 70 / 200}, "wu_2021": {"k10": 34 / 200}}
    assert metrics["frechet_distance"] == {"net_32": {"0": 1.0, "10": 11.0}}


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda data: data.assign(n=0, fraction=NAN), {}),  # what could not be measured is left out
        (lambda data: data[data["k"] <= 3], {"stylex": {"k3": 42 / 200}}),  # fewer attributes than ten
    ],
)
def test_metrics_of_the_largest_k_that_was_measured(measured: Path, change, expected):
    path = ExperimentPaths(measured, "mnist").sufficiency
    write_table(path, change(read_table(path)), {})
    assert experiment_metrics(run_of(measured, "mnist"), "mnist")["sufficiency"] == expected


@pytest.fixture
def suite(root):
    """The root of a project with a suite of one experiment, and a function that writes its counterfactuals."""
    content = {"title": "One", "experiments": ["mnist"], "tables": ["counterfactuals"], "next": "cpu"}
    (root / "config/suites/one.yaml").write_text(yaml.safe_dump(content))
    common = {"method": "stylex", "protocol": "held_out", "target_class": "*", "images": 124, "validity": 0.992}
    common |= {"agreement": 0.968, "frechet_ratio": 1.61}

    def write(*rows):
        path = ExperimentPaths(root, "mnist").counterfactuals
        write_table(path, pandas.DataFrame([common | row for row in rows]), {})

    return root, write


def test_the_summary_is_the_row_of_all_directions_by_the_main_protocol(suite):
    root, write = suite
    with pytest.raises(ArtifactError, match=r"counterfactuals\.csv"):
        summary(root, "one")
    other = {"protocol": "same_images", "validity": 0.2}
    write({"target_class": "3", "validity": 0.1}, other, {"method": "random"}, {})
    numbers, page, following = summary(root, "one")
    assert numbers == (
        "MNIST, 3 against 5: of 124 images, 99% turned within 10 attributes, 97% by an independent classifier too,"
        " Fréchet distance to the other class 1.6 times that of reconstructions"
    )
    assert page == f"The report: {root}/results/one/index.html"
    assert following.startswith("Next, ") and following.endswith(": make demo SUITE=cpu")
    (root / "config/suites/one.yaml").write_text("title: One\nexperiments: [mnist]\ntables: [classifiers]\n")
    assert summary(root, "one") == [f"The report: {root}/results/one/index.html"]


def test_without_an_oracle_nobody_agrees_and_of_too_few_there_is_no_distance(suite):
    root, write = suite
    write({"validity": 0.01, "agreement": 0.0, "frechet_ratio": None})
    assert summary(root, "one")[0].endswith("1% turned within 10 attributes, 0% by an independent classifier too")
    path = root / "config/experiments/mnist.yaml"
    text = path.read_text().replace("oracle: mnist-32", "oracle: null")
    path.write_text(text + "  counterfactual_attributes: 3\n")
    write({"agreement": None})
    assert "turned within 3 attributes, Fréchet distance" in summary(root, "one")[0]
