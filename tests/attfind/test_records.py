"""AttFind's files: round trips, atomicity, damage."""

import json

import pyarrow.parquet
import pytest
import torch

from stylex.attfind.records import (
    ROW_GROUP,
    Attribute,
    Direction,
    EffectsHeader,
    EffectsRow,
    effects_writer,
    read_attributes,
    read_effects,
    write_attributes,
)
from stylex.errors import ArtifactError

HEADER = EffectsHeader(
    class_names=("4", "9"),
    shift=1.5,
    precision="float32",
    minima=[-1.0, 0.1, -3.3],
    maxima=[1.0, 2.0, 0.7],
    layers=[0, 0, 1],
    channels=[0, 1, 0],
    provenance={"seed": "0"},
)
ATTRIBUTES = [
    Attribute("4", 1, 7, 1, 2, Direction.TO_MAX, 1.25, 12),
    Attribute("4", 2, 3, 0, 3, Direction.TO_MIN, 0.5, 0),
    Attribute("9", 1, 5, 1, 0, Direction.TO_MIN, 2.0, 3),
]


def write_some(path, count):
    generator = torch.Generator().manual_seed(0)
    base, effect = torch.randn(count, 2, generator=generator), torch.randn(count, 2, 3, 2, generator=generator)
    with effects_writer(path, HEADER) as writer:
        for row in range(count):
            writer.add(f"image-{row}", EffectsRow(base[row], effect[row]))
    return base, effect


def test_effects_are_streamed_and_their_round_trip_is_exact(tmp_path):
    path = tmp_path / "effects.parquet"
    base, effect = write_some(path, 2 * ROW_GROUP + 3)
    read = read_effects([path])
    assert read.header == HEADER and read.ids == [f"image-{row}" for row in range(2 * ROW_GROUP + 3)]
    assert torch.equal(read.base_logits, base) and torch.equal(read.effect, effect)
    file = pyarrow.parquet.ParquetFile(path)
    assert file.metadata.num_row_groups == 3
    assert json.loads(file.schema_arrow.metadata[b"shape"]) == [2, 3, 2]
    assert file.schema_arrow.names == ["id", "base_logits", "effect"]


def test_an_interrupted_write_leaves_the_earlier_file(tmp_path):
    path = tmp_path / "effects.parquet"
    write_some(path, 3)
    with pytest.raises(RuntimeError), effects_writer(path, HEADER) as writer:
        writer.add("image", EffectsRow(torch.zeros(2), torch.zeros(2, 3, 2)))
        raise RuntimeError("power cut")
    assert len(read_effects([path]).ids) == 3
    assert [entry.name for entry in tmp_path.iterdir()] == ["effects.parquet"]


@pytest.mark.parametrize("keep", [0, 4, 200, -10])
def test_damaged_and_foreign_effects(tmp_path, keep):
    path = tmp_path / "effects.parquet"
    write_some(path, 5)
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(ArtifactError, match=r"effects\.parquet is damaged"):
        read_effects([path])
    pyarrow.parquet.write_table(pyarrow.table({"id": ["a"]}), path)
    with pytest.raises(ArtifactError, match="damaged"):
        read_effects([path])


def test_attributes_round_trip_keeps_class_names_as_text(tmp_path):
    write_attributes(tmp_path / "attributes.csv", ATTRIBUTES[::-1], {"seed": "0"})
    read = read_attributes(tmp_path / "attributes.csv")
    assert read == {"4": ATTRIBUTES[:2], "9": ATTRIBUTES[2:]}
    assert "4,1,7,1,2,to_max,1.25,12" in (tmp_path / "attributes.csv").read_text()


@pytest.mark.parametrize(("old", "new"), [("style_index", "index"), ("to_max", "upwards")])
def test_damaged_attributes(tmp_path, old, new):
    path = tmp_path / "attributes.csv"
    write_attributes(path, ATTRIBUTES, {})
    path.write_text(path.read_text().replace(old, new))
    with pytest.raises(ArtifactError, match=r"attributes\.csv is damaged"):
        read_attributes(path)
