"""Statistics of answers to the first part of the study ([L] 4.2.2): accuracy, both sds, intervals, agreement.

Answers are a table with a row an answer: `participant`, `question`, `answer`, `correct_answer`.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import nan

import numpy
import pandas
from numpy.typing import ArrayLike
from scipy.stats import binomtest

from stylex.evaluation.intervals import bootstrap


@dataclass(frozen=True)
class Summary:
    """What a table prints of one study. Means and sds are over questions, of the fraction of correct answers."""

    questions: int
    participants: int
    mean: float
    population_sd: float  # divides by the number of questions
    sample_sd: float  # divides by one less; nan for one question
    low: float  # 95 % interval of the mean, questions drawn anew; nan for one question
    high: float
    kappa: float


def clopper_pearson(correct: int, n: int) -> tuple[float, float]:
    """Return (low, high) of the exact two-sided 95 % binomial interval (Clopper and Pearson 1934); (0, 1) if n = 0."""
    if n == 0:
        return 0.0, 1.0
    interval = binomtest(correct, n).proportion_ci(confidence_level=0.95, method="exact")
    return float(interval.low), float(interval.high)


def accuracy_by_question(answers: pandas.DataFrame) -> pandas.DataFrame:
    """Return a row a question, in their order: question, n, correct, accuracy, low, high."""
    right = answers["answer"] == answers["correct_answer"]
    counts = right.groupby(answers["question"], sort=False).agg(n="size", correct="sum").reset_index()
    low, high = zip(*map(clopper_pearson, counts["correct"], counts["n"]), strict=True)
    return counts.assign(accuracy=counts["correct"] / counts["n"], low=low, high=high)


def interval_over_questions(accuracies: ArrayLike, seed: int) -> tuple[float, float]:
    """Return (low, high), the 95 % interval of the mean accuracy; nan for one question.

    The unit is the question, which stands for an attribute: it is drawn anew with all of its answers, for they are not
    independent of each other. One attribute says nothing about others.
    """
    values = numpy.asarray(accuracies, dtype=float)
    return bootstrap(values, seed) if len(values) > 1 else (nan, nan)


def summarise(answers: pandas.DataFrame, seed: int) -> Summary:
    """Summarise the answers to all questions; at least one answer is needed. seed: of the resampling."""
    accuracy = accuracy_by_question(answers)
    mean, population_sd, sample_sd = mean_and_sds(accuracy["accuracy"])
    low, high = interval_over_questions(accuracy["accuracy"], seed)
    participants = len(set(answers["participant"]))
    counts = answers.groupby(["question", "answer"]).size().unstack(fill_value=0).to_numpy()
    kappa = fleiss_kappa(counts)
    return Summary(len(accuracy), participants, mean, population_sd, sample_sd, low, high, kappa)


def mean_and_sds(values: ArrayLike) -> tuple[float, float, float]:
    """Return mean, population sd and sample sd (nan for a single value)."""
    array = numpy.asarray(values, dtype=float)
    return float(array.mean()), float(array.std()), float(array.std(ddof=1)) if len(array) > 1 else nan


def fleiss_kappa(counts: ArrayLike) -> float:
    """Return the agreement of the raters (Fleiss 1971): 1 full, 0 as by chance; counts [questions, categories].

    A question counts with the raters who answered it, and not at all with fewer than two. nan where chance agreement
    is full: everybody gave one and the same answer to everything.
    """
    table = numpy.asarray(counts, dtype=float)
    table = table[table.sum(axis=1) >= 2]
    if not len(table):
        return nan
    raters = table.sum(axis=1)
    observed = ((table * (table - 1)).sum(axis=1) / (raters * (raters - 1))).mean()
    chance = float(((table.sum(axis=0) / table.sum()) ** 2).sum())
    return float((observed - chance) / (1 - chance)) if chance < 1 else nan
