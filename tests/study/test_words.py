"""Words of descriptions."""

import pytest

from stylex.study.answers import common_words, content_words, lemma


@pytest.mark.parametrize(
    ("word", "base"),
    [
        ("eyebrows", "eyebrow"), ("bodies", "body"), ("patches", "patch"), ("glasses", "glasses"), ("glass", "glass"),
        ("iris", "iris"), ("yes", "yes"), ("mustache", "mustache"), ("eyelashes", "eyelash"), ("shapes", "shape"),
    ],
)  # fmt: skip
def test_plurals_lose_their_ending_and_nothing_else_does(word, base):
    assert lemma(word) == base


def test_case_function_words_and_punctuation_are_dropped():
    assert content_words("The Eyes' colour CHANGES, and it's more of a stroke/line (2nd)!") == {
        "eye", "colour", "stroke", "line", "nd",
    }  # fmt: skip
    assert content_words("...") == set()


def test_a_word_counts_once_a_description_and_ties_are_alphabetical():
    assert common_words(["Eyes, eye", "eyes open", "mouth"], 2) == [("eye", 2), ("mouth", 1)]
