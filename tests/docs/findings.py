"""The tables that pages take from the committed results of two suites: `python -m tests.docs.findings` writes them.

A table stands between `<!-- findings: NAME -->` and `<!-- end -->`. Cells are mean ± standard deviation over seeds.
Where the suite has run, `python -m tests.docs.findings durations` also writes the table of what its stages took.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable, Iterable, Iterator
from functools import cache
from pathlib import Path

import pandas

from stylex.artifacts import read_table
from stylex.config import SuitePaths, load_experiment, load_suite
from stylex.config.base import POOLED, Protocol
from stylex.report.claims import UNTESTED
from stylex.report.claims import claims as read_claims
from stylex.report.repeated import spread
from stylex.report.rules import Verdict
from stylex.report.table import Block, markdown_lines

ROOT = Path(__file__).parents[2]
PATHS = SuitePaths(ROOT, "cpu")
ABLATED = SuitePaths(ROOT, "ablations")
STAGNATION = "Reconstruction error"  # a measure of claims.yaml
STAGNATES = {Verdict.SUPPORTS: "yes", Verdict.CONTRADICTS: "no", Verdict.UNDECIDED: "undecided"}
DURATIONS, MEASURED = PATHS.folder / "durations.csv", ROOT / "results/benchmarks/rules"
PAGES = ("README.md", "docs/findings.md")
MARKED = re.compile(r"(?<=<!-- findings: )(\w+)( -->\n).*?(?=<!-- end -->)", re.DOTALL)
SUITE = load_suite(ROOT, "cpu")
QUESTIONS = [name for name in SUITE.experiments if not name.endswith("-without-cst")]
WRITTEN = {Protocol.HELD_OUT: "held out", Protocol.SAME_IMAGES: "same images"}
WITHOUT = ("without_cst", "wu_2021")  # methods that explain the twin without classifier-specific training
OTHERS = {
    "latent": "gradient descent in W", "ganalyze": "GANalyze", "pixel": "adversarial pixels", "random": "random moves",
    "condition": "condition exchanged",
}  # fmt: skip


def filled(page: str) -> str:
    """Return the text of a page with its tables as the committed results have them."""
    return MARKED.sub(lambda found: found[1] + found[2] + TABLES[found[1]](), page)


def readme() -> str:
    """A row a question: AttFind's counterfactuals, and those of another way to flip; held out."""
    rows = []
    for name in QUESTIONS:
        with_cst, without = _cells(name), _cells(f"{name}-without-cst", "without_cst")
        row = [_title(name), with_cst("validity"), with_cst("agreement"), without("agreement")]
        rows.append([*row, _cells(name, "latent")("agreement")])
    heads = ["%", "StylEx: flipped", "flipped and agreed", "without classifier-specific training", OTHERS["latent"]]
    return _markdown(heads, rows)


def overview() -> str:
    """A row a question: the classifier, AttFind's counterfactuals by both protocols, the generator."""
    classifiers = read_table(PATHS.table("classifiers", "csv")).set_index("experiment")["accuracy"]
    rows = []
    for name in QUESTIONS:
        held, same = _cells(name), _cells(name, protocol=Protocol.SAME_IMAGES)
        right = 100 * classifiers[[each for each in classifiers.index if re.fullmatch(rf"{name}(-seed\d+)?", each)]]
        row = [_title(name), f"{right.mean():.1f} ± {right.std():.1f}"]
        row += [cell(measure) for measure in ("validity", "agreement") for cell in (held, same)]
        rows.append([*row, held("frechet_ratio", 1), held("own_nearest"), held("class_kept")])
    heads = ["", "classifier right, %", "flipped, %: held out", "same images", "agreed, %: held out", "same images"]
    return _markdown([*heads, "distance", "own nearest, %", "class kept, %"], rows)


def methods() -> str:
    """Flipped, and of all flipped and agreed, by other ways to flip; held out."""
    rows = []
    for name in QUESTIONS:
        cells = [_cells(name, method) for method in ("stylex", *OTHERS)]
        rows.append([_title(name), *(f"{one('validity')}; {one('agreement')}" for one in cells)])
    return _markdown(["flipped; agreed, %", "StylEx", *OTHERS.values()], rows)


def training() -> str:
    """Flipped and agreed with classifier-specific training, without it, and by Wu et al. on the latter."""
    rows = []
    for name in QUESTIONS:
        for protocol, written in WRITTEN.items():
            cells = [_cells(name, protocol=protocol)]
            cells += [_cells(f"{name}-without-cst", method, protocol) for method in WITHOUT]
            rows.append([_title(name), written, *(one(each) for each in ("validity", "agreement") for one in cells)])
    heads = ["%", "", "flipped: StylEx", "without", "Wu et al.", "agreed: StylEx", "without", "Wu et al."]
    return _markdown(heads, rows)


def claims() -> str:
    """A row for each measure of a claim: in how many questions it supports, contradicts, and does not decide."""
    found = read_table(PATHS.claims, ("claim", "sentence"))
    titles = {claim.id: claim.title for claim in read_claims()}
    rows = []
    for (claim, measure), part in found.groupby(["claim", "measure"], sort=False):
        counts = [int((part["verdict"] == each).sum()) for each in (Verdict.SUPPORTS, Verdict.CONTRADICTS)]
        undecided = len(part) - sum(counts)
        cells = ["not tested", "", ""] if UNTESTED in set(part["verdict"]) else [*map(str, (*counts, undecided))]
        rows.append([titles[str(claim)], str(measure), *cells])
    return _markdown(["claim", "measure", "supports", "contradicts", "does not decide"], rows)


