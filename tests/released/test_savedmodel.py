"""Reading SavedModels that TensorFlow wrote, and what is left of them when they are damaged."""

import shutil
import zipfile
from pathlib import Path

import numpy
import pytest

from stylex.errors import ArtifactError
from stylex.released.protobuf import parse, varint
from stylex.released.savedmodel import read_operations, read_variables

DATA = Path(__file__).parent / "data"


@pytest.fixture
def models(tmp_path):
    for path in DATA.glob("*.savedmodel.zip"):
        with zipfile.ZipFile(path) as archive:
            archive.extractall(tmp_path)
    return tmp_path


def test_variables_have_names_shapes_and_order(models):
    generator, mobilenet = (read_variables(models / f"{name}.savedmodel") for name in ("generator", "mobilenet"))
    assert len(generator.values) == 76 and "dlatent_avg" not in generator.trainable
    weight = generator.values["generator_synthesis/GeneratorBlock16x16/Conv0Up/ModulatedConv2D/weight"]
    assert weight.shape == (3, 3, 8, 6) and weight.dtype == numpy.float32
    assert generator.values["Noise6"].shape == (1, 1, 32, 32)
    assert generator.values["generator_synthesis/ConstBlock4x4/GeneratorLayer4x4/NoiseStrength"].shape == ()
    assert len(mobilenet.trainable) == 83 and len(mobilenet.values) == 83 + 2 * 27
    kinds = [name.rpartition("/")[2] for name in mobilenet.trainable]
    assert kinds[:4] == ["kernel", "gamma", "beta", "depthwise_kernel"] and kinds[-2:] == ["kernel", "bias"]


def test_every_value_is_read_from_its_place(models):
    """The variables tile the file: each byte of it, but those of the graph of objects, belongs to one."""
    variables = read_variables(models / "encoder.savedmodel")
    file = (models / "encoder.savedmodel" / "variables" / "variables.data-00000-of-00001").read_bytes()
    places = [file.find(value.tobytes()) for value in variables.values.values() if value.size > 2]
    assert min(places) >= 0 and len(set(places)) == len(places)


def test_operations_of_the_graph_are_counted(models):
    operations = read_operations(models / "mobilenet.savedmodel")
    assert operations["Relu"] == 81 and operations["FusedBatchNormV3"] and not operations["Relu6"]


def test_damaged_index_is_one_line(models):
    """Any byte of the index changed, which the archive's checksum would have told: no other error than ours."""
    folder = models / "encoder.savedmodel"
    index = folder / "variables" / "variables.index"
    whole, refused = index.read_bytes(), 0
    for position in range(0, len(whole), 7):
        index.write_bytes(whole[:position] + bytes([whole[position] ^ 0x55]) + whole[position + 1 :])
        try:
            read_variables(folder)
        except ArtifactError as error:
            refused += 1
            assert "\n" not in str(error)
    assert refused > len(whole) / 7 / 3


@pytest.mark.parametrize("kept", [0, 10, 47, 500, -1])
def test_truncated_files_are_named(models, kept):
    folder = models / "discriminator.savedmodel"
    for name in ("variables.index", "variables.data-00000-of-00001"):
        path = folder / "variables" / name
        shutil.copy(path, whole := path.with_suffix(".whole"))
        path.write_bytes(path.read_bytes()[:kept])
        with pytest.raises(ArtifactError, match=r"discriminator\.savedmodel/variables/variables\.index is damaged"):
            read_variables(folder)
        shutil.move(whole, path)


def test_missing_files_are_named(models):
    with pytest.raises(ArtifactError, match=r"nowhere/variables/variables\.index cannot be read"):
        read_variables(models / "nowhere")
    with pytest.raises(ArtifactError, match=r"generator\.savedmodel/saved_model\.pb cannot be read"):
        read_operations(models / "generator.savedmodel")
    (models / "generator.savedmodel" / "saved_model.pb").write_bytes(b"\xff" * 20)
    with pytest.raises(ArtifactError, match="no SavedModel"):
        read_operations(models / "generator.savedmodel")


def test_wire_format_is_that_of_the_specification():
    """The examples of protobuf.dev/programming-guides/encoding."""
    assert varint(b"\x96\x01", 0) == (150, 2)
    assert parse(b"\x08\x96\x01") == {1: [150]}
    assert parse(b"\x12\x07testing") == {2: [b"testing"]}
    assert parse(b"\x1a\x03\x08\x96\x01") == {3: [b"\x08\x96\x01"]}
    with pytest.raises(ValueError, match="beyond its message"):
        parse(b"\x12\x08testing")
    with pytest.raises(ValueError, match="no end"):
        varint(b"\xff" * 11, 0)
