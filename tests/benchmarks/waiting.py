"""Processes of a benchmark that wait while others work, so that they can be timed in turn."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence


class Waiting:
    """A process that answers each line on its stdin with a line, and ends with its stdin."""

    def __init__(self, command: Sequence[str]) -> None:
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def ask(self, line: str = "") -> None:
        """Let it begin; its answer is not waited for."""
        assert self.process.stdin is not None
        self.process.stdin.write(f"{line}\n")
        self.process.stdin.flush()

    def answer(self) -> str:
        """Wait for its answer. Raises `SystemExit` when it ended instead."""
        assert self.process.stdout is not None
        if not (line := self.process.stdout.readline()):
            raise SystemExit(f"error: a process of the benchmark ended with {self.process.wait()}; see above")
        return line

    def end(self) -> str:
        """Close its stdin and return what it printed last."""
        return self.process.communicate()[0]
