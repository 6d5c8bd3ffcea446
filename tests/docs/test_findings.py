"""What the pages say of the suite cpu is what its committed tables hold."""

import pytest

from tests.docs.findings import MARKED, PAGES, ROOT, TABLES, filled


@pytest.mark.parametrize("name", PAGES)
def test_the_tables_of_a_page_are_those_of_the_committed_results(name: str):
    page = (ROOT / name).read_text()
    assert MARKED.search(page) and filled(page) == page, "python -m tests.docs.findings"


def test_every_table_stands_on_a_page():
    pages = "".join((ROOT / name).read_text() for name in PAGES)
    assert {name for name, _ in MARKED.findall(pages)} == {*TABLES}
