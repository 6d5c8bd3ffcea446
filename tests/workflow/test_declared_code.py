"""The code that each rule declares is that of the verb that it runs; test_end_to_end.py compares it with what ran."""

from importlib import import_module

from stylex.cli import VERBS
from stylex.source import CHECKED, LEFT_OUT, ROOT, imported


def test_each_rule_declares_the_code_of_its_verb(rules):
    assert rules.keys() >= {"train", "study", "tables", "weights", "merge", "convert_released"}
    for name, rule in rules.items():
        assert rule.modules[0] == f"stylex.cli.{rule.verb.replace('-', '_').replace(' ', '.')}", name
        module, _, function = rule.modules[0].rpartition(".")
        command = getattr(import_module(module), function)
        if not rule.verb.startswith("study "):
            assert VERBS[rule.verb] is command, name


def test_what_is_left_out_exists(rules):
    for module in {*LEFT_OUT, *CHECKED, *(each for rule in rules.values() for each in rule.without)}:
        place = ROOT.joinpath(*module.split("."))
        assert place.is_dir() or place.with_suffix(".py").is_file(), module


def test_a_dataset_is_prepared_by_its_own_layout_and_no_other(rules):
    layouts = {
        name: {each for each in files(rules[f"prepare {name}"]) if "layouts" in each}
        for name in ("mnist", "cub-200-2011")
    }
    assert layouts == {
        "mnist": {"datasets/layouts/records.py"},
        "cub-200-2011": {f"datasets/layouts/{name}.py" for name in ("published", "records")},
    }
    assert "datasets/leaves.py" in files(rules["prepare leaves"])


def test_a_training_that_reads_no_published_weights_declares_their_code_nevertheless(rules):
    assert files(rules["train"]) >= {"pretrained.py", "config/training.py", "config/finetuning.py"}


def files(rule) -> set[str]:
    found = {path for module in rule.modules for path in imported(module, rule.without)}
    return {path.relative_to(ROOT / "stylex").as_posix() for path in found}
