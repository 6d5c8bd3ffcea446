"""The verbs call the stages, in the current folder, and say how they ended."""

import pytest

from stylex.cli import VERBS, app, main


def test_validate_says_what_the_suite_runs(root, monkeypatch, capsys):
    monkeypatch.chdir(root)
    assert exit_code(["validate", "demo"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("suite demo: ")
    assert any(line.startswith("  mnist: mnist (3, 5), 32x32, ") for line in lines)


def test_datasets_lists_the_catalog(capsys):
    assert exit_code(["datasets"]) == 0
    assert "ankle-boot" in capsys.readouterr().out


def test_schemas_are_written_below_the_current_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert exit_code(["schemas"]) == 0
    assert (tmp_path / "workflow/schemas/experiment.schema.json").is_file()


@pytest.mark.parametrize(("finished", "code"), [(True, 0), (False, 75)])
def test_unfinished_training_exits_with_75(monkeypatch, finished, code):
    import stylex.training

    calls = []
    monkeypatch.setattr(stylex.training, "train", lambda *arguments: calls.append(arguments) or finished)
    assert exit_code(["train", "mnist", "--device", "cpu", "--time-limit", "1.5", "--tensorboard"]) == code
    assert calls[0][1:] == ("mnist", "cpu", 1.5, True, None)


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_has_help(verb, capsys):
    assert exit_code([verb, "--help"]) == 0
    assert VERBS[verb].__doc__.split()[0] in capsys.readouterr().out


def exit_code(arguments: list[str]) -> int:
    assert app.registered_commands
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    return int(ended.value.code or 0)
