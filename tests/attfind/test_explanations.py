"""Explanations of single images against loops that render one image at a time."""

import itertools
import shutil
from pathlib import Path

import pytest
import torch
from paper_training import as_papers

from stylex.attfind.explanations import Explainer, first_of_each_class, margins, runners_up
from stylex.attfind.records import Direction, Method
from stylex.classifiers import Classifier, build_network
from stylex.classifiers.frozen import NetworkDescription
from stylex.config import load_experiment
from stylex.errors import ArtifactError
from stylex.latents.table import Latents
from stylex.networks.model import build_networks
from stylex.networks.stylespace import StyleVector, move

SHIFT, IMAGES, CLASSES = 2.0, 5, 3
REPOSITORY = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def config(tmp_path_factory):
    root = tmp_path_factory.mktemp("project")
    shutil.copytree(REPOSITORY / "config", root / "config")
    config = load_experiment(root, "mnist")
    return config.model_copy(update={"stylex": as_papers(config.stylex)})


@pytest.fixture(scope="module")
def networks(config):
    channels = {f"{kind}_channels": [4, 4, 3] for kind in ("generator", "encoder", "discriminator")}
    sizes = config.stylex.networks.model_copy(update={"latent_dim": 6, **channels})
    small = config.stylex.model_copy(update={"networks": sizes})
    return build_networks(small, resolution=16, image_channels=1, classes=CLASSES, seed=0).eval().requires_grad_(False)


@pytest.fixture(scope="module")
def styles(networks):
    random = torch.Generator().manual_seed(2)
    return networks.synthesis.styles(torch.randn(IMAGES, 6 + CLASSES, generator=random))


@pytest.fixture(scope="module")
def classifier(networks, styles):
    """Random, but undecided on average, so that moves of styles can turn it."""
    torch.manual_seed(1)
    description = NetworkDescription(
        role="classifier", name="random", architecture="resnet18", width=0.125, channels=1, resolution=16,
        class_names=("a", "b", "c"),
    )  # fmt: skip
    network = Classifier(build_network("resnet18", 1, CLASSES, 0.125), description)
    network.network.head.bias -= network(networks.synthesis.render(styles)).mean(0)
    return network


def latents_of(styles):
    nothing = torch.zeros(len(styles.space), CLASSES)
    scalar = nothing[:, 0]
    return Latents(
        ids=[f"image-{row}" for row in range(len(nothing))], labels=scalar.long(), logits=nothing, w=nothing,
        styles=styles.space, to_rgb_styles=styles.to_rgb, reconstruction_l1=scalar, reconstruction_perceptual=scalar,
        reconstruction_logits=nothing, discriminator=scalar, class_names=("a", "b", "c"), provenance={},
    )  # fmt: skip


@pytest.fixture(scope="module")
def explainer_of(config, networks, classifier, styles):
    def build(batch_size=16, precision="float32", shift=SHIFT, latents=None):
        changes = {"batch_size": batch_size, "precision": precision, "shift": shift}
        options = config.attfind.model_copy(update=changes)
        return Explainer(networks, classifier, (latents or latents_of(styles)).extremes, options, "cpu")

    return build


def plain_logits(networks, classifier, styles, image, moves):
    """The classifier's answer to one image with (index, direction) moved, one image at a time."""
    space = styles.space[image : image + 1]
    for index, direction in moves:
        extreme = styles.space.amin(0) if direction == Direction.TO_MIN else styles.space.amax(0)
        space = move(space, torch.tensor([index]), extreme[[index]], SHIFT)
    return classifier(networks.synthesis.render(StyleVector(space, styles.to_rgb[image : image + 1])))[0]


def margin(logits, target):
    others = [value for label, value in enumerate(logits.tolist()) if label != target]
    return float(logits[target]) - max(others)


@pytest.fixture(scope="module")
def targets(networks, classifier, styles):
    return runners_up(classifier(networks.synthesis.render(styles)))


def test_independent_moves_each_of_the_largest_effects_of_this_image_alone(
    networks, classifier, styles, targets, explainer_of
):
    found = explainer_of().explain(styles, targets, Method.INDEPENDENT, 4)
    size = networks.synthesis.layout.size
    for image, (target, steps) in enumerate(zip(targets.tolist(), found, strict=True)):
        effect = {}
        for index in range(size):
            for direction in Direction:
                alone = plain_logits(networks, classifier, styles, image, [(index, direction)])
                effect[index, direction] = margin(alone, target)
        best = [max(Direction, key=lambda to, index=index: effect[index, to]) for index in range(size)]
        order = sorted(range(size), key=lambda index: -effect[index, best[index]])[:4]
        assert [(step.style_index, step.direction) for step in steps] == [(index, best[index]) for index in order]
        assert_recorded(networks, classifier, styles, image, target, steps, alone=True)


def assert_recorded(networks, classifier, styles, image, target, steps, alone=False):
    """What a step records is the classifier's answer to a full rendering of all moves so far, or of this one alone."""
    moves, before = [], plain_logits(networks, classifier, styles, image, [])
    for number, step in enumerate(steps, start=1):
        moves = [*([] if alone else moves), (step.style_index, step.direction)]
        after = plain_logits(networks, classifier, styles, image, moves)
        assert step.step == number
        assert step.probability_before == pytest.approx(float(before.softmax(0)[target]), abs=1e-5)
        assert step.probability_after == pytest.approx(float(after.softmax(0)[target]), abs=1e-5)
        assert step.flipped == (int(after.argmax()) == target)
        assert networks.synthesis.layout.locate(step.style_index) == (step.layer, step.channel)
        before = before if alone else after


