"""The JSON schemas are generated from the models, and the files of config/ satisfy them."""

import json
from pathlib import Path

import jsonschema
import pytest
import yaml

from stylex.config import load_backbone_config, load_experiment, load_suite
from stylex.config.loading import available
from stylex.config.schema import schema_texts

ROOT = Path(__file__).parents[2]
TEXTS = {path.name.split(".")[0]: (path, text) for path, text in schema_texts(ROOT).items()}


@pytest.mark.parametrize("kind", TEXTS)
def test_committed_schema_is_the_generated_one(kind):
    path, text = TEXTS[kind]
    assert path.read_text(encoding="utf-8") == text, "run `stylex schemas`"


@pytest.mark.parametrize(
    ("kind", "load"), [("experiment", load_experiment), ("suite", load_suite), ("backbone", load_backbone_config)]
)
def test_every_file_satisfies_its_schema(kind, load):
    names = available(ROOT, f"{kind}s")
    assert names
    for name in names:
        jsonschema.validate(load(ROOT, name).model_dump(mode="json"), json.loads(TEXTS[kind][1]))


def test_schema_refuses_an_unknown_key():
    content = yaml.safe_load((ROOT / "config/config.yaml").read_text()) | {"suites": "demo"}
    with pytest.raises(jsonschema.ValidationError, match="suites"):
        jsonschema.validate(content, json.loads(TEXTS["config"][1]))
