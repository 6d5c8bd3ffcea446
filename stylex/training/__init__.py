"""Training of StylEx: state, step, loop, checkpoints."""

from stylex.training.loop import train

__all__ = ["train"]
