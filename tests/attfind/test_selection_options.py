"""What a search sees (one against one, filters of [N]), merged lists, ten classes, and the stage with all options."""

import pytest
import torch
import yaml

from stylex.artifacts import read_json
from stylex.attfind.records import Direction, Effects, EffectsHeader, EffectsRow, effects_writer, read_attributes
from stylex.attfind.selection import (
    allowed_moves,
    images_to_explain,
    merged,
    select,
    select_attributes,
    targets,
    unstable_images,
    without_effects,
)
from stylex.config import AttFindConfig, ExperimentPaths, load_experiment
from stylex.config.experiments import DiscriminatorFilter, UnstableFilter
from stylex.errors import ArtifactError, AttributesNotFoundError, ConfigError

TO_MIN, TO_MAX = Direction.TO_MIN, Direction.TO_MAX
DIGITS = tuple("0123456789")


def effects_of(effect, decisions, class_names, change=None):
    """Effects [N, 2, K, classes] on reconstructions classified as `decisions`, by a margin of 1."""
    size = effect.shape[2]
    zeros, ones = [0.0] * size, [1.0] * size
    header = EffectsHeader(tuple(class_names), 1.0, "float32", zeros, ones, [0] * size, list(range(size)), {})
    base = torch.nn.functional.one_hot(torch.as_tensor(decisions), len(class_names)).float()
    return Effects([f"image-{row}" for row in range(len(effect))], base, effect, header, change)


def indices(selection):
    return [(a.style_index, a.direction) for a in selection.attributes]


# --- one against one


def three_classes():
    """Images 0 (an a), 1 and 2 (c's); s0 raises b and c alike, s1 raises b and lowers c, s2 is for a's only."""
    effect = torch.zeros(3, 2, 3, 3)
    effect[:, TO_MAX, 0] = torch.tensor([0.0, 5.0, 5.0])
    effect[1:, TO_MIN, 1] = torch.tensor([0.0, 1.0, -2.0])
    effect[0, TO_MAX, 2] = torch.tensor([0.0, 90.0, 0.0])
    return effects_of(effect, [0, 2, 2], "abc")


def test_against_one_class_takes_its_images_and_the_difference_of_the_logits():
    selection = select_attributes(three_classes(), 1, 10.0, 10, against="c")
    assert indices(selection) == [(1, TO_MIN)] and selection.images == 2
    assert selection.attributes[0].mean_effect == pytest.approx(3.0)
    against_all = select_attributes(three_classes(), 1, 100.0, 10)
    assert indices(against_all) == [(2, TO_MAX), (0, TO_MAX), (1, TO_MIN)] and against_all.images == 3


def test_against_the_other_of_two_classes_is_another_question():
    effect = torch.zeros(2, 2, 2, 2)
    effect[:, TO_MAX, 0] = torch.tensor([0.0, 1.0])
    effect[:, TO_MIN, 1] = torch.tensor([-4.0, 0.0])  # does not raise b, lowers a
    effects = effects_of(effect, [0, 0], "ab")
    assert indices(select_attributes(effects, 1, 10.0, 10)) == [(0, TO_MAX)]
    assert indices(select_attributes(effects, 1, 10.0, 10, against="a")) == [(1, TO_MIN), (0, TO_MAX)]


def test_the_class_compared_with_is_no_target():
    assert targets(three_classes(), None) == [0, 1, 2]
    assert targets(three_classes(), "b") == [0, 2]


def test_an_unknown_class_is_one_line_with_the_known_ones():
    with pytest.raises(ConfigError) as caught:
        targets(three_classes(), "d")
    assert str(caught.value) == "attfind.against: unknown class 'd'; choose one of a, b, c, or leave it out"


def test_no_image_of_the_class_compared_with():
    with pytest.raises(AttributesNotFoundError, match="no reconstruction is classified as 'b', .* turned into 'a'"):
        images_to_explain(three_classes(), 0, "b")


# --- filters, as in [N]


def strict(change=0.2, effect=0.5, images=2):
    return DiscriminatorFilter(change=change, effect=effect, images=images)


def filtered(change, options):
    """Search the class b on images 0 to 3; image 4 is a b. Both coordinates raise it, s0 by 2 and s1 by 1."""
    effect = torch.zeros(5, 2, 2, 2)
    effect[:, TO_MAX, 0, 1], effect[:, TO_MIN, 1, 1] = 2.0, 1.0
    effect[0, TO_MAX, 0, 1] = 0.5
    effects = effects_of(effect, [0, 0, 0, 0, 1], "ab", change)
    return indices(select_attributes(effects, 1, 99.0, 10, algorithm="notebook", discriminator_filter=options))


