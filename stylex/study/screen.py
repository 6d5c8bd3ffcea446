"""What `stylex study` prints."""

from __future__ import annotations

import pandas

from stylex.study.answers import ALL


def describe_people(people: pandas.DataFrame) -> list[str]:
    """Return lines for people.csv."""
    lines = []
    for row in people.to_dict("records"):
        counts = f"{row['correct']} of {row['n']} right, 95 % interval {row['low']:.4f} to {row['high']:.4f}"
        if row["question"] != ALL:
            lines.append(f"  {row['method']} {row['question']}: {row['accuracy']:.4f} ({counts})")
            continue
        lines.append(
            f"{row['method']}, {row['participants']:.0f} participants, {row['questions']:.0f} questions:"
            f" mean {row['accuracy']:.4f}, population sd {row['population_sd']:.4f}, sample sd {row['sample_sd']:.4f}"
            f" ({counts}), agreement (Fleiss' kappa) {row['kappa']:.4f}"
        )
    return lines


def describe_words(words: pandas.DataFrame) -> list[str]:
    """Return lines for words.csv."""
    found: dict[str, list[str]] = {}
    for row in words.to_dict("records"):
        text = f"{row['word']} ({row['people']} of {row['n']})"
        found.setdefault(f"  {row['method']} {row['question']}: ", []).append(text)
    return [name + ", ".join(texts) for name, texts in found.items()]


def describe_published(frame: pandas.DataFrame) -> list[str]:
    """Return lines for results/published/user_study.csv."""
    return [
        f"{row['source']}, {row['domain']}, {row['method']} ({row['participants']} participants, {row['questions']}"
        f" questions): printed {row['published']} ± {row['published_spread']}; answers {row['mean']:.4f},"
        f" population sd {row['population_sd']:.4f}, sample sd {row['sample_sd']:.4f}: {row['finding']}"
        for row in frame.to_dict("records")
    ]
