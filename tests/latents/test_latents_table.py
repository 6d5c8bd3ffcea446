"""latents.parquet: round trip, damage, halves, and moving coordinates."""

from dataclasses import replace

import pyarrow
import pyarrow.parquet
import pytest
import torch

from stylex.config.base import Protocol
from stylex.errors import ArtifactError
from stylex.latents.table import SCALARS, first_half, read_latents, vector_column, vectors, write_latents
from tests.builders import latents_of


def some_latents():
    random, shapes = torch.Generator().manual_seed(1), {"w": [3], "styles": [7], "to_rgb_styles": [4]}
    shapes |= {"logits": [2], "reconstruction_logits": [2]} | dict.fromkeys(SCALARS, [])
    columns = {name: torch.randn(5, *shape, generator=random) for name, shape in shapes.items()}
    origin = {"seed": "0", "perceptual_backbone": "mnist-32"}
    return latents_of(5, **columns, labels=torch.arange(5) % 2, class_names=("4", "9"), provenance=origin)


def test_round_trip_is_exact_and_columns_are_those_of_the_design(tmp_path):
    path, written = tmp_path / "latents.parquet", some_latents()
    write_latents(path, written)
    read = read_latents(path)
    for name, value in vars(written).items():
        other = getattr(read, name)
        assert torch.equal(value, other) if isinstance(value, torch.Tensor) else value == other, name
    schema = pyarrow.parquet.read_schema(path)
    assert str(schema.field("styles").type) == "fixed_size_list<element: float>[7]"
    columns = {"id", "label", "logits", "w", "reconstruction_l1", "reconstruction_logits", "discriminator"}
    assert columns <= set(schema.names)


def test_extremes_are_over_the_searched_images():
    latents = some_latents().under(Protocol.HELD_OUT)
    searched = latents.styles[first_half(latents.ids, latents.labels)]
    assert 0 < len(searched) < 5 and torch.equal(latents.measured, ~latents.searched)
    expected = torch.stack([searched.min(0).values, searched.max(0).values])
    assert torch.equal(latents.extremes, expected)
    assert torch.equal(latents.minima, expected[0]) and torch.equal(latents.maxima, expected[1])


def test_moved_coordinates_go_shift_times_the_way_to_their_extremes_and_the_last_move_of_one_counts():
    latents = some_latents()
    rows, before = torch.tensor([3, 1]), latents.styles.clone()
    moved = latents.moved(rows, [(5, 1), (2, 0), (6, 0), (6, 1)], shift=1.5)
    expected = before[rows]
    for index, extremes in ((5, before.max(0)), (2, before.min(0)), (6, before.max(0))):
        expected[:, index] += 1.5 * (extremes.values[index] - expected[:, index])
    torch.testing.assert_close(moved.space, expected)
    assert torch.equal(moved.to_rgb, latents.to_rgb_styles[rows]) and torch.equal(latents.styles, before)
    assert torch.equal(latents.moved(rows, [], 1.5).space, latents.style_vector(rows).space)
    assert torch.equal(latents.style_vector().space, before)


def test_rows_follow_the_ids():
    latents = some_latents()
    assert latents.rows(["4", "0", "4"]).tolist() == [4, 0, 4]
    assert latents.rows([]).dtype == torch.int64
    with pytest.raises(ArtifactError, match="latents.parquet has no image 'other'; run encode again"):
        latents.rows(["1", "other"])


@pytest.mark.parametrize("content", [b"", b"PAR1 and no more", b"PAR1" + bytes(100) + b"PAR1", None, "foreign"])
def test_damaged_file_is_an_artifact_error(tmp_path, content):
    path = tmp_path / "latents.parquet"
    with pytest.raises(ArtifactError, match="does not exist; run"):
        read_latents(path)
    write_latents(path, some_latents())
    if content == "foreign":
        pyarrow.parquet.write_table(pyarrow.table({"id": ["a"]}), path)
    else:
        path.write_bytes(path.read_bytes()[:-40] if content is None else content)
    with pytest.raises(ArtifactError, match=r"latents\.parquet is damaged"):
        read_latents(path)


def test_vector_columns_survive_slicing():
    values = torch.arange(12.0).reshape(4, 3)
    assert torch.equal(vectors(vector_column(values)), values)
    assert torch.equal(vectors(vector_column(values).slice(1, 2)), values[1:3])


def test_the_halves_have_all_classes_and_follow_the_ids_alone():
    labels = torch.tensor([0] * 7 + [1] * 4 + [2])
    ids = [f"image-{row}" for row in range(len(labels))]
    half = first_half(ids, labels)
    assert labels[half].bincount(minlength=3).tolist() == [4, 2, 1]
    order = torch.randperm(len(ids), generator=torch.Generator().manual_seed(0))
    assert torch.equal(first_half([ids[row] for row in order], labels[order]), half[order])
    renamed = first_half([f"other-{row}" for row in range(len(labels))], labels)
    assert not torch.equal(renamed, half), "the order of the images plays no part, their ids do"
    assert replace(some_latents(), protocol=Protocol.SAME_IMAGES).searched.all()
