"""Tables (CSV, Markdown, LaTeX) and the one page of a suite, from the artifacts of its experiments."""

from stylex.report.page import render
from stylex.report.writing import tables

__all__ = ["render", "tables"]
