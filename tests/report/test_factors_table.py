"""The table of factors: coverage and chance by hand, means over seeds, and what a reader sees."""

import pandas
import pytest

from stylex.artifacts import write_table
from stylex.config import ExperimentPaths, load_experiment
from stylex.errors import ConfigError
from stylex.evaluation.regions import COLUMNS as OVERLAP
from stylex.project import load_project
from stylex.report.factors import all_covered_by_chance, covered, covered_by_chance, factors_table, once, over_seeds
from stylex.report.table import to_latex, to_markdown

CAUSES = ["spots", "curl"]
NAN = float("nan")


def move(target, rank, factor, change, threshold=0.5):
    return {"target_class": target, "rank": rank, "factor": factor, "change": change, "threshold": threshold}


FOUND = [
    move("sick", 1, "size", 2.0),
    move("sick", 2, "spots", 0.4),  # too little
    move("sick", 3, "curl", -0.6),
    move("healthy", 2, "spots", -0.9),
    move("healthy", 3, None, NAN),
]


def test_a_cause_is_covered_by_a_move_of_its_own_above_the_threshold():
    assert covered(FOUND, CAUSES, 1) == set()
    assert covered(FOUND, CAUSES, 2) == {"spots"}
    assert covered(FOUND, CAUSES, 3) == {"spots", "curl"}
    assert covered(FOUND, ["size"], 1) == {"size"}


def test_chance_by_hand():
    # Four moves of sick: two of spots, one of curl that is too small, one of size; four of healthy: one of spots.
    moves = [move("sick", 1, "spots", 1.0), move("sick", 2, "spots", -1.0), move("sick", 3, "curl", 0.1)]
    moves += [move("sick", 4, "size", 1.0), move("healthy", 1, "spots", 1.0)]
    moves += [move("healthy", rank, None, NAN) for rank in (2, 3, 4)]
    # k = 1: spots are missed by both with 2/4 x 3/4. k = 2: C(2,2)/C(4,2) x C(3,2)/C(4,2) = 1/6 x 1/2.
    assert covered_by_chance(moves, CAUSES, 1) == pytest.approx(1 - 3 / 8)
    assert covered_by_chance(moves, CAUSES, 2) == pytest.approx(1 - 1 / 12)
    assert covered_by_chance(moves, CAUSES, 10) == 1.0
    assert covered_by_chance(moves, ["angle"], 4) == 0.0


def test_chance_of_all_by_hand():
    # One class, four moves: one of spots, one of curl, two of size. Two of them are both causes in one of 6 pairs.
    moves = [move("sick", rank, factor, 1.0) for rank, factor in enumerate(("spots", "curl", "size", "size"), 1)]
    assert all_covered_by_chance(moves, CAUSES, 2) == pytest.approx(1 / 6)
    assert all_covered_by_chance(moves, CAUSES, 4) == pytest.approx(1)
    assert all_covered_by_chance(moves, CAUSES, 1) == pytest.approx(0)
    assert all_covered_by_chance(moves, ["spots"], 1) == pytest.approx(covered_by_chance(moves, ["spots"], 1))


def test_a_coordinate_in_both_lists_counts_once_by_its_first_rank():
    common = {"experiment": "leaves", "method": "stylex"}
    lists = [("sick", 2, 7), ("sick", 3, 8), ("healthy", 1, 7), ("healthy", 3, 9)]
    moves = [common | {"target_class": target, "rank": rank, "style_index": index} for target, rank, index in lists]
    assert [(row["target_class"], row["rank"], row["style_index"]) for row in once(moves)] == [
        ("healthy", 1, 7), ("sick", 3, 8), ("healthy", 3, 9),
    ]  # fmt: skip
    other = [row | {"experiment": "leaves-seed1"} for row in moves] + [row | {"method": "random"} for row in moves]
    assert len(once([*moves, *other])) == 9  # another model's coordinate 7 is another one


def test_mean_and_sd_over_seeds():
    assert over_seeds([1.0, 2.0, 3.0], "{:.2f}".format) == "2.00 ± 1.00"
    assert over_seeds([1.5], "{:.2f}".format) == "1.50"
    assert over_seeds([NAN, 2.0], "{:.1f}".format) == "2.0"
    assert over_seeds([], "{:.1f}".format) == "–"


def overlap_of(inside):
    """Return the columns of a move that acts inside its region by this share, and half as much by chance."""
    values = (inside / 2, inside, inside - 0.1, inside + 0.1, inside / 4, 0.0, 1.0, inside / 8)
    return dict(zip(OVERLAP, values, strict=True))


