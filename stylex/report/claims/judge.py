"""Judge every claim by the numbers of a run."""

from __future__ import annotations

from dataclasses import dataclass

from stylex.report.claims.attributes import ATTRIBUTE_CLAIMS
from stylex.report.claims.baselines import BASELINE_CLAIMS
from stylex.report.claims.counterfactuals import COUNTERFACTUAL_CLAIMS
from stylex.report.claims.images import IMAGE_CLAIMS
from stylex.report.claims.model import Claim, Finding, Measure, Run, Verdict
from stylex.report.claims.sufficiency import SUFFICIENCY_CLAIMS
from stylex.report.published import SOURCES

UNTESTED = "not tested by this run"
MIXED = "mixed"
CLAIMS = (*SUFFICIENCY_CLAIMS, *BASELINE_CLAIMS, *ATTRIBUTE_CLAIMS, *COUNTERFACTUAL_CLAIMS, *IMAGE_CLAIMS)


@dataclass(frozen=True)
class Judged:
    """A claim with what each measure found; no finding means that this run does not test it that way."""

    claim: Claim
    published: list[str]
    findings: list[tuple[Measure, list[Finding]]]

    def count(self, verdict: str) -> int:
        """Return how many findings have this verdict."""
        return sum(finding.verdict == verdict for _, found in self.findings for finding in found)

    @property
    def undecided(self) -> int:
        """How many findings decide nothing, for want of a second seed or by their numbers."""
        return self.count(Verdict.UNDECIDED) + self.count(Verdict.ONE_SEED)

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
    def papers(self) -> list[str]:
        """The papers that state or test the claim, each once."""
        return list(dict.fromkeys(SOURCES[source.paper] for source in self.claim.sources))


def judge(run: Run, claims: tuple[Claim, ...] = CLAIMS) -> list[Judged]:
    """Return every claim with its findings, in order."""
    return [
        Judged(claim, claim.published(run), [(measure, measure.find(run)) for measure in claim.measures])
        for claim in claims
    ]
