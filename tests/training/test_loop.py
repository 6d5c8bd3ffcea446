import pandas
import pytest
import torch

from stylex.artifacts import read_table
from stylex.config import ExperimentPaths
from stylex.networks.model import load_stylex
from stylex.training import train
from stylex.training.weights import FlatWeights

LOSSES = ["d_adversarial", "r1", "g_adversarial", "reconstruction_x", "reconstruction_perceptual", "reconstruction_w"]
RATES = ["learning_rate", "encoder_learning_rate", "discriminator_learning_rate"]
MEASURED = [*RATES, "val_l1", "val_class_kept", "val_frechet_distance"]
CLOCK = ["seconds", "images_per_second"]


@pytest.fixture
def undisturbed(tiny_root):
    assert train(tiny_root, "tiny", "cpu")
    return load_stylex(ExperimentPaths(tiny_root, "tiny").stylex_model).state_dict()


def start_anew(paths):
    for file in (*paths.checkpoints.iterdir(), paths.stylex_model, paths.stylex_history):
        file.unlink()


def test_training_writes_model_history_samples_and_moves_the_weights(tiny_root, undisturbed):
    paths = ExperimentPaths(tiny_root, "tiny")
    history = read_table(paths.stylex_history)
    assert history.columns.tolist() == ["images", *CLOCK, *LOSSES, "classifier", *MEASURED]
    assert history["images"].tolist() == [48, 96]
    # R1 is computed at the first step only (r1_interval 16).
    assert history.drop(columns="r1").notna().all().all()
    assert history["r1"].notna().tolist() == [True, False]
    assert paths.stylex_samples.read_bytes().startswith(b"\x89PNG")
    assert len(list(paths.checkpoints.glob("*.pt"))) == 3
    assert undisturbed["synthesis.layers.3.weight"].std() != 1


def test_the_history_has_the_rates_of_the_last_step(tiny_root, experiment):
    experiment(tiny_root, {"decay": 0.5, "discriminator_learning_rate": 0.001})
    assert train(tiny_root, "tiny", "cpu")
    history = read_table(ExperimentPaths(tiny_root, "tiny").stylex_history)
    # Rows after 48 and 96 images of 96, steps of 8: the last step follows 88, of which the second half falls.
    assert history["learning_rate"].tolist() == pytest.approx([0.002, 0.002 * 8 / 48])
    assert history["discriminator_learning_rate"].tolist() == pytest.approx([0.001, 0.001 * 8 / 48])


def test_the_model_written_is_the_averaged_one_not_the_raw_one(tiny_root, undisturbed):
    # A replication analysed the raw generator.
    folder = ExperimentPaths(tiny_root, "tiny").checkpoints
    newest = max(folder.glob("*.pt"), key=lambda path: int(path.stem.split("-")[1]))
    state = torch.load(newest, weights_only=True)["state"]
    networks = load_stylex(ExperimentPaths(tiny_root, "tiny").stylex_model)
    for name in ("synthesis", "mapping", "encoder"):
        written = FlatWeights(getattr(networks, name), torch.float32).vector
        torch.testing.assert_close(written, state["averages"][name], rtol=1e-5, atol=1e-6)
        assert (written - state["weights"][name]).abs().max() > 1e-4


def test_speed_is_that_of_the_images_since_the_last_row(tiny_root, undisturbed):
    history = read_table(ExperimentPaths(tiny_root, "tiny").stylex_history)
    speed = history["images"].diff().fillna(history["images"]) / history["seconds"].diff().fillna(history["seconds"])
    assert history["images_per_second"].tolist() == pytest.approx(speed.tolist())


def test_interrupted_twice_and_resumed_equals_undisturbed_bit_for_bit(tiny_root, undisturbed):
    paths = ExperimentPaths(tiny_root, "tiny")
    history = read_table(paths.stylex_history)
    start_anew(paths)
    for _ in range(2):
        assert not train(tiny_root, "tiny", "cpu", time_limit_minutes=1.0)  # a minute is the margin: one step a call
    assert train(tiny_root, "tiny", "cpu")
    resumed = load_stylex(paths.stylex_model).state_dict()
    assert all(torch.equal(resumed[name], value) for name, value in undisturbed.items())
    # The means of a row include the steps before the interruption.
    again = read_table(paths.stylex_history)
    pandas.testing.assert_frame_equal(again.drop(columns=CLOCK), history.drop(columns=CLOCK), check_exact=True)


def test_same_config_and_seed_give_the_same_bytes(tiny_root, undisturbed):
    paths = ExperimentPaths(tiny_root, "tiny")
    artifacts = (paths.stylex_model, paths.stylex_samples)
    first = [path.read_bytes() for path in artifacts]
    start_anew(paths)
    torch.manual_seed(1)  # which has no say in it
    assert train(tiny_root, "tiny", "cpu")
    assert [path.read_bytes() for path in artifacts] == first


def test_another_seed_gives_other_weights(tiny_root, undisturbed):
    file = tiny_root / "config/experiments/tiny.yaml"
    file.write_text(f"{file.read_text()}\nseed: 1\n")
    assert train(tiny_root, "tiny", "cpu")
    other = load_stylex(ExperimentPaths(tiny_root, "tiny").stylex_model).state_dict()
    assert not torch.equal(other["synthesis.layers.3.weight"], undisturbed["synthesis.layers.3.weight"])
