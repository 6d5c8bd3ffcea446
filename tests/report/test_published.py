"""When a published figure may stand beside one of ours."""

from pathlib import Path

import pandas
import pytest

from stylex.report.published import read_published, spell_source, with_published

REPOSITORY = Path(__file__).parents[2]


def rows(method: str = "stylex", target: str = "*", protocol: str = "same_images") -> pandas.DataFrame:
    row = {"method": method, "protocol": protocol, "target_class": target}
    return pandas.DataFrame(row | {"k": [1, 10, 40], "published": None})


def filled(frame: pandas.DataFrame, domain: str | None, method: str | None = None) -> list[float | None]:
    published = with_published(frame, read_published(REPOSITORY, "sufficiency"), domain, method)["published"]
    return [None if pandas.isna(value) else value for value in published]


@pytest.mark.parametrize(
    ("domain", "method", "expected"),
    [
        ("FFHQ perceived gender", "stylex", [None, 0.832, None]),
        ("FFHQ perceived gender", "without_cst", [None, 0.827, None]),
        ("FFHQ perceived gender", "wu_2021", [None, 0.143, None]),
        ("AFHQ cats/dogs", "stylex", [None, 0.25, 0.94]),
        ("Retina DME", "without_cst", [None, 0.0, None]),
    ],
)
def test_domain_method_and_k_agree(domain: str, method: str, expected: list[float | None]):
    assert filled(rows(method), domain) == expected


def test_the_papers_measured_on_the_images_that_they_searched():
    assert filled(rows(protocol="held_out"), "FFHQ perceived gender") == [None, None, None]


def test_a_model_of_a_replication_gets_its_own_figure_and_nothing_of_the_paper():
    assert filled(rows(), "FFHQ perceived gender", "Model 1") == [None, 0.51, None]
    assert filled(rows("wu_2021"), "FFHQ perceived gender", "Model 1") == [None, None, None]


@pytest.mark.parametrize("domain", [None, "MNIST 4 / 9", "FFHQ"])
def test_another_domain_or_none_gets_nothing(domain: str | None):
    assert filled(rows(), domain) == [None, None, None]


def test_a_single_direction_gets_nothing_because_published_figures_pool_both():
    assert filled(rows(target="female"), "FFHQ perceived gender") == [None, None, None]


def test_sources_are_spelled_out():
    assert spell_source("vandervleuten_2022 Table 1") == "van der Vleuten et al. 2022, Table 1"
    assert read_published(REPOSITORY, "datasets")["source"].iloc[0] == "Lang et al. 2021, Table 1"
