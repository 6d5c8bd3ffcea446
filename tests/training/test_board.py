import sys

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from stylex.config import ExperimentPaths
from stylex.errors import ConfigError
from stylex.training import train
from stylex.training.board import Board


def test_every_column_becomes_a_curve_over_the_images(tmp_path):
    board = Board(tmp_path)
    board.add({"images": 48.0, "val_l1": 0.5, "classifier": 2.0})
    board.add({"images": 96.0, "val_l1": 0.25, "classifier": 1.0})
    events = EventAccumulator(str(tmp_path))
    events.Reload()
    assert sorted(events.Tags()["scalars"]) == ["classifier", "val_l1"]
    assert [(event.step, event.value) for event in events.Scalars("val_l1")] == [(48, 0.5), (96, 0.25)]


def test_without_a_folder_nothing_is_written(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    board = Board(None)
    board.add({"images": 1.0, "val_l1": 0.5})
    assert not list(tmp_path.iterdir())


def test_a_missing_package_is_named_with_the_remedy(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with pytest.raises(ConfigError, match="pip install tensorboard"):
        Board(tmp_path)


def test_training_writes_event_files_where_asked(tiny_root):
    assert train(tiny_root, "tiny", "cpu", tensorboard=True)
    events = EventAccumulator(str(ExperimentPaths(tiny_root, "tiny").tensorboard))
    events.Reload()
    assert [event.step for event in events.Scalars("val_frechet_distance")] == [48, 96]
