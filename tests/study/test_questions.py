"""The design of the questions: what [L] 4.2.2 asks for, and nothing that gives an answer away."""

from collections import Counter

import numpy

from stylex.attfind.records import read_attributes
from stylex.config import ExperimentPaths
from stylex.figures.attributes import top_attributes
from stylex.latents.table import read_latents
from stylex.study.questionnaire import design, draw_moves, move_on, pool


def material(root, count=4):
    paths = ExperimentPaths(root, "mnist")
    return top_attributes(read_attributes(paths.attributes), count), read_latents(paths.latents)


def test_two_examples_and_one_right_candidate_on_four_images(asked):
    attributes, latents = material(asked)
    questions = [one for one in design({"stylex": attributes}, latents, 0) if one.part == 1]
    assert sorted(one.number for one in questions) == [1, 2, 3, 4]
    assert sorted(one.other for one in questions) == [1, 2, 3, 4]
    for one in questions:
        right, wrong = attributes[one.number - 1], attributes[one.other - 1]
        assert right != wrong
        shown = [move.attribute for move in one.moves]
        assert shown == [right, right, *((right, wrong) if one.correct == "A" else (wrong, right))]
        assert len({move.row for move in one.moves}) == 4


def test_part_two_moves_one_attribute_on_four_images(asked):
    attributes, latents = material(asked)
    questions = [one for one in design({"stylex": attributes}, latents, 0) if one.part == 2]
    assert sorted(one.number for one in questions) == [1, 2, 3, 4]
    for one in questions:
        assert {move.attribute for move in one.moves} == {attributes[one.number - 1]} and one.correct == ""
        assert len({move.row for move in one.moves}) == 4


def test_the_seed_decides_and_sides_and_order_vary(asked):
    attributes, latents = material(asked)
    lists = {"stylex": attributes}
    assert design(lists, latents, 3) == design(lists, latents, 3)
    many = [one for seed in range(50) for one in design(lists, latents, seed) if one.part == 1]
    sides = Counter(one.correct for one in many)
    assert 70 < sides["A"] < 130  # of 200; 4 sds of a fair coin are 28
    assert {one.number for one in many if one.name == "1-01"} == {1, 2, 3, 4}


def test_each_method_is_asked_about_its_own_attributes(asked):
    attributes, latents = material(asked)
    questions = design({"stylex": attributes[:2], "wu_2021": attributes[2:]}, latents, 0)
    assert Counter((one.method, one.part) for one in questions) == {
        ("stylex", 1): 2, ("stylex", 2): 2, ("wu_2021", 1): 2, ("wu_2021", 2): 2,
    }  # fmt: skip
    for one in questions:
        mine = attributes[:2] if one.method == "stylex" else attributes[2:]
        assert {move.attribute for move in one.moves} <= set(mine)


def test_a_single_attribute_is_described_but_not_compared(asked):
    attributes, latents = material(asked)
    assert [one.name for one in design({"stylex": attributes[:1]}, latents, 0)] == ["2-01"]


def test_the_class_of_an_image_never_gives_the_answer_away(asked):
    attributes, latents = material(asked)
    assert {each.target_class for each in attributes} == {"3", "5"}
    decided = latents.reconstruction_logits.argmax(1).tolist()
    for seed in range(20):
        for one in design({"stylex": attributes}, latents, seed):
            target = latents.class_names.index(attributes[one.number - 1].target_class)
            assert {decided[move.row] for move in one.moves} == {1 - target}


def test_an_image_that_has_the_class_already_moves_the_opposite_way(asked):
    (attribute, *_), latents = material(asked)
    target = latents.class_names.index(attribute.target_class)
    for row, decided in enumerate(latents.reconstruction_logits.argmax(1).tolist()):
        move = move_on(attribute, row, latents)
        assert (move.direction == attribute.direction) is (decided != target)
        bounds = (latents.minima, latents.maxima)[move.direction]
        assert move.extreme(latents) == bounds[attribute.style_index]


def test_images_move_far(asked):
    (attribute, *_), latents = material(asked)
    rows = pool(attribute, latents)
    extreme = (latents.minima, latents.maxima)[attribute.direction][attribute.style_index]
    travel = (latents.styles[rows, attribute.style_index] - extreme).abs()
    half = {rows[place] for place in travel.argsort(descending=True)[:6].tolist()}
    random = numpy.random.default_rng(0)
    drawn = {move.row for _ in range(40) for move in draw_moves(attribute, 4, rows, latents, random)}
    assert drawn == half


def test_too_few_images_come_twice(asked):
    (attribute, *_), latents = material(asked)
    drawn = draw_moves(attribute, 4, [2], latents, numpy.random.default_rng(0))
    assert [move.row for move in drawn] == [2, 2, 2, 2]
