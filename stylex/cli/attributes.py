"""`stylex attributes`: AttFind, the selecting half: Algorithm 1 of [L], or the search of [N]."""

from __future__ import annotations

from pathlib import Path

from stylex.cli.options import ExperimentArgument, ProtocolOption


def command(experiment: ExperimentArgument, protocol: ProtocolOption = None) -> None:
    """Select the top attributes of each class from the measured effects."""
    from stylex.attfind.selection import select

    select(Path(), experiment, protocol)
