"""A mistake in the configuration stops Snakemake before any job, with one line and exit code 2."""

import pytest

MISTAKES = {
    "batch_size: seven": ["config/experiments/mnist.yaml", "stylex.training.batch_size", "'seven'"],
    "imagse: 7": ["config/experiments/mnist.yaml", "stylex.training.imagse", "did you mean 'images'?"],
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_mistake_in_an_experiment(virgin, mistake):
    virgin.edit("config/experiments/mnist.yaml", "  training:\n", f"  training:\n    {mistake}\n")
    assert_refused(virgin.snakemake(), MISTAKES[mistake])
    assert virgin.executed() == []


def test_mistake_in_the_site(virgin):
    (virgin.root / "config/site.yaml").write_text("gpus: 4\n")
    assert_refused(virgin.snakemake("-n"), ["config/site.yaml", "gpus = 4", "did you mean 'gpu'?"])


def test_unknown_suite(virgin):
    assert_refused(virgin.snakemake("-n", "--config", "suite=dmeo"), ["'dmeo'", "did you mean 'demo'?"])


def test_unknown_key_on_the_command_line(virgin):
    assert_refused(virgin.snakemake("-n", "--config", "siute=demo"), ["'siute'", "did you mean 'suite'?"])


@pytest.mark.parametrize("name", ["2024_01", "1e3", "007", "nan"])
def test_a_suite_that_is_called_like_a_number(virgin, name):
    suite = (virgin.root / "config/suites/demo.yaml").read_text()
    (virgin.root / f"config/suites/{name}.yaml").write_text(suite)
    result = virgin.snakemake("-n", "--config", f"suite={name}")
    assert result.returncode == 0, result.stderr
    assert f"results/{name}/index.html" in result.stdout + result.stderr


def test_a_suite_that_is_called_like_a_number_runs_to_its_end(virgin):
    suite = (virgin.root / "config/suites/demo.yaml").read_text()
    content = suite.replace("  - fashion-mnist\n", "")
    (virgin.root / "config/suites/2024_01.yaml").write_text(content)
    result = virgin.snakemake("--config", "suite=2024_01")
    assert result.returncode == 0, result.stderr
    assert (virgin.root / "results/2024_01/index.html").is_file() and not (virgin.root / "results/202401").exists()


def test_two_experiments_with_one_figure(virgin):
    content = (virgin.root / "config/experiments/mnist.yaml").read_text()
    (virgin.root / "config/experiments/mnist-class.yaml").write_text(content)
    virgin.edit("config/suites/demo.yaml", "  - mnist\n", "  - mnist\n  - mnist-class\n")
    assert_refused(virgin.snakemake("-n"), ["'mnist' and 'mnist-class'", "mnist-class-attributes", "rename one"])


def assert_refused(result, named):
    assert result.returncode == 2
    lines = [line for line in result.stderr.splitlines() if not line.startswith("Using workflow specific profile")]
    assert len(lines) == 1 and lines[0].startswith("error: ")
    assert all(text in lines[0] for text in named)
