"""A mistake in the configuration stops Snakemake before any job, with one line and exit code 2."""

import pytest

FILES = {
    "config/experiments/mnist.yaml": ("  training:\n", "  training:\n    {}\n"),
    "config/site.yaml": (None, "{}\n"),
    "config/config.yaml": ("suite: demo", "{}"),
}
MISTAKES = [
    ("config/experiments/mnist.yaml", "batch_size: seven", ["stylex.training.batch_size", "'seven'"]),
    ("config/experiments/mnist.yaml", "imagse: 7", ["stylex.training.imagse", "did you mean 'images'?"]),
    ("config/site.yaml", "gpus: 4", ["gpus = 4", "did you mean 'gpu'?"]),
    ("config/config.yaml", "siute: demo", ["siute", "did you mean 'suite'?"]),
]


@pytest.mark.parametrize(("file", "mistake", "named"), MISTAKES)
def test_mistake_in_a_file(virgin, file, mistake, named):
    old, new = FILES[file]
    if old is None:
        (virgin.root / file).write_text(new.format(mistake))
    else:
        virgin.edit(file, old, new.format(mistake))
    assert_refused(virgin.snakemake(), [file, *named])
    assert virgin.executed() == []


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("suite=dmeo", ["'dmeo'", "did you mean 'demo'?"]),
        ("siute=demo", ["'siute'", "did you mean 'suite'?"]),
        ("experiment={stylex: {trainign: {images: 7}}}", ["stylex.trainign", "did you mean 'training'?"]),
        ("experiment={stylex.training.imagse: 7}", ["stylex.training.imagse", "did you mean 'images'?"]),
        ("experiment={stylex.training.batch_size: seven}", ["stylex.training.batch_size", "'seven'"]),
        ("experiment=7", ["--config experiment", "keys and values go here"]),
        ("experiment={seed", ["--config experiment", "expected"]),
    ],
)
def test_mistake_on_the_command_line(virgin, text, named):
    assert_refused(virgin.snakemake("-n", "--config", text), named)


@pytest.mark.parametrize("name", ["2024_01", "1e3", "007", "nan"])
def test_a_suite_that_is_called_like_a_number(virgin, name):
    virgin.write_config(f"suites/{name}", virgin.read_config("suites/demo"))
    result = virgin.snakemake("-n", "--config", f"suite={name}")
    assert result.returncode == 0, result.stderr
    assert f"results/{name}/index.html" in result.stdout + result.stderr


def test_a_suite_that_is_called_like_a_number_runs_to_its_end(virgin):
    virgin.write_config("suites/2024_01", virgin.read_config("suites/demo") | {"experiments": ["mnist"]})
    virgin.compute("--config", "suite=2024_01")
    assert (virgin.root / "results/2024_01/index.html").is_file() and not (virgin.root / "results/202401").exists()


def test_two_experiments_with_one_figure(virgin):
    content = (virgin.root / "config/experiments/mnist.yaml").read_text()
    (virgin.root / "config/experiments/mnist-class.yaml").write_text(content)
    virgin.edit("config/suites/demo.yaml", "  - mnist\n", "  - mnist\n  - mnist-class\n")
    assert_refused(virgin.snakemake("-n"), ["'mnist' and 'mnist-class'", "mnist-class-attributes", "rename one"])


def assert_refused(result, named):
    assert result.returncode == 2
    said = ("Using workflow specific profile", "Config file config/config.yaml is extended")
    lines = [line for line in result.stderr.splitlines() if not line.startswith(said)]
    assert len(lines) == 1 and lines[0].startswith("error: ")
    assert all(text in lines[0] for text in named)
