"""Names as people have them: what a class is called comes back from every file as it was, and is told apart everywhere.

Names are drawn at random, with a seed, from letters of several scripts and all that means something to a format.
"""

import random
import re
from html.parser import HTMLParser

import numpy
import pandas
import pytest
import torch
from markdown_it import MarkdownIt

from stylex.artifacts import TEXT, read_json, read_table, write_json, write_table
from stylex.attfind import explanations, records
from stylex.attfind.records import (
    IMAGES_TOWARDS,
    Attribute,
    Direction,
    EffectsHeader,
    EffectsRow,
    effects_writer,
    map_name,
    read_attributes,
    read_effects,
    read_maps,
    write_attributes,
    write_maps,
)
from stylex.classifiers import build_network
from stylex.classifiers.frozen import NetworkDescription, load_network, save_network
from stylex.config.base import EVERY, POOLED, class_name
from stylex.evaluation import maps, quality, samples, sufficiency
from stylex.latents.table import SCALARS, VECTORS, Latents, read_latents, write_latents
from stylex.report.basic_tables import images_of
from stylex.report.published import direction
from stylex.report.table import LATEX, Block, Table, to_latex, to_markdown

# Our own words, a method's, what libraries read as something else, what formats give a meaning, other scripts.
WORDS = [
    "both", "all", "rest", "neither", "stylex", "without_cst", "wu_2021", "random", "total", "pooled", "test", "train",
    "other", "otherwise", "several classes", "all classes", "all other classes", "against everything", "the last class",
    "None", "none", "NA", "N/A", "nan", "NaN", "null", "<NA>", "#N/A", "-inf", "inf", "True", "false", "yes", "3", "03",
    "1e5", "1_000", "0x1F", "2024-01-01", "1:30", "..", ".", "a/b", "CON", "Cat", "cat", "low_$", "high_$", "$5",
    "a_b^c", r"\frac", "a|b", "<b>x</b>", "&amp;", "&", "`code`", "**bold**", "[a](b)", "~~x~~", "{x}", "100 %",
    "#1", '"', "'", 'a"b', "a,b", "a;b", "two\nlines", "a\rb", "a\r\nb", "a\tb", r"a\|b",
    " a ", "-", "–", "--", "_", "=1+1", "@x",
    "{{ name }}", "{% raw %}", "%s", "{0}", "猫", "犬", "قطة", "Ελλάδα", "été", "e\u0301te\u0301", "😀", "a\u200db",
    "\ufeffa", "\u2028",
]  # fmt: skip
LETTERS = "aB3 _-.,;:|\\/\"'`*~$%&<>{}[]()#@^=+?!\t\n\r\u00a0é猫قА\u0301😀\u200f\ufeff\u2028\x7f"


def drawn(count: int) -> list[str]:
    """Different names: all of `WORDS`, and others at random."""
    chance = random.Random(0)
    names = ("".join(chance.choices(LETTERS, k=chance.randint(1, 12))) for _ in range(2 * count))
    return [name for name in dict.fromkeys([*WORDS, *names]) if name not in (POOLED, EVERY)][:count]


NAMES = drawn(1500)


def table_of(names):
    values = numpy.random.default_rng(0).standard_normal(len(names)) * 10.0 ** (numpy.arange(len(names)) % 40 - 20)
    words = {column: list(names) for column in ("target_class", "class_name", "classes", "oracle")}
    return pandas.DataFrame(words | {"n": range(len(names)), "fraction": values, "flipped": [True] * len(names)})


def test_columns_of_class_names_are_text_in_every_table():
    tables = [
        explanations.COLUMNS, records.COLUMNS, samples.COLUMNS, sufficiency.COLUMNS, maps.COLUMNS,
        quality.SUMMARY_COLUMNS, quality.IMAGE_COLUMNS,
    ]  # fmt: skip
    of_classes = {"target_class", "class_name", "classes", "oracle"}
    assert all(of_classes & set(columns) for columns in tables) and of_classes <= TEXT


@pytest.mark.parametrize("names", [NAMES, *([name] for name in WORDS)], ids=lambda names: repr(names[0]))
def test_names_and_numbers_come_back_from_a_table_to_the_letter_and_to_the_bit(tmp_path, names):
    written = table_of(names)
    write_table(tmp_path / "a.csv", written, {})
    read = read_table(tmp_path / "a.csv")
    for column in written.columns:
        assert read[column].tolist() == written[column].tolist(), column


def test_names_come_back_from_attributes_and_their_maps(tmp_path):
    found = [Attribute(name, 1, 7, 0, 7, Direction.TO_MAX, 1.5, 3) for name in NAMES]
    write_attributes(tmp_path / "attributes.csv", found, {})
    assert read_attributes(tmp_path / "attributes.csv") == {each.target_class: [each] for each in found}
    each_map = {map_name(each): torch.full((2, 2), float(number)) for number, each in enumerate(found)}
    write_maps(tmp_path / "maps.safetensors", each_map, {})
    read = read_maps(tmp_path / "maps.safetensors", found)
    assert [int(each[0, 0]) for each in read] == list(range(len(found)))


