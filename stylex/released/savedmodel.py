"""Read the variables of a TensorFlow SavedModel, and the operations of its graph, without TensorFlow.

`variables/variables.index` is a table in LevelDB's format (https://github.com/google/leveldb, doc/table_format.md)
of tensorflow/core/protobuf/tensor_bundle.proto; `variables.data-*` are the values, one after another. Values are stored
under the paths of objects; the names of the variables are in the object graph that is stored among them
(trackable_object_graph.proto). TensorFlow is 1.3 GB to install, and its older releases, which alone load models of
Keras 2, exclude the numpy used here. Checksums are not computed: the archives that the files come in have their own.
"""

from __future__ import annotations

import struct
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from stylex.errors import ArtifactError
from stylex.released.protobuf import Message, messages, number, parse, text, varint, varints

MAGIC = 0xDB4775248B80FB57  # ends a table
FOOTER, TRAILER = 48, 5  # bytes: of a table, of a block in it (kind of compression, checksum)
GRAPH = "_CHECKPOINTABLE_OBJECT_GRAPH"
STRING = 7
DTYPES = {1: "<f4", 2: "<f8", 3: "<i4", 9: "<i8", 10: "?", 19: "<f2"}  # DataType of types.proto


@dataclass(frozen=True)
class Variables:
    """The variables of a model by name."""

    source: Path
    values: dict[str, np.ndarray]
    trainable: list[str]
    """Names in the order of the model's trainable_variables."""


def read_variables(folder: Path) -> Variables:
    """Read all variables of the SavedModel in `folder`; raise `ArtifactError` when they are missing or damaged."""
    path = folder / "variables" / "variables.index"
    try:
        return _variables(path)
    except OSError as error:
        raise ArtifactError(f"{error.filename} cannot be read ({error.strerror}); fetch the model again") from None
    except (ValueError, KeyError, IndexError, struct.error, RecursionError) as error:
        reason = " ".join(str(error).split())[:120]
        raise ArtifactError(
            f"{path} is damaged or no TensorFlow checkpoint ({reason}); fetch the model again"
        ) from None


def read_operations(folder: Path) -> Counter[str]:
    """Count the operations of all graphs of the SavedModel in `folder` by type; raise `ArtifactError` likewise."""
    path = folder / "saved_model.pb"
    try:
        graphs = [messages(graph, 2) for graph in messages(parse(path.read_bytes()), 2)]
        nodes: list[Message] = []
        for graph in (each for group in graphs for each in group):
            nodes += messages(graph, 1)
            nodes += [
                node for library in messages(graph, 2) for each in messages(library, 1) for node in messages(each, 3)
            ]
        return Counter(text(node, 2) for node in nodes)
    except OSError as error:
        raise ArtifactError(f"{path} cannot be read ({error.strerror}); fetch the model again") from None
    except ValueError as error:
        raise ArtifactError(f"{path} is damaged or no SavedModel ({error}); fetch the model again") from None


def _variables(path: Path) -> Variables:
    entries = {key.decode(): parse(value) for key, value in _table(path.read_bytes())}
    count = number(entries.pop(""), 1)
    shards = [path.with_name(f"variables.data-{shard:05d}-of-{count:05d}").read_bytes() for shard in range(count)]
    nodes = [_Node(message) for message in messages(parse(_first_string(entries.pop(GRAPH), shards)), 1)]
    named: dict[str, np.ndarray] = {}
    for node in nodes:
        if node.key in entries:
            if not node.name or node.name in named:
                raise ValueError(f"{node.key} has no name of its own, but {node.name!r}")
            named[node.name] = _array(entries[node.key], shards)
    listed = nodes[nodes[0].children["trainable_variables"]].children
    order = [nodes[listed[key]].name for key in sorted((key for key in listed if key.isdigit()), key=int)]
    return Variables(path.parents[1], named, order)


class _Node:
    """An object of the graph: its children by name, and the name and key of its value if it is a variable."""

    def __init__(self, message: Message) -> None:
        self.children = {text(child, 2): number(child, 1) for child in messages(message, 1)}
        value = next((each for each in messages(message, 2) if text(each, 1) == "VARIABLE_VALUE"), {})
        self.name, self.key = text(value, 2), text(value, 3)


def _table(content: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yield keys and values of a table: a footer leads to the index block, whose values lead to the others."""
    footer = content[-FOOTER:]
    if len(footer) < FOOTER or struct.unpack("<Q", footer[-8:]) != (MAGIC,):
        raise ValueError("its end is not that of a table")
    _, _, offset, size = [value for value, _ in zip(varints(footer[:-8]), range(4), strict=False)]
    for _, handle in _block(content, offset, size):
        yield from _block(content, *varints(handle))


def _block(content: bytes, offset: int, size: int) -> Iterator[tuple[bytes, bytes]]:
    block = content[offset : offset + size + TRAILER]
    if len(block) < size + TRAILER or size < 4:
        raise ValueError("a block reaches beyond the file")
    if block[size]:
        raise ValueError("its blocks are compressed, which TensorFlow's never are")
    restarts = struct.unpack("<I", block[size - 4 : size])[0]
    position, end, key = 0, size - 4 * (restarts + 1), b""
    while position < end:
        shared, position = varint(block, position)
        own, position = varint(block, position)
        length, position = varint(block, position)
        key = key[:shared] + block[position : position + own]
        position += own
        yield key, block[position : position + length]
        position += length


def _raw(entry: Message, shards: list[bytes]) -> bytes:
    if 7 in entry:
        raise ValueError("a variable is stored in slices")
    offset, size = number(entry, 4), number(entry, 5)
    value = shards[number(entry, 3)][offset : offset + size]
    if len(value) < size:
        raise ValueError("a value reaches beyond the file")
    return value


def _array(entry: Message, shards: list[bytes]) -> np.ndarray:
    shape = [number(size, 1) for each in messages(entry, 2) for size in messages(each, 2)]
    if (dtype := number(entry, 1)) not in DTYPES:
        raise ValueError(f"values of DataType {dtype} are not known")
    return np.frombuffer(_raw(entry, shards), DTYPES[dtype]).reshape(shape)


def _first_string(entry: Message, shards: list[bytes]) -> bytes:
    """Return the only element of a tensor of strings: lengths, their checksum, then the strings."""
    value = _raw(entry, shards)
    length, start = varint(value, 0)
    return value[start + 4 : start + 4 + length]
