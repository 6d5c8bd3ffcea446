"""Names in figures are text, never formulas, and no two of them look the same, whatever fonts the machine has."""

import logging

import numpy
import pandas
import pytest
from fontTools.ttLib import TTFont
from matplotlib import font_manager
from matplotlib.text import Text
from PIL import Image

from stylex.attfind.records import Direction, Method
from stylex.cli import main
from stylex.config import SuitePaths
from stylex.config.base import POOLED
from stylex.errors import ConfigError
from stylex.figures import fonts
from stylex.figures.animations import STEPS, Sweep, draw_still, frames
from stylex.figures.attributes import AttributeRow, Pair, draw_attributes
from stylex.figures.catalog import check_names
from stylex.figures.comparison import Cell, ComparedImage, draw_comparison
from stylex.figures.curves import draw_history, draw_methods, draw_sufficiency
from stylex.figures.explanations import Tile, assemble, draw_explanations, draw_teaser
from stylex.figures.reconstructions import Reconstruction, draw_reconstructions, shortened
from stylex.figures.style import note, save, styled

FORMULAS = ["low_$", "high_$", "$5", "$x$", "a_b^c", r"\frac", r"$\frac$", r"$\nope{$", "100 %", "{}", "_x", r"\$"]
IMAGE = numpy.zeros((8, 8, 1), numpy.float32)
STEP = {"layer": 0, "channel": 1, "direction": Direction.TO_MAX.label, "probability_before": 0.1}
STEP |= {"probability_after": 0.9, "flipped": True}


def sufficiency_of(names):
    rows = [
        {"target_class": name, "k": k, "fraction": 0.5, "low": 0.4, "high": 0.6, "method": "stylex", "n": 9}
        | {"experiment": "a"}
        for name in (*names, POOLED)
        for k in (1, 40)
    ]
    return pandas.DataFrame(rows)


def sweep_of(name):
    images = numpy.zeros((STEPS + 1, 1, 8, 8, 1), numpy.float32)
    chances = numpy.zeros((STEPS + 1, 1), numpy.float32)
    return Sweep("Attribute 1", name, (name,), images[0], chances[0], images, chances, Direction.TO_MAX, 1)


def drawings(first, second):
    """All figures that show names of classes, of two of them."""
    pair = Pair(first, True, IMAGE, IMAGE, 0.1, 0.9)
    row = AttributeRow(1, second, "layer 0", (pair, None), IMAGE[:, :, 0])
    explained = assemble(
        first, second, Tile(IMAGE, "original", 0.1), numpy.stack([IMAGE, IMAGE]), [STEP], Method.SUBSET
    )
    compared = ComparedImage(first, False, (Cell(IMAGE, 0.5), Cell(IMAGE)))
    rebuilt = [Reconstruction(name, IMAGE, IMAGE, 0.1, 0.9, 0.01, True) for name in (first, second)]
    return {
        "sufficiency": draw_sufficiency(sufficiency_of([first, second])),
        "methods": draw_methods(sufficiency_of([first, second])),
        "attributes": draw_attributes([row]),
        "explanations": draw_explanations([explained]),
        "comparison": draw_comparison([compared], second, 4.0),
        "reconstructions": draw_reconstructions(rebuilt, rebuilt),
        "animation": draw_still(sweep_of(first)),
        "teaser": draw_teaser(f"Classified {first}. What would raise P({second})?", [Tile(IMAGE, first, 0.5)] * 3),
        "note": note(f"No attribute raises P({second})."),
    }


@styled()
def saved(figure):
    """Draw a figure as `save` does; return all that is written in it."""
    fonts.use_fonts(figure)
    figure.draw_without_rendering()
    texts = [text for text in figure.findobj(Text) if text.get_text()]
    assert not [text for text in texts if text.get_parse_math()]
    return "\n".join(text.get_text() for text in texts)


