"""The page's part on methods: the settings of the run, and what docs/method-notes.md marks for the report.

That page is the only place where deviations from the papers are written down.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas
from markdown_it import MarkdownIt
from markupsafe import Markup, escape

from stylex.config import ExperimentConfig
from stylex.report.table import NOTHING, Block

NOTES = Path("docs") / "method-notes.md"
MARKED = re.compile(r"<!-- report -->\n(.*?)<!-- end report -->", re.DOTALL)


def method_notes(root: Path) -> Markup:
    """Return the marked parts of the method notes as HTML, headings from h3 on; empty where there is no such file."""
    path = root / NOTES
    if not path.is_file():
        return Markup("")
    text = "\n".join(MARKED.findall(path.read_text(encoding="utf-8")))
    return Markup('<div class="notes">\n{}</div>').format(Markup(_rendered(text)))


def _rendered(text: str) -> str:
    """Render CommonMark with tables; what is HTML in it is escaped, and links, which lead elsewhere, become text."""
    parser = MarkdownIt("commonmark", {"html": False}).enable("table")
    tokens, shown, last = parser.parse(text), [], "Methods"
    for token in tokens:
        if token.type in ("heading_open", "heading_close"):
            token.tag = f"h{min(int(token.tag[1]) + 1, 6)}"
        if token.type == "inline" and token.level == 1:
            last = token.content.rstrip(":").replace("`", "")  # the heading or sentence before a table is its name
        if token.type == "table_open":
            token.meta["label"] = last
        if token.children:
            token.children = [child for child in token.children if child.type not in ("link_open", "link_close")]
        shown.append(token)
    parser.add_render_rule("table_open", _table_open)
    parser.add_render_rule("table_close", lambda *_: "</table></div>\n")
    parser.add_render_rule("th_open", lambda *_: '<th scope="col">')
    return parser.renderer.render(shown, parser.options, {})


def _table_open(renderer: Any, tokens: Any, index: int, options: Any, env: Any) -> str:
    label = escape(tokens[index].meta["label"][:80])
    return f'<div class="scroll" role="region" tabindex="0" aria-label="{label}"><table>\n'


def settings(experiments: Mapping[str, ExperimentConfig]) -> Block:
    """Return every key of every experiment, one column each, as configured with presets and defaults."""
    columns = {name: _flat(config.model_dump(mode="json")) for name, config in experiments.items()}
    keys = list(dict.fromkeys(key for column in columns.values() for key in column))
    cells = {name: [column.get(key, NOTHING) for key in keys] for name, column in columns.items()}
    text = "Every key of every experiment with its value, presets and defaults included."
    return Block(text, pandas.DataFrame({"Key": keys, **cells}))


def _flat(content: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    found: dict[str, str] = {}
    for key, value in content.items():
        if isinstance(value, dict):
            found |= _flat(value, f"{prefix}{key}.")
        else:
            found[f"{prefix}{key}"] = _cell(value)
    return found


def _cell(value: Any) -> str:
    if value is None or value == []:
        return NOTHING
    if isinstance(value, list):
        return ", ".join(str(each) for each in value)
    return str(value).lower() if isinstance(value, bool) else str(value)