def ablations() -> str:
    """A row for each option of the preset that is changed: means over seeds, and the differences to the preset's."""
    names = load_suite(ROOT, "ablations").experiments
    table = read_table(ABLATED.table("counterfactuals", "csv"))
    held_out = table[(table["protocol"] == Protocol.HELD_OUT) & (table["target_class"] == POOLED)]
    found = read_table(ABLATED.claims, ("claim", "sentence"))
    stagnates = found[found["measure"] == STAGNATION].set_index("experiment")["verdict"].map(STAGNATES)

    def measured(name: str, seed: int) -> dict[str, float]:
        run = f"{name}-seed{seed}" if seed else name
        row = held_out[(held_out["experiment"] == run) & (held_out["method"] == load_experiment(ROOT, run).method)]
        error = json.loads(ABLATED.metrics(run).read_text())["reconstruction_l1"]
        return {**row.iloc[0][["agreement", "frechet_ratio"]], "reconstruction_l1": error}

    runs = {name: [measured(name, seed) for seed in range(SUITE.seeds)] for name in names}

    def difference(name: str, measure: str, scale: float = 1) -> str:
        pairs = zip(runs[name], runs[names[0]], strict=True)
        apart = spread(scale * (changed[measure] - preset[measure]) for changed, preset in pairs)
        return "" if name == names[0] else f"{apart['mean']:+.1f} ({apart['low']:+.1f} to {apart['high']:+.1f})"

    def row(name: str) -> Iterator[str]:
        cell = _cells(name, load_experiment(ROOT, name).method, paths=ABLATED)
        yield _title(name).removeprefix(f"{_title(names[0])}, ") if name != names[0] else "the preset"
        yield from (cell("validity"), cell("agreement"), difference(name, "agreement", 100))
        yield from (cell("frechet_ratio", 1), difference(name, "frechet_ratio"))
        error = spread(1000 * run["reconstruction_l1"] for run in runs[name])
        yield from (f"{error['mean']:.0f} ± {error['sd']:.0f}", difference(name, "reconstruction_l1", 1000))
        yield from (cell("own_nearest"), stagnates[name])

    heads = ["", "flipped, %", "agreed, %", "difference", "distance", "difference", "L1 × 1000", "difference"]
    return _markdown([*heads, "own nearest, %", "stagnates"], map(row, names))


def durations() -> str:
    """A row a stage: how often it ran, and what it took of processors and memory."""
    table = pandas.read_csv(DURATIONS)
    rows = []
    for stage, part in [*table.groupby("stage"), ("all", table)]:
        longest = part.loc[part["cpu_seconds"].idxmax()]
        at_most = f"{longest['cpu_seconds'] / 60:.1f} ({longest['name']})"
        hours, memory = part["cpu_seconds"].sum() / 3600, part["mebibytes"].max()
        rows.append([str(stage), str(len(part)), f"{hours:.2f}", at_most, f"{memory:.0f}"])
    return _markdown(["stage", "runs", "processor hours", "longest, minutes", "memory, MiB"], rows)


def collect() -> None:
    """Write what Snakemake measured of the stages of the suite (results/benchmarks/rules)."""
    rows = []
    for path in sorted(MEASURED.rglob("*.tsv")):
        stage, name = path.relative_to(MEASURED).with_suffix("").parts[:2]
        measured = pandas.read_csv(path, sep="\t").iloc[-1]
        row = {"stage": stage, "name": name, "seconds": measured["s"], "cpu_seconds": measured["cpu_time"]}
        rows.append(row | {"mebibytes": measured["max_rss"]})
    pandas.DataFrame(rows).to_csv(DURATIONS, index=False, lineterminator="\n")


TABLES: dict[str, Callable[[], str]] = {
    one.__name__: one for one in (readme, overview, methods, training, ablations, claims, durations)
}  # fmt: skip


def _title(name: str) -> str:
    return load_experiment(ROOT, name).title


def _cells(
    name: str, method: str = "stylex", protocol: Protocol = Protocol.HELD_OUT, paths: SuitePaths = PATHS
) -> Callable[..., str]:
    """Return what writes a measure of an experiment and its seeds: mean ± standard deviation, times a scale."""
    table = _over_seeds(paths)
    about = {"method": method, "protocol": protocol, "target_class": POOLED}
    chosen = (table["experiments"].str.split().str[0] == name) & (table[[*about]] == pandas.Series(about)).all(axis=1)
    measured = table[chosen].set_index("measure")

    def cell(measure: str, scale: float = 100) -> str:
        if measure not in measured.index or measured.loc[measure, "seeds"] < SUITE.seeds:
            return "–"  # too few flip in some training
        return f"{scale * measured.loc[measure, 'mean']:.1f} ± {scale * measured.loc[measure, 'sd']:.1f}"

    return cell


@cache
def _over_seeds(paths: SuitePaths) -> pandas.DataFrame:
    return read_table(paths.table("counterfactual_seeds", "csv"))


def _markdown(heads: list[str], rows: Iterable[Iterable[str]]) -> str:
    numeric = tuple(heads[1:])
    return markdown_lines(Block("", pandas.DataFrame(rows, columns=heads), numeric)) + "\n"


if __name__ == "__main__":
    if "durations" in sys.argv:
        collect()
    for path in map(ROOT.joinpath, PAGES):
        path.write_text(filled(path.read_text()))
