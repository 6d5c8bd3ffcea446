"""Tables: values round-trip to CSV, and readers get units, intervals and the published context."""

import json
from pathlib import Path

import pandas
import pytest

from stylex.artifacts import read_table, write_table
from stylex.config import ExperimentPaths, SuitePaths, load_suite
from stylex.errors import ArtifactError
from stylex.report import tables
from stylex.report.table import Block, Table, percent, to_latex, to_markdown

COLUMNS = [
    "experiment", "domain", "method", "protocol", "target_class", "k", "shift", "n", "flipped", "fraction", "low",
    "high", "seed", "published",
]  # fmt: skip


def read(root: Path, name: str, suffix: str) -> str:
    return SuitePaths(root, "demo").table(name, suffix).read_text(encoding="utf-8")


def test_every_table_of_the_suite_is_written_in_three_formats(finished: Path):
    for name in load_suite(finished, "demo").tables:
        assert all(read(finished, name, suffix) for suffix in ("csv", "md", "tex"))


def test_sufficiency_csv_has_the_fixed_columns_and_the_values_of_the_experiments(finished: Path):
    text = ("target_class",)
    ours = read_table(SuitePaths(finished, "demo").table("sufficiency", "csv"), text)
    assert list(ours.columns) == COLUMNS
    names = load_suite(finished, "demo").experiments
    parts = [read_table(ExperimentPaths(finished, name).sufficiency, text) for name in names]
    expected = pandas.concat(parts, ignore_index=True)[COLUMNS[:-1]]
    pandas.testing.assert_frame_equal(ours[COLUMNS[:-1]], expected, check_dtype=False)
    assert ours["published"].isna().all()


def test_a_reproduced_domain_gets_its_published_figure_and_no_other_does(measured: Path):
    path = measured / "config" / "experiments" / "mnist.yaml"
    path.write_text(path.read_text() + "published_domain: AFHQ cats/dogs\n")
    tables(measured, "demo")
    frame = read_table(SuitePaths(measured, "demo").table("sufficiency", "csv"), ("target_class",))
    filled = frame[frame["published"].notna()]
    assert set(filled["protocol"]) == {"same_images"}
    assert filled[["experiment", "method", "target_class", "k", "published"]].to_numpy().tolist() == [
        ["mnist", "stylex", "*", 10, 0.25],
        ["mnist", "stylex", "*", 40, 0.94],
        ["mnist-without-cst", "without_cst", "*", 10, 0.157],  # it extends mnist
        ["mnist-without-cst", "wu_2021", "*", 10, 0.01],
    ]
    line = next(
        line
        for line in read(measured, "sufficiency", "md").splitlines()
        if "| mnist |" in line and "same images | all" in line
    )
    assert line.endswith("| 25.0 (k = 10), 94.0 (k = 40) |")


def test_a_reader_sees_percentages_intervals_n_and_each_direction(finished: Path):
    lines = read(finished, "sufficiency", "md").splitlines()
    header = next(line for line in lines if line.startswith("| Experiment"))
    assert "| k = 1, % | k = 5, % | k = 10, % | k = 40, % |" in header and "k = 2" not in header
    ours = [line for line in lines if line.startswith("| mnist |")]
    assert [line.split(" | ")[3:5] for line in ours] == [
        [protocol, target] for protocol in ("held out", "same images") for target in ("3", "5", "all directions")
    ]
    assert "| 200 | 2 | 7.0 (4.2–11.4) | 35.0 (28.7–41.8) | 70.0 (63.3–75.9) | 70.0 (63.3–75.9) | – |" in ours[2]


def test_methods_of_a_domain_stand_together(finished: Path):
    text = read(finished, "sufficiency", "md")
    cells = [line.split(" | ") for line in text.splitlines() if "all directions" in line]
    methods = ("StylEx", "StylEx without CST", "Wu et al. (StyleSpace)")
    assert sorted(row[2] for row in cells[:6]) == sorted(2 * methods) == sorted(row[2] for row in cells[6:])
    assert [row[0].removeprefix("| ").removesuffix("-without-cst") for row in cells] == (
        ["mnist"] * 6 + ["fashion-mnist"] * 6
    )


def test_published_rows_carry_their_own_source_and_domain(finished: Path):
    lines = read(finished, "sufficiency", "md").splitlines()
    assert "| Lang et al. 2021, Table 3 | Retina DME | StylEx | 10 | 100.0 |  |" in lines
    header = next(line for line in lines if line.startswith("| Source"))
    assert not any(word in header for word in ("FFHQ", "AFHQ", "MNIST"))


def test_classifiers_count_what_the_reconstruction_keeps(finished: Path):
    frame = read_table(SuitePaths(finished, "demo").table("classifiers", "csv"))
    row = frame.iloc[0]
    assert (row["n_test"], row["accuracy"], row["n_reconstructed"]) == (400, 0.9875, 8)
    assert row["class_kept"] == pytest.approx(7 / 8)
    assert "| 87.5 (52.9–97.8) |" in read(finished, "classifiers", "md")
    assert frame[["ece", "temperature", "ece_scaled"]].to_numpy().tolist()[0] == [0.0312, 1.625, 0.0104]
    assert "| 3.1 | 1.62 | 1.0 |" in read(finished, "classifiers", "md")


def test_frechet_names_the_extractor_in_the_column_and_never_says_fid(finished: Path):
    text = read(finished, "frechet", "md")
    header = next(line for line in text.splitlines() if line.startswith("| Attributes"))
    assert r"mnist (n = 200): Fréchet distance, net\_32" in header and "FID" not in header
    assert "| 0 | 1.00 | 1.00 ± 0.20 |" in text
    frame = read_table(SuitePaths(finished, "demo").table("frechet", "csv"))
    columns = ["experiment", "protocol", "n_attributes", "n", "extractor", "frechet_distance", "kid", "kid_sd"]
    assert list(frame) == [*columns, *(f"kid_fold_{fold}" for fold in range(1, 6))]
    assert len(frame) == 88 and text.count("| Attributes") == 2, "a block a protocol"


