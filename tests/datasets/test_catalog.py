import subprocess
import sys

import pytest
from pydantic import ValidationError

from stylex.config import DatasetConfig
from stylex.datasets import DATASETS, dataset_spec, validate_dataset
from stylex.datasets.catalog import SOURCES, validate_explained
from stylex.errors import ConfigError


def test_datasets_are_consistent():
    assert sorted(DATASETS) == ["fashion_mnist", "leaves", "leaves-biased", "mnist", "mnist-full"]
    for spec in DATASETS.values():
        assert len(set(spec.class_names)) == (2 if spec.format == "drawn" else 10)
        assert set(spec.causes) < set(spec.factors) or not spec.factors
        names = {tuple(file.name for file in source.files) for source in spec.sources}
        assert len(names) == 1, "every source brings the same files"
        for file in (file for source in spec.sources for file in source.files):
            assert len(file.sha256) == 64
            assert file.size > 0


def test_a_mistyped_pin_of_the_catalog_is_an_error():
    with pytest.raises(ValidationError, match=r"files\.0\.sha265"):
        SOURCES.validate_python([{"label": "a mirror", "files": [{"name": "a.gz", "sha265": "0" * 64}]}])


def test_unknown_dataset_names_the_closest(root):
    with pytest.raises(ConfigError, match="unknown dataset 'mnits'; did you mean 'mnist'?"):
        dataset_spec(root, "mnits")
    with pytest.raises(ConfigError, match=r"dataset.name = 'zoo': unknown dataset 'zoo'; choose one of"):
        validate_dataset(root, DatasetConfig(name="zoo", resolution=32))


@pytest.mark.parametrize("question", [{"classes": ["sneaker", "ankle-boots"]}, {"one_vs_rest": "ankle-boots"}])
def test_unknown_class_names_key_and_remedy(root, question):
    with pytest.raises(
        ConfigError, match=rf"dataset.{next(iter(question))}: .*'ankle-boots'; did you mean 'ankle-boot'"
    ):
        validate_dataset(root, DatasetConfig(name="fashion_mnist", resolution=32, **question))


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("leaves", "'leaves' has 3 channels, the classifier of classifier_of was trained on 'mnist' with 1"),
        ("fashion_mnist", "'fashion_mnist' has the classes t-shirt, .* those of 'mnist', 0, 1, 2"),
    ],
)
def test_a_classifier_judges_images_with_its_channels_and_classes_only(root, name, message):
    mnist, other = DatasetConfig(name="mnist", resolution=32), DatasetConfig(name=name, resolution=32)
    validate_explained(root, DatasetConfig(name="mnist-full", resolution=32), mnist)
    with pytest.raises(ConfigError, match=message):
        validate_explained(root, other, mnist)


def test_importing_the_package_imports_nothing_heavy():
    code = "import sys, stylex.datasets; sys.exit(any(name in sys.modules for name in ('torch', 'httpx', 'pyarrow')))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
