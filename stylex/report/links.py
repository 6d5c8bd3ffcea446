"""From a number on the page to the file that holds it: a table of the suite beside the page, or the line of provenance.

That line names the artifact's file, which is outside of the suite's folder.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from stylex.report.run import anchor

# Which table has the numbers of an artifact.
HOLDS = {
    "classifier": "classifiers", "latents": "classifiers", "samples": "samples", "sufficiency": "sufficiency",
    "subset": "subset", "frechet": "frechet", "counterfactuals": "counterfactuals", "factors": "factors",
    "observer": "user_study",
}  # fmt: skip


@dataclass(frozen=True)
class Links:
    """Where the numbers of a suite lead; `tables`: those whose CSV is beside the page."""

    tables: Collection[str]

    def csv(self, origin: str) -> str | None:
        """Return the link to the CSV of what has its origin at an anchor of the page; None: no table has it."""
        place, _, last = origin.rpartition("-")
        table = last if place == "table" else HOLDS.get(last)
        return f"tables/{table}.csv" if table in self.tables else None

    def number(self, experiment: str, artifact: str) -> str:
        """Return the link from a number of an experiment to the CSV, or else to the line about the artifact."""
        origin = anchor(experiment, artifact)
        return self.csv(origin) or f"#{origin}"
