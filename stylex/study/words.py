"""The most common words of descriptions, the second part of the study ([L] 4.2.2).

Kept simple, and English only: words are lower-cased; function words and words for a change as such ("becomes", "more")
are dropped; plurals lose their ending by three rules of spelling. Spelling mistakes, synonyms (colour, color) and verb
forms stay what they are.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable

WORD = re.compile(r"[^\W\d_]+(?:['’][^\W\d_]+)?")
FUNCTION_WORDS = (
    "a about add added adds all also am an and any appear appears are as at be became become becomes been "
    "being but by can change changed changes changing did different do does doing don't down during each "
    "for from get gets getting go goes going had has have having he her here his how i i'm if in into is "
    "it it's its just less make makes many me more most my no not of off on one only or other our out "
    "over same see seem seems she slightly so some such than that the their them then there these they "
    "this those to too up very was we were what when where which while who with you your "
)
STOP_WORDS = frozenset(FUNCTION_WORDS.split())
KEPT = ("ss", "us", "is")  # glass, iris: no plural
ONLY_PLURAL = frozenset({"glasses", "eyeglasses", "sunglasses", "clothes"})


def words(text: str) -> set[str]:
    """Return the different words of a description, without function words, in their base form."""
    found = (word.lower().replace("’", "'").removesuffix("'s") for word in WORD.findall(text))
    return {lemma(word) for word in found if word not in STOP_WORDS}


def lemma(word: str) -> str:
    """Return the singular of a regular plural; any other word as it is."""
    if len(word) < 4 or not word.endswith("s") or word.endswith(KEPT) or word in ONLY_PLURAL:
        return word
    if word.endswith("ies"):
        return word[:-3] + "y"
    if word.endswith(("sses", "shes", "ches", "xes")):
        return word[:-2]
    return word[:-1]


def common_words(descriptions: Iterable[str], count: int) -> list[tuple[str, int]]:
    """Return the `count` most common words and in how many descriptions each stands; ties in alphabetical order."""
    counter = Counter(word for text in descriptions for word in words(text))
    return sorted(counter.items(), key=lambda item: (-item[1], item[0]))[:count]
