"""The page's part on methods: what the notes mark, and every setting of every experiment."""

from pathlib import Path

from stylex.config import load_experiment
from stylex.report.methods import NOTES, method_notes, settings

ROOT = Path(__file__).parents[2]
PAGE = """not this
<!-- report -->
## A heading
For `all` of them:

| a | b |
|---|---|
| <b>x</b> | [a link](../config) |
<!-- end report -->
nor this
"""


def test_marked_parts_alone_are_shown_with_named_tables_and_without_links_and_markup(tmp_path: Path):
    (tmp_path / NOTES).parent.mkdir()
    (tmp_path / NOTES).write_text(PAGE, encoding="utf-8")
    html = method_notes(tmp_path)
    assert "<h3>A heading</h3>" in html and "this" not in html
    assert 'role="region" tabindex="0" aria-label="For all of them"' in html and '<th scope="col">a</th>' in html
    assert "&lt;b&gt;x" in html and "<td>a link</td>" in html and "<a " not in html


def test_the_notes_of_the_project_are_marked_and_a_missing_file_is_no_error(tmp_path: Path):
    html = method_notes(ROOT)
    assert all(f"<h3>{title}" in html for title in ("What the paper leaves open", "Where this", "Limits of what"))
    assert "Mistakes of the public" not in html and "<!--" not in html
    assert method_notes(tmp_path) == ""


def test_settings_have_a_row_a_key_and_a_column_an_experiment():
    block = settings({name: load_experiment(ROOT, name) for name in ("mnist", "fashion-mnist")})
    rows = {row[0]: row[1:] for row in block.frame.to_numpy().tolist()}
    assert rows["dataset.classes"] == ["3, 5", "sneaker, ankle-boot"]
    assert rows["stylex.conditional_discriminator"] == ["true", "true"] and rows["published_domain"] == ["–", "–"]