def test_subset_is_greedy_given_what_is_moved_and_stops_at_the_flip(
    networks, classifier, styles, targets, explainer_of
):
    found = explainer_of().explain(styles, targets, Method.SUBSET, 4)
    for image, (target, steps) in enumerate(zip(targets.tolist(), found, strict=True)):
        moves = []
        for step in steps:
            used = {index for index, _ in moves}
            free = [index for index in range(networks.synthesis.layout.size) if index not in used]
            candidates = list(itertools.product(free, Direction))
            values = [
                margin(plain_logits(networks, classifier, styles, image, [*moves, candidate]), target)
                for candidate in candidates
            ]
            moves.append(candidates[values.index(max(values))])
            assert (step.style_index, step.direction) == moves[-1]
        assert_recorded(networks, classifier, styles, image, target, steps)
        assert not any(step.flipped for step in steps[:-1]), "nothing is moved after the flip"
        assert steps[-1].flipped or len(steps) == 4
    assert any(steps[-1].flipped for steps in found), "the oracle must see a flip"
    assert any(len(steps) > 1 for steps in found)


@pytest.mark.parametrize("method", Method)
def test_an_image_is_explained_as_it_is_alone_and_nothing_is_changed(
    networks, classifier, styles, targets, explainer_of, method
):
    holders = [*networks.state_dict().values(), *classifier.state_dict().values(), *styles, targets]
    before = [tensor.clone() for tensor in holders]
    together = explainer_of().explain(styles, targets, method, 3)
    assert all(torch.equal(old, new) for old, new in zip(before, holders, strict=True))
    for image, steps in enumerate(together):
        one = slice(image, image + 1)
        (alone,) = explainer_of(batch_size=7).explain(styles.select(one), targets[one], method, 3)
        assert [(step.style_index, step.direction) for step in alone] == [
            (step.style_index, step.direction) for step in steps
        ]
        after = [step.probability_after for step in steps]
        assert [step.probability_after for step in alone] == pytest.approx(after, abs=1e-5)


@pytest.mark.parametrize("method", Method)
def test_what_single_moves_do_is_not_measured_again_and_leads_to_the_same_steps(styles, targets, explainer_of, method):
    explainer = explainer_of()
    barred = torch.zeros_like(styles.space, dtype=torch.bool)
    barred[:, ::3] = True
    expected = explainer.explain(styles, targets, method, 3, barred)
    alone = explainer.moved_alone(styles, targets)
    assert explainer.explain(styles, targets, method, 3, barred, alone) == expected
    assert not {step.style_index for steps in expected for step in steps} & set(range(0, styles.space.shape[1], 3))
    nothing = torch.full_like(alone, -torch.inf)
    assert explainer.explain(styles, targets, method, 3, barred, nothing) == [[]] * len(targets)


@pytest.mark.parametrize("method", Method)
def test_no_coordinate_is_moved_twice_and_an_image_at_all_its_extremes_has_no_step(
    networks, styles, targets, explainer_of, method
):
    size = networks.synthesis.layout.size
    for steps in explainer_of(shift=0.05).explain(styles, targets, method, size + 10):
        moved = [step.style_index for step in steps]
        assert len(set(moved)) == len(moved) <= size
    alone = styles.select(slice(0, 1))
    assert explainer_of(latents=latents_of(alone)).explain(alone, targets[:1], method, 3) == [[]]


def test_a_step_of_subset_never_moves_away_from_the_target(networks, classifier, styles, targets, explainer_of):
    found = explainer_of(shift=0.05, precision="bfloat16").explain(styles, targets, Method.SUBSET, 30)
    assert any(len(steps) < 30 and not steps[-1].flipped for steps in found if steps), "no search ran out of moves"
    explainer = explainer_of(shift=0.05)
    for image, steps in enumerate(found):
        current = styles.space[image : image + 1]
        logits = classifier(networks.synthesis.render(styles.select(slice(image, image + 1))))
        target = targets[image : image + 1]
        for step in steps:
            index = torch.tensor([step.style_index])
            current = move(current, index, explainer.extremes[step.direction, index], 0.05)
            after = classifier(networks.synthesis.render(StyleVector(current, styles.to_rgb[image : image + 1])))
            assert margins(after, target) > margins(logits, target) - 1e-6
            logits = after


def test_only_the_search_is_in_bfloat16(networks, classifier, styles, targets, explainer_of):
    found = explainer_of(precision="bfloat16").explain(styles, targets, Method.INDEPENDENT, 3)
    for image, (target, steps) in enumerate(zip(targets.tolist(), found, strict=True)):
        assert_recorded(networks, classifier, styles, image, target, steps, alone=True)


def test_latents_of_another_network_are_refused(styles, explainer_of):
    other = latents_of(StyleVector(styles.space[:, :-1], styles.to_rgb))
    with pytest.raises(ArtifactError, match=r"the latents have \d+ styles, the network \d+; encode again"):
        explainer_of(latents=other)


def test_margin_is_positive_just_when_the_target_decides():
    logits = torch.tensor([[3.0, 1.0, 2.0], [1.0, 5.0, 4.0], [-3.0, -1.0, -2.0]])
    assert margins(logits, torch.tensor([0, 2, 0])).tolist() == [1.0, -1.0, -2.0]
    assert runners_up(logits).tolist() == [2, 2, 2]
    assert runners_up(logits[:, :2]).tolist() == [1, 0, 0], "of two classes the other one"


def test_first_images_are_spread_over_the_classes_in_the_order_of_the_analysis():
    labels = torch.tensor([1, 1, 1, 1, 0, 0, 2, 0])
    assert first_of_each_class(labels, 4).tolist() == [0, 1, 4, 6]
    assert first_of_each_class(labels, 6).tolist() == [0, 1, 2, 4, 5, 6], "small classes leave their places"
    assert first_of_each_class(labels, 100).tolist() == list(range(8))
