"""The unpickler of the released latents: arrays of numpy in every protocol, and nothing else."""

import pickle
from pathlib import Path

import numpy
import pytest

from stylex.errors import ArtifactError
from stylex.released.latents import read_latents_pickle

LATENTS = [(number, numpy.full((1, 8), number, numpy.float32)) for number in (3, 7)]


class Call:
    """Pickles as a call of anything."""

    def __init__(self, function, *arguments):
        self.function, self.arguments = function, arguments

    def __reduce__(self):
        return self.function, self.arguments


@pytest.mark.parametrize("protocol", range(5))
@pytest.mark.parametrize("core", [b"numpy._core", b"numpy.core"])
def test_arrays_are_read_in_every_protocol(tmp_path, protocol, core):
    path = tmp_path / "dlatents.pkl"
    content = pickle.dumps([[numpy.int64(number), latent] for number, latent in LATENTS], protocol)
    path.write_bytes(content.replace(b"cnumpy._core", b"c" + core))
    read = read_latents_pickle(path, classes=2)
    assert read.ids == ["00003", "00007"]
    assert read.w.shape == (2, 6) and (read.w[1] == 7).all() and read.condition.shape == (2, 2)


def test_what_an_older_numpy_wrote_is_read():
    read = read_latents_pickle(Path(__file__).parent / "data" / "dlatents.pkl", classes=2)
    assert read.w.shape == (3, 6)
    numpy.testing.assert_allclose(read.condition.sum(axis=1), 1, rtol=1e-6)


def harmful(target):
    """Pickles that would write a file, by as many ways as the format has of calling."""
    command = f"open({str(target)!r}, 'w').close()"
    yield pickle.dumps(Call(exec, command))
    yield pickle.dumps(Call(eval, command), 0)
    yield pickle.dumps([(0, Call(exec, command))])
    yield b"cos\nsystem\n(Vtouch " + str(target).encode() + b"\ntR."
    yield b"(Vtouch " + str(target).encode() + b"\nios\nsystem\n."  # INST
    yield b"(cposix\nsystem\nVtouch " + str(target).encode() + b"\no."  # OBJ
    yield b"\x80\x04\x8c\x05posix\x8c\x06system\x93\x8c\x04true\x85R."  # STACK_GLOBAL
    yield b"\x80\x02cbuiltins\ngetattr\ncnumpy\nndarray\nVtofile\n\x86R."
    yield b"cnumpy.core.multiarray\nfromfile\n(V/etc/passwd\ntR."
    yield b"cnumpy\nload\n(V/etc/passwd\ntR."
    yield b"\x80\x04\x8c\x05numpy\x8c\x0edtype.__init__\x93."  # dotted names
    yield b"c_codecs\nencode\n(Vx\nVrot13\ntR."
    yield b"c_codecs\nlookup\n(Vrot13\ntR."
    yield b"\x80\x02Ptouch\n."  # a persistent reference
    yield b"\x80\x02\x82\x01."  # a number of copyreg's registry


def test_harmful_pickles_are_refused_in_one_line(tmp_path):
    target, path = tmp_path / "written", tmp_path / "dlatents.pkl"
    contents = list(harmful(target))
    for content in contents:
        path.write_bytes(content)
        with pytest.raises(ArtifactError, match="not only numpy arrays|no pickle of numpy arrays") as error:
            read_latents_pickle(path, classes=2)
        assert "\n" not in str(error.value) and len(str(error.value)) < 400
    assert len(contents) == 15 and not target.exists()


@pytest.mark.parametrize(
    "content",
    [
        {"w": 1},
        [],
        [3],
        [(0, "text")],
        [(0, numpy.zeros(8, numpy.float32))],
        [(0, numpy.zeros((1, 2), numpy.float32))],
        [(0, numpy.zeros((1, 8), numpy.int64))],
        [(0, numpy.full((1, 8), numpy.nan))],
        [("0", numpy.zeros((1, 8)))],
        [(0, numpy.zeros((1, 8))), (0, numpy.zeros((1, 8)))],
        [(0, numpy.zeros((1, 8))), (1, numpy.zeros((1, 9)))],
    ],
    ids=str,
)
def test_other_arrays_are_refused(tmp_path, content):
    path = tmp_path / "dlatents.pkl"
    path.write_bytes(pickle.dumps(content))
    with pytest.raises(ArtifactError, match="get the original"):
        read_latents_pickle(path, classes=2)


def test_array_larger_than_its_file_is_refused(tmp_path):
    path = tmp_path / "dlatents.pkl"
    path.write_bytes(b"(lp0\n(I0\ncnumpy\nndarray\n((I1\nI40000000\nttRtp1\na.")
    with pytest.raises(ArtifactError, match="entry 0 is no number with finite values"):
        read_latents_pickle(path, classes=2)


@pytest.mark.parametrize("content", [b"", b"\x80\x04", b"PK\x03\x04", pickle.dumps(LATENTS)[:-40]])
def test_damaged_pickle_is_one_line(tmp_path, content):
    path = tmp_path / "dlatents.pkl"
    path.write_bytes(content)
    with pytest.raises(ArtifactError, match="no pickle of numpy arrays"):
        read_latents_pickle(path, classes=2)