@pytest.mark.parametrize(("first", "second"), list(zip(FORMULAS[::2], FORMULAS[1::2], strict=True)))
def test_a_name_that_looks_like_a_formula_is_written_as_it_is(first, second):
    shown = {"methods": set(), "animation": {first}, "note": {second}}
    for kind, figure in drawings(first, second).items():
        text = saved(figure)
        assert all(name in text for name in shown.get(kind, {first, second})), kind


@pytest.mark.parametrize("suffix", ["png", "pdf"])
def test_files_of_such_names_are_written(tmp_path, suffix):
    paths, figure = (
        SuitePaths(tmp_path, "a"),
        draw_sufficiency(sufficiency_of(["low_$", "high_$", "été", "\U000fff01"])),
    )
    save(figure, paths, "b", "sufficiency", "origin")
    assert paths.figure("b", "sufficiency", suffix).stat().st_size > 1000


def test_two_lines_of_a_curve_never_have_one_label():
    names = ["all directions pooled", "*pooled", "_hidden", "to a", "a", "both", "neither"]
    figure = draw_sufficiency(sufficiency_of(names))
    labels = [text.get_text() for text in figure.legends[0].get_texts()]
    assert labels == [*(f"to {name}" for name in names), "all directions pooled"]


def test_images_of_several_classes_are_not_those_of_a_class_of_that_name():
    rows = [ComparedImage(name, False, (Cell(IMAGE, 0.5),)) for name in ("a", "b")]
    several = saved(draw_comparison(rows, "c", 4.0))
    one = saved(draw_comparison([ComparedImage("several classes", False, (Cell(IMAGE, 0.5),))] * 2, "c", 4.0))
    assert "several classes: P(c)" in several.splitlines() and "classified several classes: P(c)" in one.splitlines()


def test_numbers_of_a_logarithmic_axis_are_numbers():
    history = pandas.DataFrame({"images": [1, 2, 3], "r1": [0.001, 1.0, 5000.0], "path_length": [1.0, 2.0, 3.0]})
    text = saved(draw_history(history))
    assert "$" not in text
    narrow = saved(draw_history(history.assign(r1=[0.5, 0.6, 0.7], path_length=[0.5, 0.55, 0.6])))
    assert "$" not in narrow and "5e−01" in narrow.splitlines()


@pytest.mark.parametrize(
    ("names", "short"),
    [
        (["cat", "wolf"], ["cat", "wolf"]),
        (["sneaker", "ankle-boot"], ["sneaker", "ankle-b…"]),
        (["leaf-of-oak", "leaf-of-elm"], ["…-of-oak", "…-of-elm"]),
        (["a-leaf-of-an-oak-x", "b-leaf-of-an-oak-x"], ["a-leaf-…", "b-leaf-…"]),
        (["the-same-1-the-same", "the-same-2-the-same"], ["the-same-1-the-same", "the-same-2-the-same"]),
    ],
)
def test_short_forms_tell_classes_apart(names, short):
    assert list(shortened(names).values()) == short


def test_two_experiments_whose_figures_would_be_one_file_are_refused():
    check_names("a", ["mnist", "mnist-subset", "mnist-2"])
    with pytest.raises(ConfigError, match="'mnist' and 'mnist-class' would both have a figure mnist-class-attributes"):
        check_names("a", ["mnist", "mnist-class"])


CHINESE = "猫犬"


@pytest.fixture
def no_memory():
    """What was found out about fonts is found out anew, before and after."""
    caches = (fonts.characters, fonts.known, fonts.others, fonts.tell)
    for cache in caches:
        cache.cache_clear()
    yield
    for cache in caches:
        cache.cache_clear()


