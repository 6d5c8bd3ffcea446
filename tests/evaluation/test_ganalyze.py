"""The learned direction against cases whose best direction is known, and its file."""

import pytest
import torch
from torch import Tensor

from stylex.artifacts import load_tensors
from stylex.classifiers import build_network
from stylex.classifiers.wrapper import NetworkDescription, save_network
from stylex.config import ExperimentPaths, load_experiment
from stylex.config.analysis import GanalyzeConfig
from stylex.errors import ConfigError
from stylex.evaluation.ganalyze import assessor, ganalyze, learn_direction, log_odds
from stylex.latents.table import Latents, read_latents, write_latents
from stylex.networks.model import build_networks, save_stylex
from stylex.protocols import Protocol

OPTIONS = GanalyzeConfig(steps=300, batch_size=16, learning_rate=0.05)
REACH = 4.0


def latents_in_w(count: int = 40, width: int = 6) -> Tensor:
    return torch.randn(count, width, generator=torch.Generator().manual_seed(3))


def learned(assess, w, seed=0, options=OPTIONS):
    return learn_direction(assess, w, REACH, options, torch.Generator().manual_seed(seed))


def test_linear_answer_with_one_shortest_direction():
    # A = g w: every theta with g theta = 1 is exact. With |g_i| equal or 0, Adam from 0 stays on the shortest, g / g².
    g = torch.tensor([2.0, -2.0, 0.0, 2.0, 0.0, -2.0])
    found = learned(lambda w, rows: w @ g, latents_in_w())
    torch.testing.assert_close(found.theta, g / g.square().sum(), rtol=0, atol=2e-3)
    assert found.reach == REACH and found.error < 0.05 * REACH


def test_linear_answer_changes_by_alpha():
    g = torch.tensor([3.0, -0.5, 0.1, 1.0, 0.0, -2.0])
    found = learned(lambda w, rows: w @ g, latents_in_w())
    assert float(g @ found.theta) == pytest.approx(1.0, abs=0.02)
    assert found.theta[4] == 0


def test_an_answer_that_saturates_is_reached_on_average_and_the_error_says_how_well():
    # A = 3 sign-like: one number cannot ask for more than the answer gives, and the error is what is missing.
    g = torch.tensor([1.0, 0.0, 0.0, 0.0, 0.0, 0.0])
    found = learned(lambda w, rows: torch.tanh(w @ g), latents_in_w())
    assert 2.0 < found.error < REACH and found.theta[0] > 0


def test_an_answer_that_w_does_not_change_gives_no_direction():
    found = learned(lambda w, rows: (0 * w).sum(dim=1) + rows.float(), latents_in_w())
    assert found.theta.abs().max() == 0 and found.error == pytest.approx(REACH)


def test_the_generator_decides_which_images_and_alphas_are_drawn():
    def assess(w: Tensor, rows: Tensor) -> Tensor:
        return (w**3).sum(dim=1)

    w, short = latents_in_w(), GanalyzeConfig(steps=5)
    first, again, other = (learned(assess, w, seed, short).theta for seed in (0, 0, 1))
    assert torch.equal(first, again) and not torch.equal(first, other)


def test_log_odds_are_those_of_the_probability():
    logits = torch.tensor([[1.0, 2.0, -1.0], [0.0, 0.0, 0.0]])
    p = logits.softmax(dim=1)[:, 1]
    torch.testing.assert_close(log_odds(logits, 1), (p / (1 - p)).log())
    torch.testing.assert_close(log_odds(logits[:, :2], 1), logits[:, 1] - logits[:, 0])


@pytest.fixture
def project(root):
    """Random networks and their latents, as the stages before leave them."""
    config, paths = load_experiment(root, "mnist"), ExperimentPaths(root, "mnist")
    torch.manual_seed(0)
    names = ("3", "5")
    description = NetworkDescription(
        role="classifier", name="random", architecture="resnet18", width=0.125, channels=1, resolution=32,
        class_names=names,
    )  # fmt: skip
    save_network(paths.classifier.model, build_network("resnet18", 1, 2, 0.125), description, {})
    networks = build_networks(config.stylex, resolution=32, image_channels=1, classes=2, seed=0).eval()
    save_stylex(paths.stylex_model, networks, {})
    random = torch.Generator().manual_seed(1)
    w, logits = torch.randn(12, 64, generator=random), 3 * torch.randn(12, 2, generator=random)
    with torch.no_grad():
        styles = networks.synthesis.styles(networks.w_plus(w, logits))
    zero = torch.zeros(12)
    write_latents(
        paths.latents,
        Latents(
            [str(row) for row in range(12)],
            logits.argmax(1),
            logits,
            w,
            styles.space,
            styles.to_rgb,
            zero,
            zero,
            logits,
            zero,
            names,
            {},
        ),  # fmt: skip
    )
    return root


def test_each_image_keeps_its_own_conditioning(project):
    config = load_experiment(project, "mnist").stylex
    networks = build_networks(config, resolution=32, image_channels=1, classes=2, seed=0).eval().requires_grad_(False)
    random = torch.Generator().manual_seed(2)
    w, logits = torch.randn(1, 64, generator=random).expand(3, -1), 5 * torch.randn(3, 2, generator=random)

    class Mean(torch.nn.Module):
        def forward(self, images: Tensor) -> Tensor:
            mean = images.mean(dim=(1, 2, 3))
            return torch.stack([torch.zeros_like(mean), mean], dim=1)

    assess = assessor(networks, Mean(), logits, 1)
    rows = torch.tensor([2, 0])
    expected = networks.synthesis.render(networks.synthesis.styles(networks.w_plus(w[:2], logits[[2, 0]])))
    torch.testing.assert_close(assess(w[:2], rows), expected.mean(dim=(1, 2, 3)))
    assert assess(w, torch.arange(3)).unique().numel() == 3


def test_the_file_says_what_it_is(project):
    ganalyze_few(project, "ganalyze: {steps: 3, batch_size: 4}")
    tensors, header = load_tensors(ExperimentPaths(project, "mnist").ganalyze)
    assert tensors["theta"].shape == (64,) and tensors["theta"].abs().max() > 0
    assert header["target_class"] == "5" and float(header["error"]) > 0
    latents = read_latents(ExperimentPaths(project, "mnist").latents).under(Protocol.HELD_OUT)
    logits = latents.reconstruction_logits[latents.searched]
    assert float(header["reach"]) == pytest.approx(2 * float((logits[:, 1] - logits[:, 0]).abs().median()))
    assert {"config_digest", "seed", "commit", "version_torch"} <= header.keys()


def test_an_unknown_class_is_named_before_anything_is_computed(project):
    with pytest.raises(ConfigError, match=r"evaluation\.figure_class: unknown class '8'; choose one of 3, 5"):
        ganalyze_few(project, "figure_class: '8'")


def test_a_class_that_only_the_data_know_is_named_as_well(project):
    path = project / "config/experiments/mnist.yaml"
    path.write_text(path.read_text().replace('  classes: ["3", "5"]\n', ""))
    with pytest.raises(ConfigError, match=r"unknown class '8'; choose one of 3, 5"):
        ganalyze_few(project, "figure_class: '8'")


def ganalyze_few(project, line: str) -> None:
    path = project / "config/experiments/mnist.yaml"
    path.write_text(path.read_text().replace("evaluation:\n", f"evaluation:\n  {line}\n"))
    ganalyze(project, "mnist", "cpu")
