"""What the pages say of the suites cpu and ablations is what their committed tables hold."""

from pathlib import Path

import pytest

from tests.docs import findings
from tests.docs.findings import MARKED, PAGES, ROOT, TABLES, filled


@pytest.mark.parametrize("name", PAGES)
def test_the_tables_of_a_page_are_those_of_the_committed_results(name: str):
    page = (ROOT / name).read_text()
    assert MARKED.search(page) and filled(page) == page, "python -m tests.docs.findings"


def test_every_table_stands_on_a_page():
    pages = "".join((ROOT / name).read_text() for name in PAGES)
    assert {name for name, _ in MARKED.findall(pages)} == {*TABLES}


def test_durations_are_what_snakemake_measured_last(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(findings, "MEASURED", tmp_path)
    monkeypatch.setattr(findings, "DURATIONS", tmp_path / "durations.csv")
    for name, line in (("effects/emoji/00000", "7.5\t6.5\t5.5"), ("train/emoji", "9\t9\t9\n3.5\t2.5\t99.5")):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / f"{name}.tsv").write_text(f"s\tcpu_time\tmax_rss\n{line}\n")  # a line an attempt
    findings.collect()
    assert (tmp_path / "durations.csv").read_text().splitlines() == [
        "stage,name,seconds,cpu_seconds,mebibytes", "effects,emoji,7.5,6.5,5.5", "train,emoji,3.5,2.5,99.5",
    ]  # fmt: skip