@pytest.fixture
def font(tmp_path, no_memory):
    """An installed font that has the two characters alone, as A and B."""
    changed = TTFont(font_manager.findfont("DejaVu Sans"))
    changed["cmap"].tables = [table for table in changed["cmap"].tables if table.isUnicode()]
    for table in changed["cmap"].tables:
        table.cmap = dict(zip(map(ord, CHINESE), "AB", strict=True))
    for name in changed["name"].names:
        name.string = "Two Animals" if name.nameID in (1, 16) else name.toUnicode()
    changed.save(tmp_path / "animals.ttf")
    before = list(font_manager.fontManager.ttflist)
    font_manager.fontManager.addfont(tmp_path / "animals.ttf")
    yield str(tmp_path / "animals.ttf")
    font_manager.fontManager.ttflist[:] = before


def test_a_font_that_has_the_characters_is_taken(font, tmp_path, caplog):
    assert fonts.warning(CHINESE) is None
    figure = draw_sufficiency(sufficiency_of(CHINESE))
    assert {"to 猫", "to 犬"} <= set(saved(figure).splitlines())
    figure.savefig(tmp_path / "a.pdf")  # the font goes into the file
    labels = [text for text in figure.legends[0].get_texts() if set(text.get_text()) & set(CHINESE)]
    assert all(text.get_fontfamily()[0] == fonts.FAMILY and len(text.get_fontfamily()) > 1 for text in labels)
    assert caplog.text == ""


def test_a_font_of_the_gif_has_the_characters_too(font):
    one, other = (frames(sweep_of(name))[0] for name in CHINESE)
    assert isinstance(one, Image.Image) and one.tobytes() != other.tobytes()


@pytest.mark.usefixtures("no_memory")
def test_characters_that_no_font_has_are_codes_and_are_said_once(caplog):
    private = "\U000fff01\U000fff02"  # of private use: no font has them
    with caplog.at_level(logging.WARNING, "stylex"):
        texts = [saved(figure) for figure in drawings(private[0], private[1]).values()]
        one, other = (frames(sweep_of(name))[0].tobytes() for name in private)
    assert r"to \U000fff01" in texts[0].splitlines() and r"to \U000fff02" in texts[0].splitlines()
    assert one != other
    lines = [record.getMessage() for record in caplog.records]
    assert len(lines) == len(set(lines)) <= 3
    assert all(line.startswith("no installed font has the characters ") and r"(\U000fff0" in line for line in lines)


@pytest.mark.usefixtures("no_memory")
def test_a_bold_face_that_lacks_a_character_is_not_used_for_it():
    lacking = sorted(fonts.known() - fonts.known("bold"))
    assert lacking
    figure = note(f"P({lacking[-1]})")
    (text,) = figure.texts
    text.set_fontweight("bold")
    assert saved(figure) == f"P({lacking[-1]})" and text.get_fontweight() == "normal"


@pytest.mark.usefixtures("no_memory")
def test_validate_says_which_characters_no_font_has(root, monkeypatch, caplog, capsys):
    path = root / "config/datasets/pets.yaml"
    path.write_text(
        "title: Pets\nlayout: folders\nlicence: own\nfolder: photos\nchannels: 1\nclasses: [\U000fff01, été, cat]\n"
    )
    (root / "config/backbones/pets-32.yaml").write_text("extends: backbone-32\ndataset: pets\n")
    (root / "config/experiments/pets.yaml").write_text(
        "extends: cpu-32\ntitle: Pets\ndomain: Pets\ndataset: {name: pets}\nstylex: {perceptual_backbone: pets-32}\n"
    )
    (root / "config/suites/pets.yaml").write_text("title: Pets\nexperiments: [pets]\ntables: [sufficiency]\n")
    monkeypatch.chdir(root)
    with caplog.at_level(logging.WARNING, "stylex"), pytest.raises(SystemExit) as ended:
        main(["validate", "pets"])
    assert not ended.value.code and "pets: pets (all classes)" in capsys.readouterr().out
    (line,) = (record.getMessage() for record in caplog.records)
    assert line.startswith("pets: no installed font has the characters \U000fff01 (\\U000fff01): figures will show")