def test_discriminator_filter_drops_a_coordinate_for_one_of_the_first_images_that_it_raises():
    both, second = [(0, TO_MAX), (1, TO_MIN)], [(1, TO_MIN)]
    change = torch.zeros(5, 2, 2)
    change[2, TO_MAX, 0] = 0.5  # 0.125 on average, which the mean over all images would let pass
    assert filtered(change, strict()) == second  # images 1 and 2: image 0 is not raised by more than 0.5
    assert filtered(change, strict(images=1)) == both
    assert filtered(change, strict(effect=0.4)) == both, "now images 0 and 1 are the first ones raised"
    assert filtered(change, strict(change=0.5)) == both, "as much as the filter allows"
    assert filtered(change, None) == both
    change[4, TO_MIN, 1] = 99.0  # an image that is a b already
    assert filtered(change, strict()) == second


def test_discriminator_filter_looks_at_no_image_that_the_move_does_not_raise():
    change = torch.zeros(5, 2, 2)
    change[:, TO_MIN, 0] = 99.0  # by the mean of its changes this move was dropped; it raises no image
    assert filtered(change, strict()) == [(0, TO_MAX), (1, TO_MIN)]


def test_discriminator_filter_drops_both_directions_of_a_coordinate():
    effect, change = torch.zeros(2, 2, 2, 2), torch.zeros(2, 2, 2)
    effect[:, TO_MAX, 0, 1], effect[:, TO_MIN, 0, 1], effect[:, TO_MAX, 1, 1] = 2.0, 1.0, 0.6
    change[1, TO_MIN, 0] = 0.3
    effects = effects_of(effect, [0, 0], "ab", change)
    allowed = allowed_moves(effects, torch.tensor([0, 1]), effect[..., 1], strict())
    assert allowed.tolist() == [[False, True], [False, True]]


def test_nothing_that_the_discriminator_filter_leaves():
    with pytest.raises(AttributesNotFoundError, match="raise attfind.discriminator_filter.change"):
        filtered(torch.ones(5, 2, 2), strict())


def test_discriminator_filter_needs_its_measurement():
    with pytest.raises(ArtifactError, match="attfind.discriminator_filter needs; .* run `stylex effects` again"):
        filtered(None, strict())


def test_unstable_are_the_images_that_many_moves_change_either_way_and_on_any_class():
    effect = torch.zeros(3, 2, 4, 2)
    effect[0, TO_MIN, :2, 0] = 3.0
    effect[0, TO_MAX, 3] = -3.0  # of both classes: four large effects in all
    effect[1, TO_MIN, :, 1] = 2.0  # as large as the limit
    effect[2, TO_MAX, :3, 1] = 2.5
    effects = effects_of(effect, [0, 0, 0], "ab")
    for count, expected in ((2, [True, False, True]), (3, [True, False, False]), (4, [False, False, False])):
        assert unstable_images(effects, UnstableFilter(effect=2.0, count=count)).tolist() == expected, count
    assert unstable_images(effects, UnstableFilter(effect=1.9, count=3)).tolist() == [True, True, False]


def test_an_unstable_image_has_no_effects_and_stays_among_those_averaged_over():
    effect = torch.zeros(2, 2, 2, 2)
    effect[0, TO_MAX, 0, 1] = 50.0
    effect[1, TO_MAX, 1, 1] = 3.0
    effects = effects_of(effect, [0, 0], "ab")
    calm = without_effects(effects, torch.tensor([True, False]))
    assert indices(select_attributes(effects, 1, 9.0, 10)) == [(0, TO_MAX), (1, TO_MAX)]
    selection = select_attributes(calm, 1, 2.0, 10)
    assert indices(selection) == [(1, TO_MAX)] and selection.images == 2
    assert selection.attributes[0].mean_effect == 1.5
    assert effects.effect[0].any(), "the effects themselves are as they were"
    with pytest.raises(AttributesNotFoundError, match="all 2 images are unstable; raise attfind.unstable"):
        without_effects(effects, torch.ones(2, dtype=torch.bool))


# --- the merged lists of two classes


def two_sided():
    """Images 0 and 1 are b's, 2 and 3 a's. Towards a: s0 to_max, s1 to_min. Towards b: s1 to_max, s2 to_max."""
    effect = torch.zeros(4, 2, 3, 2)
    effect[:2, TO_MAX, 0, 0] = 4.0
    effect[:2, TO_MIN, 1, 0] = 2.0
    effect[2:, TO_MAX, 1, 1] = 5.0
    effect[2:, TO_MAX, 2, 1] = 3.0
    effect[:, TO_MIN, 2, 0] = -1.0
    return effects_of(effect, [1, 1, 0, 0], "ab")


