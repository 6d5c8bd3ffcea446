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


def assert_refused(result, named):
    assert result.returncode == 2
    lines = [line for line in result.stderr.splitlines() if not line.startswith("Using workflow specific profile")]
    assert len(lines) == 1 and lines[0].startswith("error: ")
    assert all(text in lines[0] for text in named)
