"""The claim that counterfactuals look like the class that they are turned into."""

from __future__ import annotations

from collections.abc import Iterable

from stylex.config.analysis import POOLED
from stylex.evaluation.intervals import images_interval
from stylex.report.claims.model import Claim, Finding, Measure, Row, Run, Source, Verdict, beyond, grouped, share
from stylex.report.provenance import anchor
from stylex.report.published import PROTOCOLS
from stylex.report.table import percent

FLIPPED, AGREED = 0.9, 0.85  # at least; the bounds are ours
FURTHEST = 4.0  # times as far from the images of the class as reconstructions of it; ours, too
NULL = "random"
SUMMARY = ("experiment", "method", "protocol", "target_class", "n_compared", "extractor", "frechet_distance")
SUMMARY += ("frechet_reconstructions", "frechet_ratio", "neither")
IMAGES = ("experiment", "method", "protocol", "id", "target_class", "draw", "flipped", "agreed")


def look_like_their_class(run: Run) -> list[Finding]:
    """Hold flips, an oracle's agreement and the distance of AttFind's counterfactuals against their bounds."""
    summary = {
        (row["experiment"], row["method"]): row
        for row in _of_main_protocol(run, run.artifact("counterfactuals", *SUMMARY))
        if row["target_class"] == POOLED
    }
    images = grouped(_of_main_protocol(run, run.artifact("counterfactual_images", *IMAGES)), "experiment", "method")
    found = []
    for (name, method), rows in images.items():
        if method != "stylex" or (name, method) not in summary:
            continue
        ours, null = summary[name, method], summary.get((name, NULL))
        sentence = f"{PROTOCOLS[run.protocol(name)].capitalize()}, {_said(run, rows, ours)}."
        if null is not None and (name, NULL) in images:
            sentence += f" As many random moves: {_said(run, images[name, NULL], null)}."
        verdict = _verdict(run, rows, ours)
        found.append(Finding(name, verdict, f"{sentence} One training.", anchor(name, "counterfactuals")))
    return found


def _of_main_protocol(run: Run, rows: Iterable[Row]) -> list[Row]:
    return [row for row in rows if row["protocol"] == run.protocol(row["experiment"])]


def _verdict(run: Run, rows: list[Row], summary: Row) -> Verdict:
    """Return what all three say together: one that contradicts decides, and supporting takes all of them."""
    ratio = summary["frechet_ratio"]
    verdicts = [beyond(*_interval(run, rows, "flipped"), FLIPPED)]
    verdicts.append(beyond(*_interval(run, rows, "agreed"), AGREED) if _asked(rows) else Verdict.UNDECIDED)
    far = Verdict.CONTRADICTS if ratio > FURTHEST else Verdict.SUPPORTS
    verdicts.append(far if ratio == ratio else Verdict.UNDECIDED)  # NaN: too few flipped images
    if Verdict.CONTRADICTS in verdicts:
        return Verdict.CONTRADICTS
    return Verdict.UNDECIDED if Verdict.UNDECIDED in verdicts else Verdict.SUPPORTS


def _asked(rows: list[Row]) -> bool:
    return all(row["agreed"] == row["agreed"] for row in rows)


def _answers(rows: list[Row], key: str) -> list[dict[str, bool]]:
    """Return, of each target class and draw, which images flip, or flip and are called the target (`agreed`)."""
    parts = grouped(rows, "target_class", "draw").values()
    return [{row["id"]: bool(row["flipped"]) and bool(row[key]) for row in part} for part in parts]


def _interval(run: Run, rows: list[Row], key: str) -> tuple[float, float]:
    return images_interval(_answers(rows, key), run.experiments[rows[0]["experiment"]].seed)


def _said(run: Run, rows: list[Row], summary: Row) -> str:
    """Say what was measured of a method."""
    n = len(rows)
    count = {key: sum(sum(part.values()) for part in _answers(rows, key)) for key in ("flipped", "agreed")}
    text = share(count["flipped"], n, "images flip", _interval(run, rows, "flipped"))
    if _asked(rows):
        agreed = share(
            count["agreed"], n, "flip and are called the target by the oracle", _interval(run, rows, "agreed")
        )
        text += f"; {agreed}, {percent(summary['neither'])} % neither class"
    else:
        text += "; no oracle was asked"
    if summary["frechet_ratio"] != summary["frechet_ratio"]:
        return f"{text}; too few flip towards some class to take a distance"
    return (
        f"{text}; Fréchet distance to the images of the target class {summary['frechet_distance']:.1f}, of as many"
        f" reconstructions {summary['frechet_reconstructions']:.1f} (features of {summary['extractor']},"
        f" n = {int(summary['n_compared'])}): {summary['frechet_ratio']:.1f} times as far"
    )


COUNTERFACTUAL_CLAIMS = (
    Claim(
        "looks-like-target",
        "Counterfactuals look like the other class",
        "The counterfactuals look like the target class.",
        (
            Source(
                "lang_2021",
                "1; 4.1, Figures 4 to 8",
                "shown for chosen images: attributes 'correspond to coherent semantic notions'; no figure is published",
            ),
        ),
        (
            Measure(
                "Flips, an oracle, and the distance",
                f"Of AttFind's top attributes, moved until the flip: the 95 % interval of the fraction that flips lies"
                f" above {100 * FLIPPED:g} %, that of the fraction of all images that flip and that an independent"
                f" classifier gives to the target class above {100 * AGREED:g} %, and their Fréchet distance to the"
                " dataset's images of that class, mean over the classes, is at most"
                f" {FURTHEST:g} times that of as many reconstructions: supports. One of the three on the other side,"
                " with its whole interval: contradicts. Otherwise, and without an oracle: does not decide. All bounds"
                " are ours. The distance has no interval. Only trainings that know the classifier count.",
                "counterfactuals.csv and counterfactual_images.csv of an experiment of the method stylex",
                look_like_their_class,
            ),
        ),
    ),
)