def options(**changed):
    values = {"images": 4, "shift": 1, "max_attributes": 10, "threshold": 5.5, "batch_size": 1, "algorithm": "notebook"}
    return AttFindConfig(**(values | changed))


def lists(effects, config):
    found = []
    for target in (0, 1):
        limits = config.threshold, config.max_attributes
        found += select_attributes(effects, target, *limits, algorithm=config.algorithm).attributes
    return found


def test_merged_by_the_two_sided_score():
    # Scores, means over all four images: s1 2/2 + 5/2 = 3.5, s0 4/2 = 2, s2 -1 + 3/2 = 0.5.
    rows = merged(two_sided(), lists(two_sided(), options()), options())
    found = [(a.target_class, a.rank, a.style_index, a.direction, a.images_explained) for a in rows]
    assert found == [
        ("a", 1, 1, TO_MIN, 0), ("a", 2, 0, TO_MAX, 2), ("a", 3, 2, TO_MIN, 0),  # sums 2, 6, 6
        ("b", 1, 1, TO_MAX, 0), ("b", 2, 0, TO_MIN, 0), ("b", 3, 2, TO_MAX, 2),  # sums 5, 5, 8
    ]  # fmt: skip
    assert [a.mean_effect for a in rows] == pytest.approx([1.0, 2.0, -1.0, 2.5, 0.0, 1.5])


def test_merged_keeps_the_limit():
    few = options(max_attributes=2)
    rows = merged(two_sided(), lists(two_sided(), few), few)
    assert [(a.target_class, a.style_index) for a in rows] == [("a", 1), ("a", 0), ("b", 1), ("b", 0)]


def test_merged_where_a_coordinate_raises_the_first_class_both_ways():
    # s0 is in the list of a both ways, so both are ranked; the b's s0 is left out, as a knows the coordinate.
    effect = torch.zeros(2, 2, 2, 2)
    effect[0, TO_MAX, 0, 0], effect[0, TO_MIN, 0, 0] = 4.0, 1.0
    effect[1, TO_MAX, 0, 1], effect[1, TO_MAX, 1, 1] = 8.0, 2.0
    effects = effects_of(effect, [1, 0], "ab")
    assert [a.style_index for a in lists(effects, options()) if a.target_class == "b"] == [0]
    wide = options(threshold=99.0)
    rows = merged(effects, lists(effects, wide), wide)
    # Scores: s0 to_min (1 + 8)/2, s0 to_max (4 + 0)/2, s1 to_min (0 + 2)/2.
    assert [(a.target_class, a.style_index, a.direction) for a in rows] == [
        ("a", 0, TO_MIN), ("a", 0, TO_MAX), ("a", 1, TO_MIN), ("b", 0, TO_MAX), ("b", 0, TO_MIN), ("b", 1, TO_MAX),
    ]  # fmt: skip


# --- the stage, and many classes


def ten_classes():
    """100 images, ten of each class; in each, coordinate 10 i + c raises class c, the less the larger i is."""
    generator = torch.Generator().manual_seed(0)
    effect = 0.02 * torch.randn(100, 2, 50, 10, generator=generator)
    for label in range(10):
        for number in range(3):
            effect[:, TO_MAX, 10 * number + label, label] += 3.0 - number
            effect[:, TO_MIN, 10 * number + label, label] -= (3.0 - number) / 2
    change = torch.zeros(100, 2, 50)
    change[:, :, :10] = 1.0  # the strongest of each class changes D too
    return effects_of(effect, torch.arange(100) % 10, DIGITS, change)


def configured(root, **attfind):
    path = root / "config" / "experiments" / "mnist.yaml"
    content = yaml.safe_load(path.read_text())
    content["dataset"].pop("classes", None)
    content["attfind"] = {"threshold": 50.0, "max_attributes": 10} | attfind
    content["evaluation"] = {"sufficiency_k": [1]}
    path.write_text(yaml.safe_dump(content))
    return ExperimentPaths(root, "mnist")


def stage(root, effects, **attfind):
    """Run the stage on these effects."""
    paths = configured(root, **attfind)
    with effects_writer(paths.effects(), effects.header, effects.discriminator_change is not None) as writer:
        for row, identity in enumerate(effects.ids):
            change = None if effects.discriminator_change is None else effects.discriminator_change[row]
            writer.add(identity, EffectsRow(effects.base_logits[row], effects.effect[row], change))
    select(root, "mnist")
    return read_attributes(paths.attributes), read_json(paths.attributes.with_suffix(".provenance.json"))