def test_names_come_back_from_latents_and_effects(tmp_path):
    names = tuple(NAMES)
    columns = {name: torch.zeros(1, 2) for name in VECTORS} | {name: torch.zeros(1) for name in SCALARS}
    latents = Latents(ids=["NA"], labels=torch.tensor([0]), **columns, class_names=names, provenance={"a": "nan"})
    write_latents(tmp_path / "latents.parquet", latents)
    read = read_latents(tmp_path / "latents.parquet")
    assert (read.class_names, read.ids, read.provenance) == (names, ["NA"], {"a": "nan"})
    header = EffectsHeader(names, 1.0, "float32", [0.0], [1.0], [0], [0], {})
    with effects_writer(tmp_path / "effects.parquet", header) as writer:
        writer.add("None", EffectsRow(torch.zeros(len(names)), torch.zeros(2, 1, len(names))))
    effects = read_effects([tmp_path / "effects.parquet"])
    assert effects.header.class_names == names and effects.ids == ["None"]


def test_names_come_back_from_a_network_from_metrics_and_from_counts_by_class(tmp_path):
    names = tuple(NAMES[:300])
    description = NetworkDescription(
        role="classifier", name="a", architecture="resnet18", width=0.125, channels=1, resolution=32, class_names=names
    )
    save_network(tmp_path / "a.safetensors", build_network("resnet18", 1, len(names), 0.125), description, {})
    assert load_network(tmp_path / "a.safetensors", "classifier")[1].class_names == names
    write_json(tmp_path / "metrics.json", {"class_names": names})
    assert read_json(tmp_path / "metrics.json")["class_names"] == list(names)
    counts = {f"{IMAGES_TOWARDS} {name}": str(number) for number, name in enumerate(names)}
    write_table(tmp_path / "subset.csv", pandas.DataFrame({"id": []}), counts | {"seed": "0", "shift": "1.0"})
    assert images_of(tmp_path / "subset.csv") == {name: number for number, name in enumerate(names)}


@pytest.mark.parametrize("name", [POOLED, EVERY])
def test_no_class_is_called_as_all_classes_together(name):
    assert direction(POOLED) == EVERY
    with pytest.raises(ValueError, match="means all classes together in our tables: rename the class"):
        class_name(name)


def test_every_other_name_is_a_class_of_its_own_in_readers_tables():
    assert [direction(class_name(name)) for name in NAMES] == NAMES


def readers_table() -> Table:
    frame = pandas.DataFrame({"Towards": NAMES, "n": range(len(NAMES))})
    return Table("names", "Names", frame, (Block("Names", frame, ("n",)),))


def test_markdown_shows_each_name_as_it_is():
    html = MarkdownIt("commonmark").enable("table").enable("strikethrough").render(to_markdown(readers_table()))
    assert cells_of(html)[::2] == [re.sub(r"[\n\r]", " ", name).strip() for name in NAMES]


def test_latex_gives_each_name_back():
    """Each letter has a spelling of its own, and none is the beginning of another one's."""
    rows = [
        line.removesuffix(r" \\") for line in to_latex(readers_table()).split("\n") if re.search(r" & \d+ \\\\$", line)
    ]
    spelled = {spelling: chr(letter) for letter, spelling in LATEX.items() if spelling not in (" ", "--")}
    pattern = re.compile("|".join(map(re.escape, sorted(spelled, key=len, reverse=True))))
    told = [pattern.sub(lambda match: spelled[match[0]], row.rpartition(" & ")[0]) for row in rows]
    assert told == [re.sub(r"[\n\r]", " ", name).replace("–", "--") for name in NAMES]
    assert not [row for row in rows if row.startswith(("[", "*"))]  # which the line's end before it would take


def test_the_page_shows_each_name_as_it_is():
    from stylex.report.page import environment

    macros = environment().get_template("macros.j2").module
    assert cells_of(str(macros.grid(readers_table().blocks[0])))[::2] == NAMES


class Cells(HTMLParser):
    """The text of each cell of a table's body; markup in a name would be a tag within it."""

    def __init__(self):
        super().__init__()
        self.cells, self.inside, self.body = [], False, False

    def handle_starttag(self, tag, attributes):
        assert not self.inside, tag
        self.body = self.body or tag == "tbody"
        self.inside = self.body and tag in ("td", "th")
        self.cells += [""] if self.inside else []

    def handle_endtag(self, tag):
        self.inside = False

    def handle_data(self, data):
        if self.inside:
            self.cells[-1] += data


def cells_of(html: str) -> list[str]:
    parser = Cells()
    parser.feed(html)
    parser.close()
    return parser.cells
