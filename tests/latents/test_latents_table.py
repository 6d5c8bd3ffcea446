"""latents.parquet: round trip, atomicity, damage."""

import pytest
import torch

from stylex.errors import ArtifactError
from stylex.latents.table import Latents, first_half, read_latents, vector_column, vectors, write_latents


def some_latents(count=5):
    generator = torch.Generator().manual_seed(1)

    def draw(*shape):
        return torch.randn(shape, generator=generator)

    return Latents(
        ids=[f"image-{row}" for row in range(count)],
        labels=torch.arange(count) % 2,
        logits=draw(count, 2),
        w=draw(count, 3),
        styles=draw(count, 7),
        to_rgb_styles=draw(count, 4),
        reconstruction_l1=draw(count).abs(),
        reconstruction_perceptual=draw(count).abs(),
        reconstruction_logits=draw(count, 2),
        discriminator=draw(count),
        class_names=("4", "9"),
        provenance={"seed": "0", "perceptual_backbone": "mnist-32"},
    )


def test_round_trip_is_exact(tmp_path):
    written = some_latents()
    write_latents(tmp_path / "latents.parquet", written)
    read = read_latents(tmp_path / "latents.parquet")
    for name, value in vars(written).items():
        other = getattr(read, name)
        assert torch.equal(value, other) if isinstance(value, torch.Tensor) else value == other, name


def test_columns_are_those_of_the_design(tmp_path):
    import pyarrow.parquet

    write_latents(tmp_path / "latents.parquet", some_latents())
    schema = pyarrow.parquet.read_schema(tmp_path / "latents.parquet")
    assert str(schema.field("styles").type) == "fixed_size_list<element: float>[7]"
    assert {"id", "label", "logits", "w", "reconstruction_l1", "reconstruction_logits", "discriminator"} <= set(
        schema.names
    )


def test_style_vector_selects_rows_and_copies_nothing_it_would_change():
    latents = some_latents()
    chosen = latents.style_vector(torch.tensor([3, 1]))
    assert torch.equal(chosen.space, latents.styles[[3, 1]])
    assert torch.equal(chosen.to_rgb, latents.to_rgb_styles[[3, 1]])
    assert torch.equal(latents.style_vector().space, latents.styles)


def test_extremes_are_over_the_analysis_set():
    latents = some_latents()
    assert torch.equal(latents.minima, latents.styles.min(0).values)
    assert torch.equal(latents.maxima, latents.styles.max(0).values)


@pytest.mark.parametrize("content", [b"", b"PAR1 and no more", b"PAR1" + bytes(100) + b"PAR1"])
def test_damaged_file_is_an_artifact_error(tmp_path, content):
    (tmp_path / "latents.parquet").write_bytes(content)
    with pytest.raises(ArtifactError, match=r"latents\.parquet is damaged"):
        read_latents(tmp_path / "latents.parquet")


def test_truncated_file_is_an_artifact_error(tmp_path):
    path = tmp_path / "latents.parquet"
    write_latents(path, some_latents())
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(ArtifactError, match="damaged"):
        read_latents(path)


def test_foreign_parquet_is_an_artifact_error(tmp_path):
    import pyarrow
    import pyarrow.parquet

    pyarrow.parquet.write_table(pyarrow.table({"id": ["a"]}), tmp_path / "latents.parquet")
    with pytest.raises(ArtifactError, match="damaged"):
        read_latents(tmp_path / "latents.parquet")


def test_missing_file_says_what_to_run(tmp_path):
    with pytest.raises(ArtifactError, match="does not exist; run"):
        read_latents(tmp_path / "latents.parquet")


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
