"""Explanations of single images against loops that render one image at a time."""

import itertools
from pathlib import Path

import pytest
import torch
from paper_training import as_papers

from stylex.attfind.explanations import Explainer, first_of_each_class, margins, runners_up
from stylex.attfind.records import Direction, Method
from stylex.config import load_experiment
from stylex.errors import ArtifactError
from stylex.networks.model import build_networks
from stylex.networks.stylespace import StyleVector, move
from tests.builders import latents_of, random_classifier

SHIFT, IMAGES, CLASSES = 2.0, 5, 3
REPOSITORY = Path(__file__).parents[2]


class Case:
    """Small random networks, the styles of some images, and a class to turn each of them into."""

    def __init__(self):
        config = load_experiment(REPOSITORY, "mnist")
        channels = {f"{kind}_channels": [4, 4, 3] for kind in ("generator", "encoder", "discriminator")}
        stylex = as_papers(config.stylex)
        sizes = stylex.networks.model_copy(update={"latent_dim": 6, **channels})
        small = stylex.model_copy(update={"networks": sizes})
        self.options, random = config.attfind, torch.Generator().manual_seed(2)
        self.networks = build_networks(small, 16, 1, CLASSES, seed=0).eval().requires_grad_(False)
        self.size = self.networks.synthesis.layout.size
        self.styles = self.networks.synthesis.styles(torch.randn(IMAGES, 6 + CLASSES, generator=random))
        self.classifier = random_classifier("abc", 16)
        # undecided on average, so that moves of styles can turn it
        self.classifier.network.head.bias -= self.answer(self.styles).mean(0)
        self.targets = runners_up(self.answer(self.styles))

    def answer(self, styles):
        return self.classifier(self.networks.synthesis.render(styles))

    def explainer(self, styles=None, **options):
        latents = latents_with(self.styles if styles is None else styles)
        common = {"batch_size": 16, "precision": "float32", "shift": SHIFT}
        given = self.options.model_copy(update=common | options)
        return Explainer(self.networks, self.classifier, latents.extremes, given, "cpu")

    def explain(self, method, count, **options):
        """Return the target of each image and its steps."""
        found = self.explainer(**options).explain(self.styles, self.targets, method, count)
        return list(zip(self.targets.tolist(), found, strict=True))

    def plain_logits(self, image, moves):
        """The classifier's answer to one image with (index, direction) moved, one image at a time."""
        space = self.styles.space[image : image + 1]
        for index, direction in moves:
            extreme = self.styles.space.amin(0) if direction == Direction.TO_MIN else self.styles.space.amax(0)
            space = move(space, torch.tensor([index]), extreme[[index]], SHIFT)
        return self.answer(StyleVector(space, self.styles.to_rgb[image : image + 1]))[0]

    def assert_recorded(self, image, target, steps, alone=False):
        """A step records the classifier's answer to a full rendering of all moves so far, or of this one alone."""
        moves, before = [], self.plain_logits(image, [])
        for number, step in enumerate(steps, start=1):
            moves = [*([] if alone else moves), (step.style_index, step.direction)]
            after = self.plain_logits(image, moves)
            assert step.step == number
            assert step.probability_before == pytest.approx(float(before.softmax(0)[target]), abs=1e-5)
            assert step.probability_after == pytest.approx(float(after.softmax(0)[target]), abs=1e-5)
            assert step.flipped == (int(after.argmax()) == target)
            assert self.networks.synthesis.layout.locate(step.style_index) == (step.layer, step.channel)
            before = before if alone else after


@pytest.fixture(scope="module")
def case():
    return Case()


def latents_with(styles):
    columns = {"styles": styles.space, "to_rgb_styles": styles.to_rgb, "class_names": ("a", "b", "c")}
    return latents_of(len(styles.space), **columns)


def margin(logits, target):
    others = [value for label, value in enumerate(logits.tolist()) if label != target]
    return float(logits[target]) - max(others)


def moves_of(steps):
    return [(step.style_index, step.direction) for step in steps]


def test_independent_moves_each_of_the_largest_effects_of_this_image_alone(case):
    for image, (target, steps) in enumerate(case.explain(Method.INDEPENDENT, 4)):
        every = itertools.product(range(case.size), Direction)
        effect = {each: margin(case.plain_logits(image, [each]), target) for each in every}
        best = [max(Direction, key=lambda to, index=index: effect[index, to]) for index in range(case.size)]
        order = sorted(range(case.size), key=lambda index: -effect[index, best[index]])[:4]
        assert moves_of(steps) == [(index, best[index]) for index in order]
        case.assert_recorded(image, target, steps, alone=True)


