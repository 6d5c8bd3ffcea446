"""The claims of the three papers with what this run says for and against each; verdicts are computed, never written."""

from stylex.report.claims.judge import CLAIMS, Judged, judge
from stylex.report.claims.model import Claim, Finding, Measure, Run, Verdict
from stylex.report.claims.run import read_run

__all__ = ["CLAIMS", "Claim", "Finding", "Judged", "Measure", "Run", "Verdict", "judge", "read_run"]
