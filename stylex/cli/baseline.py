"""`stylex baseline`: the coordinates that Wu et al. would select ([L] 4.2.3)."""

from __future__ import annotations

from pathlib import Path

from stylex.cli.options import ExperimentArgument, ProtocolOption


def command(experiment: ExperimentArgument, protocol: ProtocolOption = None) -> None:
    """Select coordinates as Wu et al. do, on an experiment without classifier-specific training."""
    from stylex.evaluation.baselines import baseline

    baseline(Path(), experiment, protocol)
