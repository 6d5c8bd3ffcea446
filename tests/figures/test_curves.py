"""Curves show the numbers of their tables."""

import matplotlib
import numpy
import pandas
import pytest

from stylex.artifacts import write_table
from stylex.figures.curves import (
    FROM_ZERO,
    draw_frechet,
    draw_history,
    draw_methods,
    draw_sufficiency,
    group_columns,
    read_history,
)


def sufficiency_frame() -> pandas.DataFrame:
    rows = [
        {"target_class": target, "k": k, "fraction": k * step, "low": k * step - 0.02, "high": k * step + 0.02}
        for target, step in (("4", 0.05), ("9", 0.09), ("*", 0.07))
        for k in (10, 1, 5)
    ]
    return pandas.DataFrame(rows)


def test_sufficiency_has_a_line_and_a_band_for_each_direction_and_pooled():
    axes = draw_sufficiency(sufficiency_frame()).axes[0]
    lines = {str(line.get_label()): line for line in axes.lines}
    assert list(lines) == ["to 4", "to 9", "all directions pooled"]
    assert list(lines["to 9"].get_xdata()) == [1, 5, 10]
    numpy.testing.assert_allclose(lines["to 9"].get_ydata(), [0.09, 0.45, 0.9])
    assert len(axes.collections) == 3
    band = axes.collections[0].get_paths()[0].vertices
    assert band[:, 1].min() == pytest.approx(0.03) and band[:, 1].max() == pytest.approx(0.52)
    assert axes.get_xscale() == "linear"  # few k
    # Told apart by more than their colour.
    assert len({line.get_color() for line in axes.lines}) == len({line.get_marker() for line in axes.lines}) == 3


def methods_frame() -> pandas.DataFrame:
    rows = []
    for experiment, method, most in (("twin", "wu_2021", 0.2), ("twin", "without_cst", 0.5), ("own", "stylex", 0.9)):
        for target in ("4", "*"):
            common = {"experiment": experiment, "method": method, "target_class": target, "n": 250}
            fractions = {k: most * k / 40 for k in (1, 10, 40)}
            rows += [common | {"k": k, "fraction": x, "low": 0.8 * x, "high": x} for k, x in fractions.items()]
    return pandas.DataFrame(rows)


def test_methods_stand_side_by_side_pooled_and_in_a_fixed_order():
    axes = draw_methods(methods_frame()).axes[0]
    lines = {str(line.get_label()): list(line.get_ydata()) for line in axes.lines}
    assert list(lines) == ["StylEx (n = 250)", "StylEx without CST (n = 250)", "Wu et al. (n = 250)"]
    numpy.testing.assert_allclose(lines["Wu et al. (n = 250)"], [0.005, 0.05, 0.2])
    assert axes.get_xscale() == "log" and [tick.get_text() for tick in axes.get_xticklabels()][-1] == "40"


def test_two_experiments_of_one_method_are_told_apart():
    frame = methods_frame().replace({"method": {"without_cst": "stylex"}})
    labels = [str(line.get_label()) for line in draw_methods(frame).axes[0].lines]
    assert labels[:2] == ["StylEx, own (n = 250)", "StylEx, twin (n = 250)"]


def test_frechet_names_its_extractor_and_kid_has_error_bars():
    frame = pandas.DataFrame({
        "n_attributes": [0, 1, 2], "n": 200, "extractor": "mnist-32", "frechet_distance": [1.0, 2.0, 4.0],
        "kid": [0.001, 0.002, 0.004], "kid_sd": [0.0001, 0.0002, 0.0003],
    })  # fmt: skip
    upper, lower = draw_frechet(frame).axes
    assert "mnist-32" in upper.get_title(loc="left") and "n = 200" in upper.get_title(loc="left")
    assert list(upper.lines[0].get_ydata()) == [1, 2, 4]
    bars = lower.containers[0][2][0].get_segments()
    numpy.testing.assert_allclose([bar[1, 1] - bar[0, 1] for bar in bars], [0.2, 0.4, 0.6])
    assert "FID" not in upper.get_ylabel()


def test_each_extractor_has_axes_of_its_own_and_only_inception_is_fid():
    common = {"n_attributes": [0, 1], "n": 200, "kid": 0.001, "kid_sd": 0.0001}
    inception = pandas.DataFrame(common | {"extractor": "inception", "frechet_distance": [40.0, 50.0]})
    backbone = pandas.DataFrame(common | {"extractor": "mnist-32", "frechet_distance": [1.0, 2.0]})
    axes = draw_frechet(pandas.concat([inception, backbone])).axes
    assert [one.get_ylabel() for one in axes] == ["FID", "KID × 1000", "Fréchet distance", "KID × 1000"]
    assert axes[0].get_title(loc="left").startswith("features of pytorch-fid's Inception")
    assert [list(one.lines[0].get_ydata()) for one in axes[::2]] == [[40, 50], [1, 2]]


def history_frame() -> pandas.DataFrame:
    return pandas.DataFrame({
        "images": [1000, 2000, 3000], "seconds": [7, 14, 21], "images_per_second": 140.0, "learning_rate": 0.002,
        "d_adversarial": [1.0, 0.9, 0.8], "g_adversarial": [1.2, 1.3, 1.4], "r1": [None, 0.1, None],
        "reconstruction_x": [0.5, 0.3, 0.2], "classifier": [None] * 3, "val_l1": [0.3, None, 0.2],
        "surprise": [1, 2, 3], "val_frechet_distance": [9.0, 4.0, 2.0],
    })  # fmt: skip


def test_history_groups_what_exists_and_keeps_what_it_does_not_know():
    groups = group_columns(history_frame())
    assert [list(names) for names in groups.values()] == [
        ["d_adversarial", "g_adversarial"], ["r1"], ["reconstruction_x"], ["val_l1"], ["val_frechet_distance"],
        ["surprise"], ["learning_rate"], ["images_per_second"],
    ]  # fmt: skip


def test_history_draws_through_empty_cells():
    axes = draw_history(history_frame()).axes
    validation = next(one for one in axes if one.get_title(loc="left").startswith("Validation"))
    assert list(validation.lines[0].get_xdata()) == [1000, 3000]


def test_history_shows_what_is_measured_under_its_name():
    panels = {one.get_title(loc="left"): one for one in draw_history(history_frame()).axes}
    assert list(panels["Validation: Fréchet distance"].lines[0].get_ydata()) == [9, 4, 2]
    assert list(panels["Learning rates"].lines[0].get_ydata()) == [0.002] * 3
    assert list(panels["Training images a second"].lines[0].get_ydata()) == [140] * 3


def test_a_steady_speed_looks_steady():
    for one in draw_history(history_frame()).axes:
        if one.get_title(loc="left") in FROM_ZERO:
            bottom, top = one.get_ylim()
            assert bottom == 0 and top > max(one.lines[0].get_ydata())


def test_a_history_from_its_file_has_the_classifiers_loss(tmp_path):
    frame = pandas.DataFrame({"images": [16, 32], "classifier": [2.5, 0.5], "classifier_noise": [None, 1.5]})
    write_table(tmp_path / "history.csv", frame, {})
    pandas.testing.assert_frame_equal(read_history(tmp_path / "history.csv"), frame)
    (axes,) = draw_history(read_history(tmp_path / "history.csv")).axes
    assert [line.get_label() for line in axes.lines] == ["reconstructions", "noise steps"]


def test_drawing_leaves_matplotlib_as_it_was():
    before = matplotlib.rcParams["font.size"]
    draw_sufficiency(sufficiency_frame())
    assert matplotlib.rcParams["font.size"] == before