def write_experiment(root, name, method, moves):
    common = {"experiment": name, "n": 10, "direction": "to_max"}
    rows = [
        common
        | {"method": each, "target_class": target, "rank": rank, "factor": factor, "cause": factor in CAUSES}
        | {"style_index": index}
        | {"purity": purity, "change": change, "change_spots": change, "change_curl": 0.0, "change_size": 0.0}
        | (dict.fromkeys(OVERLAP) if factor is None else overlap_of(purity))
        for each, target, rank, factor, purity, change, index in moves
    ]
    fit = [
        {"experiment": name, "factor": factor, "cause": factor in CAUSES, "n": 20, "r2_images": 0.99}
        | {"r2_reconstructions": 0.5, "logit_weight": 3.0}
        for factor in ("spots", "curl", "size")
    ]
    paths = ExperimentPaths(root, name)
    write_table(paths.factors, pandas.DataFrame(rows), {})
    write_table(paths.factor_fit, pandas.DataFrame(fit), {})


@pytest.fixture
def table(root):
    first = [("stylex", "sick", 1, "spots", 0.8, 1.0, 3), ("stylex", "healthy", 1, "size", 0.6, -2.0, 4)]
    first.append(("stylex", "healthy", 2, "spots", 0.9, -1.0, 3))  # the same coordinate, the other way
    second = [("stylex", "sick", 1, "spots", 0.6, 1.0, 3), ("stylex", "healthy", 1, "curl", 0.4, -2.0, 4)]
    chance = [("random", target, 1, None, None, None, 5) for target in ("sick", "healthy")]
    write_experiment(root, "leaves", "stylex", first + chance)
    write_experiment(root, "leaves-seed1", "stylex", second + chance)
    write_experiment(root, "leaves-without-cst", "without_cst", [("without_cst", *first[0][1:]), *chance])
    names = ("leaves", "leaves-seed1", "leaves-without-cst")
    return factors_table(root, {name: load_experiment(root, name) for name in names})


def test_methods_stand_side_by_side_with_mean_and_sd_over_seeds(table):
    coverage = table.blocks[0].frame
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
    towards_sick = coverage[(coverage["Method"] == "StylEx") & (coverage["Target class"] == "sick")].iloc[0]
    assert towards_sick["Causes, k = 1"] == "1.00 ± 0.00"


def test_each_attribute_is_named_and_the_measure_is_judged(table):
    named, fit = table.blocks[1].frame, table.blocks[-1].frame
    assert named.iloc[0][["Experiment", "Target class", "1", "2"]].tolist() == [
        "leaves",
        "sick",
        "spots +1.00 (80)",
        "–",
    ]
    assert "random" not in set(named["Method"])
    assert fit.iloc[0][["Factor", "Cause", "Seeds", "R² of images"]].tolist() == ["spots", "yes", 2, "0.99 ± 0.00"]


def test_where_moves_act_is_told_by_factor_with_mean_and_sd_over_seeds(table):
    block = table.blocks[2]
    lines = block.frame.set_index(["Method", "Factor"])
    spots = lines.loc[("StylEx", "spots")]  # of the first seed two moves are of one coordinate, the first counts
    assert spots[["Seeds", "Moves"]].tolist() == [2, "1 / 1"]
    assert spots[["Inside, %", "Area, %"]].tolist() == ["70.0 ± 14.1", "35.0 ± 7.1"]  # seeds: 80 and 60
    assert spots[["IoU, %", "IoU by chance, %"]].tolist() == ["17.5 ± 3.5", "8.8 ± 1.8"]
    assert lines.loc[("StylEx", "size"), "Seeds"] == 1 and lines.loc[("StylEx", "curl"), "Inside, %"] == "40.0"
    assert set(lines.index.get_level_values("Method")) == {"StylEx", "StylEx without CST"}  # random ones move nothing
    assert "told by drawing the image again" in block.caption


def test_each_attribute_says_where_it_acts_with_an_interval_over_images(table):
    where = table.blocks[3].frame.iloc[0]
    assert where[["Experiment", "Target class", "1", "2"]].tolist() == [
        "leaves",
        "sick",
        "spots 80.0 (70.0–90.0) / 40.0",
        "–",
    ]


def test_scripts_get_every_move_and_readers_every_format(table):
    assert (
        len(table.data) == 12
        and set(OVERLAP) < set(table.data)
        and list(table.data)[-3:] == ["change_spots", "change_curl", "change_size"]
    )
    assert set(table.data["seed"]) == {0, 1} and set(table.data["threshold"]) == {0.5}
    assert "spots +1.00 (80)" in to_markdown(table) and r"\toprule" in to_latex(table)


def test_every_experiment_of_the_table_needs_a_regressor(root):
    suite = root / "config/suites/demo.yaml"
    suite.write_text(suite.read_text() + "  - factors\n")
    with pytest.raises(ConfigError, match=r"demo\.yaml: tables: factors needs evaluation\.factor_regressor"):
        load_project(root, "demo")
