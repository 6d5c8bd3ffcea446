"""The lines at the end of `make demo`."""

import pandas
import pytest
import yaml

from stylex.artifacts import write_table
from stylex.config import ExperimentPaths
from stylex.errors import ArtifactError
from stylex.report.summary import summary

ROW = {
    "method": "stylex", "protocol": "held_out", "target_class": "*", "images": 124, "validity": 0.992,
    "agreement": 0.968, "frechet_ratio": 1.61,
}  # fmt: skip


@pytest.fixture
def suite(root):
    """The root of a project with a suite of one experiment, and a function that writes its counterfactuals."""
    content = {"title": "One", "experiments": ["mnist"], "tables": ["counterfactuals"], "next": "seeds"}
    (root / "config/suites/one.yaml").write_text(yaml.safe_dump(content))

    def write(*rows):
        path = ExperimentPaths(root, "mnist").counterfactuals
        path.parent.mkdir(parents=True)
        write_table(path, pandas.DataFrame([ROW | row for row in rows]), {})

    return root, write


def test_the_row_of_all_directions_by_the_main_protocol(suite):
    root, write = suite
    write(
        {"target_class": "3", "validity": 0.1}, {"protocol": "same_images", "validity": 0.2}, {"method": "random"}, {}
    )
    numbers, page, following = summary(root, "one")
    assert numbers == (
        "MNIST, 3 against 5: of 124 images, 99% turned within 10 attributes, 97% by an independent classifier too,"
        " Fréchet distance to the other class 1.6 times that of reconstructions"
    )
    assert page == f"The report: {root}/results/one/index.html"
    assert following.startswith("Next, ") and following.endswith(": make demo SUITE=seeds")


def test_without_an_oracle_nobody_agrees(suite):
    root, write = suite
    with (root / "config/experiments/mnist.yaml").open("a") as file:
        file.write("  counterfactual_attributes: 3\n")
    path = root / "config/experiments/mnist.yaml"
    path.write_text(path.read_text().replace("oracle: mnist-32", "oracle: null"))
    write({"agreement": None})
    assert "turned within 3 attributes, Fréchet distance" in summary(root, "one")[0]


def test_of_too_few_there_is_no_distance(suite):
    root, write = suite
    write({"validity": 0.01, "agreement": 0.0, "frechet_ratio": None})
    assert summary(root, "one")[0].endswith("1% turned within 10 attributes, 0% by an independent classifier too")


def test_a_suite_without_counterfactuals_has_a_page_alone_and_one_without_results_says_so(suite):
    root, _ = suite
    with pytest.raises(ArtifactError, match=r"counterfactuals\.csv"):
        summary(root, "one")
    (root / "config/suites/one.yaml").write_text("title: One\nexperiments: [mnist]\ntables: [classifiers]\n")
    assert summary(root, "one") == [f"The report: {root}/results/one/index.html"]