def test_fid_stands_beside_the_other_distance_and_the_caption_tells_them_apart(measured: Path):
    path = ExperimentPaths(measured, "mnist").frechet
    curve = read_table(path)
    write_table(path, pandas.concat([curve.assign(extractor="inception", frechet_distance=33.0), curve]), {})
    tables(measured, "demo")
    text = read(measured, "frechet", "md")
    header = next(line for line in text.splitlines() if line.startswith("| Attributes"))
    assert (
        r"| mnist (n = 200): FID | mnist: KID × 1000, inception | mnist (n = 200): Fréchet distance, net\_32 |"
        in header
    )
    assert "| 0 | 33.00 | 1.00 ± 0.20 | 1.00 |" in text
    assert "FID: 2048 features of pytorch-fid's Inception" in text and "this is not FID" in text


def test_a_table_carries_the_provenance_of_each_experiment(finished: Path):
    path = SuitePaths(finished, "demo").table("sufficiency", "csv").with_suffix(".provenance.json")
    origin = json.loads(path.read_text())
    source = json.loads(ExperimentPaths(finished, "mnist").sufficiency.with_suffix(".provenance.json").read_text())
    assert origin["mnist.config_digest"] == source["config_digest"] and origin["fashion-mnist.seed"] == source["seed"]


def test_a_missing_stage_is_one_clear_line(measured: Path):
    path = ExperimentPaths(measured, "mnist").sufficiency
    path.unlink()
    with pytest.raises(ArtifactError, match=r"sufficiency\.csv does not exist"):
        tables(measured, "demo")


def awkward() -> Table:
    frame = pandas.DataFrame({"Name_1": ["a|b", r"50 % & \x_{1}~^#$ <y>"], "n": [1, 2]})
    return Table("awkward", "Awkward", frame, (Block("100 % of a_b", frame, ("n",)),))


def test_latex_is_booktabs_and_escaped():
    text = to_latex(awkward())
    assert all(rule in text for rule in (r"\toprule", r"\midrule", r"\bottomrule", r"\begin{tabular}{lr}"))
    assert r"\caption{100 \% of a\_b}" in text and r"Name\_1 & n \\" in text
    escaped = r"50 \% \& \textbackslash{}x\_\{1\}\textasciitilde{}\textasciicircum{}\#\$ \textless{}y\textgreater{}"
    assert escaped in text


def test_markdown_keeps_its_columns_whatever_the_cells_hold():
    lines = [line for line in to_markdown(awkward()).splitlines() if line.startswith("|")]
    assert lines[1] == "| :--- | ---: |" and lines[2] == r"| a\|b | 1 |"
    assert all(line.replace(r"\|", "").count("|") == 3 for line in lines)


def test_percentages_of_nothing_are_not_numbers():
    assert (percent(0.8333), percent(0.0), percent(float("nan"))) == ("83.3", "0.0", "–")


def test_table_of_random_samples_has_a_row_a_class_and_shows_a_collapse(finished: Path):
    frame = read_table(SuitePaths(finished, "demo").table("samples", "csv"), ("images",))
    assert set(frame["experiment"]) == set(load_suite(finished, "demo").experiments)
    twin = frame[(frame["experiment"] == "mnist-without-cst") & (frame["images"] == "generated")]
    assert twin[["class_name", "count", "n"]].to_numpy().tolist() == [["3", 100, 100], ["5", 0, 100]]
    rows = [line for line in read(finished, "samples", "md").splitlines() if line.startswith("| mnist-without-cst |")]
    assert [row.split(" | ")[2:] for row in rows] == [
        ["StylEx without CST", "3", "8", "100", "50.0 (21.5–78.5)", "62.5 (30.6–86.3)", "100.0 (96.3–100.0) |"],
        ["StylEx without CST", "5", "8", "100", "50.0 (21.5–78.5)", "37.5 (13.7–69.4)", "0.0 (0.0–3.7) |"],
    ]


def test_table_of_counterfactuals_has_agreement_and_distance_side_by_side(finished: Path):
    frame = read_table(SuitePaths(finished, "demo").table("counterfactuals", "csv"))
    assert set(frame["experiment"]) == set(load_suite(finished, "demo").experiments)
    assert set(frame["method"]) == {"stylex", "without_cst", "wu_2021", "random", "pixel"}
    text = read(finished, "counterfactuals", "md")
    assert text.count("never one alone") == 2 and "Protocol: held out." in text and "Protocol: same images." in text
    rows = [line.strip("| ").split(" | ")[1:] for line in text.splitlines() if line.startswith("| mnist |")]
    own = ["StylEx", "all directions", "80", "100.0 (95.4–100.0)", "50.0 (39.3–60.7)", "50.0"]
    assert rows[0] == [*own, "30.0", "3.0", "10.0", "2.0"]
    chance = ["random moves", "all directions", "160", "0.0 (0.0–4.6)", "0.0 (0.0–4.6)", "50.0"]
    assert rows[1] == [*chance, "–", "–", "–", "–"]
    assert rows[2][0] == "adversarial pixels"
    classes = [row[1] for row in rows if row[1] in ("3", "5")]
    assert classes == ["3", "5"]  # of AttFind's list and the main protocol alone
    distances = next(row for row in rows if row[0] == "StylEx" and len(row) == 9)
    assert distances[:5] == ["StylEx", "all directions", "80", "31.0", "4.0"]
