"""The LaTeX of every table goes through pdflatex, with the preamble that docs/outputs.md names, and loses nothing."""

import re
import shutil
import subprocess
import unicodedata
from pathlib import Path

import pandas
import pytest
import yaml

from stylex.artifacts import read_table
from stylex.config import ExperimentPaths, SuitePaths
from stylex.report import tables
from stylex.report.run import load_run
from stylex.report.table import LATEX, Block, Table, to_latex
from stylex.report.writing import TABLES, build_tables

# Their Debian packages; `cm-super-minimal` too, or what stands in the PDF is a picture of its letters.
PROGRAMS = {"pdflatex": "texlive-latex-recommended cm-super-minimal", "pdftotext": "poppler-utils"}
MISSING = [f"{program} (apt-get install {name})" for program, name in PROGRAMS.items() if shutil.which(program) is None]
DOCS = Path(__file__).parents[2] / "docs/outputs.md"
PAGE = r"\pdfpagewidth=500cm \textwidth=480cm \pdfpageheight=500cm \textheight=480cm"  # nothing is cut off
NASTY = [
    *map(chr, LATEX), r"\\", r"\undefined", r"\end{tabular}", "$x_1^2$", "a & b", "#1", "}}", "[t]", "*[2pt]", "~^",
    "?`", "±0.5×10", "5–7", "a…z", "−1", "é", "ß", "Äpfel, Öl und Übung", "ñ ç ø Å œ ł š ő", "<b>", "3 > 2",
    '"a"', "it's", "R²", "°C", "µm", "€ £ §", "«a»", "“a” ‘b’", "two\nlines", " ", "",
]  # fmt: skip
pytestmark = pytest.mark.skipif(bool(MISSING), reason=f"not on PATH: {', '.join(MISSING)}")


def compiled(folder: Path, *parts: str) -> tuple[int, str]:
    """Return the exit code of pdflatex on a document of these tables, and the text of its PDF or else its messages."""
    preamble = re.search(r"```latex\n(.*?)```", DOCS.read_text(encoding="utf-8"), re.DOTALL)
    assert preamble is not None
    lines = [r"\documentclass{article}", preamble[1], PAGE, r"\begin{document}"]
    lines += [rf"{part}\clearpage" for part in parts]
    (folder / "paper.tex").write_text("\n".join([*lines, r"\end{document}"]), encoding="utf-8")
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "paper"]
    result = subprocess.run(command, cwd=folder, capture_output=True, check=False, timeout=300)
    if result.returncode:
        return result.returncode, result.stdout.decode(errors="replace")
    text = subprocess.run(["pdftotext", "-raw", "paper.pdf", "-"], cwd=folder, capture_output=True, check=True)
    return 0, text.stdout.decode()


def plain(text: str) -> str:
    """Return text without spaces, hyphenation and what fonts make of a letter."""
    text = unicodedata.normalize("NFKC", text.translate({ord("’"): "'", ord("”"): '"', ord("“"): '"', ord("‘"): "'"}))
    return re.sub(r"\s", "", text)


def assert_holds(text: str, table: Table) -> None:
    """The PDF has the caption, the headings and every row of every block, in full."""
    shown = plain(text)
    for block in table.blocks:
        assert plain(block.caption) in shown, block.caption
        for row in (block.frame.columns, *block.frame.itertuples(index=False)):
            assert plain("".join(map(str, row))) in shown, (table.name, row)


def nasty() -> Table:
    """A table with such cells, headings and captions."""
    data = pandas.DataFrame({" ".join(NASTY): NASTY, "n": range(len(NASTY))})
    return Table("nasty", "Nasty", data, (Block(" ".join(NASTY), data, ("n",)),))


def written(root: Path, **changes: object) -> list[tuple[str, Table]]:
    """Return the LaTeX file and the content of each table of the demo with these changes."""
    path = root / "config/suites/demo.yaml"
    path.write_text(yaml.safe_dump(yaml.safe_load(path.read_text()) | changes))
    tables(root, "demo")
    paths, built = SuitePaths(root, "demo"), build_tables(*load_run(root, "demo"))
    return [(paths.table(table.name, "tex").read_text(encoding="utf-8"), table) for table in built]


def test_every_table_of_a_suite_is_set_with_all_its_numbers(measured: Path, factor_table: Table, tmp_path: Path):
    parts = [*written(measured), *((to_latex(table), table) for table in (factor_table, nasty()))]
    shutil.copytree(ExperimentPaths(measured, "mnist").folder, ExperimentPaths(measured, "mnist-seed1").folder)
    parts += written(measured, experiments=["mnist"], seeds=2, tables=["seeds", "counterfactual_seeds"])
    assert {table.name for _, table in parts} == {*TABLES, "nasty"}
    code, text = compiled(tmp_path, *(latex for latex, _ in parts))
    assert code == 0, text[-2000:]
    for _, table in parts:
        assert_holds(text, table)
    flips = read_table(SuitePaths(measured, "demo").table("sufficiency", "csv"))
    shown = flips[flips["k"].isin([1, 5, 10, 40])]
    numbers = [f"{100 * value:.1f}" for name in ("fraction", "low", "high") for value in shown[name]]
    assert len(numbers) > 100 and set(numbers) <= set(re.findall(r"\d+\.\d", text))


def test_cells_captions_and_headings_may_hold_any_sign(tmp_path: Path):
    code, text = compiled(tmp_path, to_latex(nasty()))
    assert code == 0, text[-2000:]
    assert_holds(text, nasty())


def test_a_script_that_pdflatex_has_no_letters_for_stops_it_and_is_named(tmp_path: Path):
    data = pandas.DataFrame({"Class": ["猫"]})
    code, message = compiled(tmp_path, to_latex(Table("cats", "Cats", data, (Block("Cats", data),))))
    assert code != 0 and "Unicode character 猫 (U+732B)" in message
