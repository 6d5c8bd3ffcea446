"""The claims of the three papers (claims.yaml) with what this run says for and against each: verdicts are computed."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any

import pandas
import yaml

from stylex.config.base import KID_FOLDS
from stylex.report import comparisons, evidence, factors
from stylex.report.published import SOURCES
from stylex.report.rules import LEVEL, OPPOSITE, RULES, Finding, Verdict, over_trainings
from stylex.report.run import Run

UNTESTED, MIXED = "not tested by this run", "mixed"


@dataclass(frozen=True)
class Measure:
    """One way to test a claim: whose numbers (evidence) are judged how (rule), and both as a reader sees them."""

    name: str
    evidence: Mapping[str, Any]
    rule: Mapping[str, Any]
    text: str
    needs: str

    def find(self, run: Run) -> list[Finding]:
        """Return what the numbers of a run say; nothing where the run does not have them."""
        found = _called(RULES.__getitem__, self.rule, run.experiments, _called(_evidence, self.evidence, run))
        return list(found if self.rule["name"] == "seeds" else over_trainings(run.experiments, found))


@dataclass(frozen=True)
class Claim:
    """A claim in our words, where it is stated or tested and with which outcome, and how a run tests it."""

    id: str
    title: str  # a few words for the contents
    statement: str
    sources: list[dict[str, str]]  # paper (a key of `SOURCES`), place, says
    measures: list[Measure]
    published: Mapping[str, Any] | None = None


@dataclass(frozen=True)
class Judged:
    """A claim with what each measure found; no finding means that this run does not test it that way."""

    claim: Claim
    published: list[str]
    findings: list[tuple[Measure, list[Finding]]]

    def count(self, *verdicts: str) -> int:
        """Return how many findings have one of these verdicts."""
        return sum(finding.verdict in verdicts for _, found in self.findings for finding in found)

    @property
    def undecided(self) -> int:
        """How many findings decide nothing, for want of a second seed or by their numbers."""
        return self.count(Verdict.UNDECIDED, Verdict.ONE_SEED)

    @property
    def summary(self) -> str:
        """Say in a word what the decided findings say together."""
        if not any(found for _, found in self.findings):
            return UNTESTED
        decided = [verdict for verdict in (Verdict.SUPPORTS, Verdict.CONTRADICTS) if self.count(verdict)]
        if len(decided) == 2:
            return MIXED
        return decided[0].value if decided else Verdict.UNDECIDED.value

    @property
    def share(self) -> str:
        """Say of how many findings the summary speaks, where others decide nothing."""
        if self.summary not in OPPOSITE or not self.undecided:
            return ""
        return f" in {self.count(self.summary)} of {self.count(self.summary) + self.undecided}"

    @property
    def papers(self) -> list[str]:
        """The papers that state or test the claim, each once."""
        return list(dict.fromkeys(SOURCES[source["paper"]] for source in self.claim.sources))


@cache
def claims() -> list[Claim]:
    """Read claims.yaml, with the parameters of a measure and the shared sentences set into its texts."""
    content = yaml.safe_load(resources.files("stylex.report").joinpath("claims.yaml").read_text(encoding="utf-8"))
    shared = content["texts"] | {"level": f"{LEVEL:g}", "equals": f"{factors.EQUALS}", "folds": f"{len(KID_FOLDS)}"}
    found = []
    for claim in content["claims"]:
        measures = []
        for measure in claim["measures"]:
            words = shared | _written(measure["evidence"]) | _written(measure["rule"])
            texts = {key: _filled(measure[key], words) for key in ("text", "needs")}
            measures.append(Measure(**measure | texts))
        found.append(Claim(**claim | {"measures": measures}))
    return found


def _written(parameters: Mapping[str, Any]) -> dict[str, str]:
    """Write parameters for a reader: those that are no whole number are fractions."""
    return {key: f"{100 * value:g} %" if isinstance(value, float) else str(value) for key, value in parameters.items()}


def _filled(text: str, words: Mapping[str, str]) -> str:
    while "{" in text:
        text = text.format_map(words)
    return text


def _called(named: Callable[[str], Any], call: Mapping[str, Any], *given: Any) -> Iterable[Any]:
    """Call the function that claims.yaml names, with its parameters there."""
    return named(call["name"])(*given, **{key: value for key, value in call.items() if key != "name"})


def _evidence(name: str) -> Callable[..., Iterable[Any]]:
    return next(getattr(module, name) for module in (evidence, comparisons, factors) if hasattr(module, name))


def judge(run: Run, of: Iterable[Claim] | None = None) -> list[Judged]:
    """Return every claim with its findings, in order; raise `ArtifactError` when an artifact is damaged.

    The claims are judged by the suite's tables, and by artifacts that a suite need not compute.
    """
    return [
        Judged(
            claim,
            list(_called(_evidence, claim.published, run)) if claim.published else [],
            [(measure, measure.find(run)) for measure in claim.measures],
        )
        for claim in (claims() if of is None else of)
    ]


def verdicts(judged: Iterable[Judged]) -> pandas.DataFrame:
    """Return a row for each finding, and one for each measure of a claim that this run does not have."""
    rows: list[tuple[str, ...]] = []
    for each in judged:
        for measure, findings in each.findings:
            about = each.claim.id, measure.name
            said = [(*about, finding.where, str(finding.verdict), finding.sentence) for finding in findings]
            rows += said or [(*about, "", UNTESTED, "")]
    return pandas.DataFrame(rows, columns=["claim", "measure", "experiment", "verdict", "sentence"])