def test_subset_is_greedy_given_what_is_moved_and_stops_at_the_flip(case):
    explained = case.explain(Method.SUBSET, 4)
    for image, (target, steps) in enumerate(explained):
        moves = []
        for step in steps:
            free = set(range(case.size)) - {index for index, _ in moves}
            candidates = list(itertools.product(sorted(free), Direction))
            values = [margin(case.plain_logits(image, [*moves, candidate]), target) for candidate in candidates]
            moves.append(candidates[values.index(max(values))])
            assert (step.style_index, step.direction) == moves[-1]
        case.assert_recorded(image, target, steps)
        assert not any(step.flipped for step in steps[:-1]), "nothing is moved after the flip"
        assert steps[-1].flipped or len(steps) == 4
    assert any(steps[-1].flipped for _, steps in explained), "the oracle must see a flip"
    assert any(len(steps) > 1 for _, steps in explained)


@pytest.mark.parametrize("method", Method)
def test_an_image_is_explained_as_it_is_alone_and_nothing_is_changed(case, method):
    holders = [*case.networks.state_dict().values(), *case.classifier.state_dict().values(), *case.styles, case.targets]
    before = [tensor.clone() for tensor in holders]
    together = case.explain(method, 3)
    assert all(torch.equal(old, new) for old, new in zip(before, holders, strict=True))
    for image, (_, steps) in enumerate(together):
        one = slice(image, image + 1)
        (alone,) = case.explainer(batch_size=7).explain(case.styles.select(one), case.targets[one], method, 3)
        assert moves_of(alone) == moves_of(steps)
        after = [step.probability_after for step in steps]
        assert [step.probability_after for step in alone] == pytest.approx(after, abs=1e-5)


@pytest.mark.parametrize("method", Method)
def test_what_single_moves_do_is_not_measured_again_and_leads_to_the_same_steps(case, method):
    explainer, styles, targets = case.explainer(), case.styles, case.targets
    barred = torch.zeros_like(styles.space, dtype=torch.bool)
    barred[:, ::3] = True
    expected = explainer.explain(styles, targets, method, 3, barred)
    alone = explainer.moved_alone(styles, targets)
    assert explainer.explain(styles, targets, method, 3, barred, alone) == expected
    assert not {step.style_index for steps in expected for step in steps} & set(range(0, styles.space.shape[1], 3))
    nothing = torch.full_like(alone, -torch.inf)
    assert explainer.explain(styles, targets, method, 3, barred, nothing) == [[]] * len(targets)


@pytest.mark.parametrize("method", Method)
def test_no_coordinate_is_moved_twice_and_an_image_at_all_its_extremes_has_no_step(case, method):
    for _, steps in case.explain(method, case.size + 10, shift=0.05):
        moved = [step.style_index for step in steps]
        assert len(set(moved)) == len(moved) <= case.size
    alone = case.styles.select(slice(0, 1))
    assert case.explainer(alone).explain(alone, case.targets[:1], method, 3) == [[]]


def test_a_step_of_subset_never_moves_away_from_the_target(case):
    explained = case.explain(Method.SUBSET, 30, shift=0.05, precision="bfloat16")
    ended = [steps for _, steps in explained if steps]
    assert any(len(steps) < 30 and not steps[-1].flipped for steps in ended), "no search ran out of moves"
    extremes = case.explainer(shift=0.05).extremes
    for image, (_, steps) in enumerate(explained):
        one = slice(image, image + 1)
        current, target = case.styles.select(one), case.targets[one]
        logits = case.answer(current)
        for step in steps:
            index = torch.tensor([step.style_index])
            space = move(current.space, index, extremes[step.direction, index], 0.05)
            current = StyleVector(space, current.to_rgb)
            after = case.answer(current)
            assert margins(after, target) > margins(logits, target) - 1e-6
            logits = after


def test_only_the_search_is_in_bfloat16(case):
    for image, (target, steps) in enumerate(case.explain(Method.INDEPENDENT, 3, precision="bfloat16")):
        case.assert_recorded(image, target, steps, alone=True)


def test_latents_of_another_network_are_refused(case):
    other = StyleVector(case.styles.space[:, :-1], case.styles.to_rgb)
    with pytest.raises(ArtifactError, match=r"the latents have \d+ styles, the network \d+; encode again"):
        case.explainer(other)


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