@pytest.mark.parametrize("algorithm", ["paper", "notebook", "image_fraction"])
@pytest.mark.parametrize("against", [None, "4"])
def test_ten_classes_with_every_option(root, algorithm, against):
    effects = ten_classes()
    effects.effect[:10] *= 1.5  # ten images on which s0 to s9 change the class by 4.5
    filters = {"unstable_filter": {"effect": 4.0, "count": 0}}
    filters |= {"discriminator_filter": {"change": 0.5, "effect": 0.5, "images": 10}}
    found, origin = stage(root, effects, algorithm=algorithm, against=against, threshold=0.5, **filters)
    assert set(found) == set(DIGITS) - {against}
    images = 10 if against == "4" else 90
    for label, name in enumerate(DIGITS):
        if name != against:
            # The strongest coordinate changes D; the next raises all images but the unstable ones by 2.
            first = found[name][0]
            assert (first.style_index, first.direction) == (10 + label, TO_MAX)
            assert first.images_explained == images - (1 if against == "4" else 9)
            assert origin[f"search {name}"].startswith(f"{len(found[name])} attributes of {images} images: ")
    asked = {"algorithm": algorithm, "against": against or "*", "threshold": "0.5", "max_attributes": "10"}
    asked |= {"discriminator_filter": "change=0.5 effect=0.5 images=10", "unstable_filter": "effect=4.0 count=0"}
    assert {key: origin[key] for key in asked} == asked
    assert origin["unstable images"] == "10 of 100"
    assert (origin["min_images_fraction"], origin["engine"], origin["shift"]) == ("0.03", "exhaustive", "1.0")


def test_ten_classes_without_options(root):
    found, origin = stage(root, ten_classes())
    for label, name in enumerate(DIGITS):
        assert [a.style_index for a in found[name][:3]] == [label, 10 + label, 20 + label]
    assert origin["unstable_filter"] == origin["discriminator_filter"] == "None"
    assert (origin["algorithm"], origin["against"]) == ("paper", "*")
    assert "unstable images" not in origin and "merged" not in origin


def test_two_hundred_classes():
    effect = torch.full((400, 2, 200, 200), -1.0, dtype=torch.float16)
    every = torch.arange(200)
    effect[:, TO_MAX, every, every] = 3.0
    effects = effects_of(effect, torch.arange(400) % 200, [f"class-{label:03d}" for label in range(200)])
    for target in (0, 99, 199):
        selection = select_attributes(effects, target, 2.0, 10)
        assert indices(selection) == [(target, TO_MAX)] and selection.images == 398
        alone = select_attributes(effects, target, 3.5, 10, against="class-007")
        assert indices(alone)[0] == (target, TO_MAX) and alone.images == 2


def test_merged_lists_of_the_stage(root):
    two = two_sided()
    effects = effects_of(two.effect, [1, 1, 0, 0], ("3", "5"))
    found, origin = stage(root, effects, algorithm="notebook", threshold=5.5)
    assert [a.style_index for a in found["3"]] == [a.style_index for a in found["5"]] == [1, 0, 2]
    assert origin["merged"].startswith("the lists of both classes")
    found, origin = stage(root, effects, algorithm="notebook", threshold=5.5, against="5")
    assert set(found) == {"3"} and "merged" not in origin


def test_sharded_effects_are_selected_from_as_one(root):
    effects = ten_classes()
    expected, _ = stage(root, effects)
    paths = configured(root, shards=2)
    for shard, rows in enumerate((range(37), range(37, 100))):
        with effects_writer(paths.effects(shard), effects.header) as writer:
            for row in rows:
                writer.add(effects.ids[row], EffectsRow(effects.base_logits[row], effects.effect[row]))
    select(root, "mnist")
    assert read_attributes(paths.attributes) == expected


@pytest.mark.parametrize("against", ["11", "eleven"])
def test_the_stage_refuses_an_unknown_class(root, against):
    with pytest.raises(ConfigError, match=f"attfind.against: unknown class '{against}'; choose one of 0, 1"):
        stage(root, ten_classes(), against=against)


def test_ten_garments_are_an_experiment(root):
    config = load_experiment(root, "fashion-mnist-10")
    assert config.dataset.classes is None and config.dataset.one_vs_rest is None
    assert config.attfind.algorithm == "paper" and config.attfind.against is None
