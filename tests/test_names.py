"""Names of attributes: what the gallery exports is checked whole, kept beside its experiment, and read again."""

import hashlib
import json
from typing import Any

import pytest

from stylex.artifacts import write_text
from stylex.attfind.records import Attribute, Direction, write_attributes
from stylex.cli import main
from stylex.config import ExperimentPaths
from stylex.errors import ArtifactError, NamesError
from stylex.names import LONGEST, Name, import_names, names_of_another_training, read_names

DIGESTS = {name: hashlib.sha256(name.encode()).hexdigest() for name in ("mnist", "fashion-mnist")}


@pytest.fixture
def trained(root):
    """A project in which the coordinates 4, 17 and 20 of two experiments are attributes."""
    for name in DIGESTS:
        paths = ExperimentPaths(root, name)
        write_text(paths.stylex_model, name)
        moves = [("3", 1, 17), ("3", 2, 4), ("5", 1, 17), ("5", 2, 20)]
        found = [Attribute(target, rank, at, 0, at, Direction.TO_MAX, 1.0, 1) for target, rank, at in moves]
        write_attributes(paths.attributes, found, {})
    return root


def entry(index: Any = 17, name: Any = "open top", favourite: Any = True, experiment: Any = "mnist", **more: Any):
    model = DIGESTS.get(experiment, "0" * 64) if isinstance(experiment, str) else "0" * 64
    fields = {"experiment": experiment, "model": model, "style_index": index, "name": name, "favourite": favourite}
    return fields | more


def exported(root, *entries, **more):
    content = {"format": 1, "kind": "stylex attribute names", "attributes": list(entries)} | more
    (root / "names.json").write_text(json.dumps(content))
    return root / "names.json"


def test_names_are_kept_by_experiment_and_read_again(trained):
    file = exported(
        trained, entry(20, "", True), entry(17, "öffen <b>\u200d", False), entry(4, experiment="fashion-mnist")
    )
    expected = {17: Name("öffen <b>\u200d", False), 20: Name("", True)}
    assert import_names(trained, file) == {"mnist": expected, "fashion-mnist": {4: Name("open top", True)}}
    kept = ExperimentPaths(trained, "mnist").names
    assert read_names(kept, DIGESTS["mnist"]) == expected
    content = json.loads(kept.read_text())
    assert (content["format"], content["kind"]) == (1, "stylex attribute names")
    assert content["attributes"] == [entry(17, "öffen <b>\u200d", False), entry(20, "", True)]
    assert import_names(trained, kept) == {"mnist": expected}  # its own format


def test_a_later_file_replaces_the_names_of_its_experiments_alone(trained):
    import_names(trained, exported(trained, entry(4), entry(4, experiment="fashion-mnist")))
    import_names(trained, exported(trained, entry(17, "x" * LONGEST), entry(20, "", False)))
    names = {name: read_names(ExperimentPaths(trained, name).names, digest) for name, digest in DIGESTS.items()}
    assert names == {"mnist": {17: Name("x" * LONGEST, True)}, "fashion-mnist": {4: Name("open top", True)}}
    import_names(trained, exported(trained, entry(17, "", False)))  # takes them back
    assert read_names(ExperimentPaths(trained, "mnist").names, DIGESTS["mnist"]) == {}


def test_names_of_another_training_are_known_and_not_used(trained):
    kept = ExperimentPaths(trained, "mnist").names
    assert read_names(kept, DIGESTS["mnist"]) == {} and names_of_another_training(kept, DIGESTS["mnist"]) == 0
    import_names(trained, exported(trained, entry(4), entry(20)))
    assert read_names(kept, "0" * 64) == {} and names_of_another_training(kept, "0" * 64) == 2
    assert len(read_names(kept, DIGESTS["mnist"])) == 2 and names_of_another_training(kept, DIGESTS["mnist"]) == 0


MISTAKES = {
    "unknown experiment": ([entry(experiment="mnits")], ["'mnits'", "did you mean 'mnist'?"]),
    "a way out": ([entry(experiment="../mnist")], ["'../mnist'"]),
    "another training": ([entry(model="ab" * 32)], ["style_index 17", "'abababababab'", "another training"]),
    "no attribute": ([entry(18)], ["style_index 18", "4, 17, 20"]),
    "below 0": ([entry(-1)], ["style_index -1"]),
    "twice": ([entry(), entry(name="loop")], ["attribute 3", "style_index 17", "twice"]),
    "too long": ([entry(name="x" * 61)], ["61 characters", "60"]),
    "new line": ([entry(name="open\ntop")], ["'open\\ntop'", "'\\n'"]),
    "half a character": ([entry(name="a\ud800b")], ["'\\ud800'"]),
    "turned around": ([entry(name="a\u202eb")], ["'\\u202e'"]),
    "blank": ([entry(name=" ")], ["' '", "blank"]),
    "a number for a name": ([entry(name=3)], ["name is 3", "str"]),
    "a truth value for an index": ([entry(True)], ["style_index is True", "int"]),
    "a number for a star": ([entry(favourite=1)], ["favourite is 1", "bool"]),
    "a list for an experiment": ([entry(experiment=["mnist"])], ["experiment is ['mnist']"]),
    "a key too many": ([entry(colour="red")], ["colour"]),
    "no object": ([17], ["17"]),
    "nothing": ([], ["names no attribute"]),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_one_line_and_nothing_is_written(trained, monkeypatch, capsys, mistake):
    entries, told = MISTAKES[mistake]
    monkeypatch.chdir(trained)
    exported(trained, entry(4, experiment="fashion-mnist"), *entries) if entries else exported(trained)
    assert main(["names", "names.json"]) == 2
    line = capsys.readouterr().err
    assert line.startswith("error: names.json") and line.count("\n") == 1
    assert all(text in line for text in told), line
    assert not list(trained.glob("results/**/names.json"))


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"{", "is not JSON"),
        (b"\xff\xfe", "is not JSON"),
        (b"[" * 10**6, "is not JSON"),
        (b"1" * 5000, "is not JSON"),
        (b"[]", "no file of names"),
        (b'{"format": 1, "attributes": []}', "no file of names"),
        (b'{"format": 2, "kind": "stylex attribute names", "attributes": []}', "has format 2, this version of"),
        (b'{"format": true, "kind": "stylex attribute names", "attributes": []}', "format True"),
        (b'{"format": 1, "kind": "stylex attribute names", "attributes": {}}', "'attributes' is no list"),
    ],
)  # fmt: skip
def test_what_is_no_file_of_names(trained, content, told):
    (trained / "names.json").write_bytes(content)
    with pytest.raises(NamesError, match="names.json.*(export|update)") as caught:
        import_names(trained, trained / "names.json")
    assert told in str(caught.value)


def test_a_file_that_is_not_there_and_an_experiment_that_has_not_run(root):
    with pytest.raises(NamesError, match="nowhere.json is no file; give the JSON file that the gallery exported"):
        import_names(root, root / "nowhere.json")
    with pytest.raises(ArtifactError, match=r"model\.safetensors does not exist; run the stage"):
        import_names(root, exported(root, entry()))


def test_the_verb_says_what_it_did_and_what_renews_the_report(trained, monkeypatch, capsys):
    monkeypatch.chdir(trained)
    exported(trained, entry(20, "", True), entry(17, "open top", False))
    with pytest.raises(SystemExit) as ended:
        main(["names", "names.json"])
    lines = capsys.readouterr().out.splitlines()
    assert not ended.value.code and lines[0] == "mnist: names 17 'open top'; favourites 20"
    assert "snakemake --cores 2" in lines[1] and "stylex report SUITE" in lines[1]
