"""A suite whose stages have all run: small artifacts, each made by the function that makes the real ones."""

import shutil
from pathlib import Path

import numpy
import pandas
import pyarrow
import pytest
import torch
import yaml
from PIL import Image

from stylex.artifacts import load_tensors, provenance, save_tensors, write_json, write_table
from stylex.attfind.explanations import Step, table
from stylex.attfind.records import (
    IMAGES_TOWARDS,
    Attribute,
    Direction,
    EffectsHeader,
    EffectsRow,
    effects_writer,
    read_attributes,
    write_attributes,
)
from stylex.classifiers.frozen import NetworkDescription, save_network
from stylex.classifiers.networks import build_network
from stylex.config import (
    DatasetPaths,
    ExperimentConfig,
    ExperimentPaths,
    backbone_paths,
    experiment_paths,
    load_experiment,
    load_suite,
    oracle_paths,
)
from stylex.config.base import KID_FOLDS, Protocol
from stylex.datasets import dataset_spec
from stylex.diagnosis import table as diagnosis_table
from stylex.diagnosis.verdicts import findings_of
from stylex.evaluation.frechet import COLUMNS as FRECHET
from stylex.evaluation.intervals import wilson_interval
from stylex.evaluation.maps import maps
from stylex.evaluation.quality import IMAGE_COLUMNS, SUMMARY_COLUMNS, summaries
from stylex.evaluation.samples import shares
from stylex.evaluation.sufficiency import COLUMNS as SUFFICIENCY
from stylex.figures.make import experiment_figures
from stylex.latents.table import Latents, write_latents
from stylex.networks.model import StylexNetworks, build_networks, save_stylex
from stylex.report import render, tables
from stylex.report.factors import factors_table
from stylex.report.run import Run
from stylex.report.table import Table
from tests.builders import save_random_network, write_factors

REPOSITORY = Path(__file__).parents[2]
IMAGES = 8


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project in which a suite is complete, figures, tables and page included. Tests must not change it.

    It is the demo with twins without classifier-specific training.
    """
    root = tmp_path_factory.mktemp("finished")
    shutil.copytree(REPOSITORY / "config", root / "config")
    suite = root / "config/suites/demo.yaml"
    content = yaml.safe_load(suite.read_text())
    twins = [f"{name}-without-cst" for name in content["experiments"]]
    content["experiments"] += twins
    content["tables"].append("paired")
    suite.write_text(yaml.safe_dump(content))
    shutil.copytree(REPOSITORY / "docs", root / "docs")
    names = load_suite(root, "demo").experiments
    for name in names:
        write_experiment(root, name, load_experiment(root, name))
    for name in names:
        maps(root, name, "cpu")
        experiment_figures(root, "demo", name, "cpu")
    tables(root, "demo")
    render(root, "demo")
    render(root, "demo", embedded=True)
    return root


@pytest.fixture
def measured(tmp_path: Path, finished: Path) -> Path:
    """A copy of that project, for tests that change it."""
    shutil.copytree(finished, tmp_path, dirs_exist_ok=True)
    return tmp_path


def write_experiment(root: Path, name: str, config: ExperimentConfig) -> None:
    paths = experiment_paths(root, name)
    origin = provenance(config.digest(), config.seed)
    names = tuple(config.dataset.classes or ())
    metrics = {
        "accuracy": 0.9875, "n": 400, "class_names": list(names), "confusion_matrix": [[197, 3], [2, 198]],
        "calibration": {"bins": 15, "ece": 0.0312, "temperature": 1.625, "ece_scaled": 0.0104},
    }  # fmt: skip
    if config.classifier_of is None:
        write_json(paths.classifier.metrics, {**metrics, "provenance": origin})
    write_json(backbone_paths(root, config.stylex.perceptual_backbone).metrics, {"accuracy": 0.97})
    description = NetworkDescription(
        role="classifier", name=name, architecture="resnet18", width=0.125, channels=1, resolution=32, class_names=names
    )
    network = build_network("resnet18", 1, len(names), 0.125)
    save_network(paths.classifier.model, network, description, origin)
    write_judges(root, config)
    networks = build_networks(config.stylex, 32, 1, len(names), seed=0)
    save_stylex(paths.stylex_model, networks, origin)
    latents = write_analysis(paths, networks, names, origin)
    write_images(root, config, latents.ids)
    methods = list(paths.attribute_lists(config.method))
    write_effects(paths, latents, networks, origin)
    if len(methods) > 1:
        write_attributes(paths.wu_2021, read_attributes(paths.attributes)[names[0]], origin)
    write_explanations(paths, latents, networks, origin)
    write_sufficiency(paths, name, config, methods, origin)
    write_curves(paths, name, origin)
    theta = torch.linspace(-0.1, 0.1, latents.w.shape[1])
    save_tensors(
        paths.ganalyze, {"theta": theta}, {"target_class": names[-1], "reach": "4.0", "error": "1.0", **origin}
    )
    write_study(paths, name, origin)
    write_samples(paths, name, config, names, origin)
    write_diagnosis(paths, name, config, origin)
    write_counterfactuals(paths, name, config, methods, origin)


def write_judges(root: Path, config: ExperimentConfig) -> None:
    """Write an oracle that says the first class of everything, and a backbone that it is not."""
    known, names = dataset_spec(root, config.dataset.name).class_names, config.dataset.classes or []
    backbone = backbone_paths(root, config.stylex.perceptual_backbone).model
    oracle = oracle_paths(root, str(config.evaluation.oracle)).model
    save_random_network(backbone, "backbone", known)
    save_random_network(oracle, "oracle", known, seed=1)
    tensors, header = load_tensors(oracle)
    tensors["head.bias"][list(known).index(names[0])] += 1000
    save_tensors(oracle, tensors, header)


@torch.no_grad()
def write_analysis(
    paths: ExperimentPaths, networks: StylexNetworks, names: tuple[str, ...], origin: dict[str, str]
) -> Latents:
    random = torch.Generator().manual_seed(0)
    images = torch.rand(IMAGES, 1, 32, 32, generator=random) * 2 - 1
    logits = torch.stack([torch.arange(IMAGES) % 2 * 4.0 - 2, torch.zeros(IMAGES)], 1).flip(1)
    w = networks.encoder(images)
    styles = networks.synthesis.styles(networks.w_plus(w, logits))
    error = (networks.synthesis.render(styles) - images).abs().mean((1, 2, 3))
    changed = logits.clone()
    changed[0] = -changed[0]  # one reconstruction does not keep its class
    latents = Latents(
        ids=[f"test-{index:05d}" for index in range(IMAGES)], labels=logits.argmax(1), logits=logits, w=w,
        styles=styles.space, to_rgb_styles=styles.to_rgb, reconstruction_l1=error, reconstruction_perceptual=error,
        reconstruction_logits=changed, discriminator=torch.zeros(IMAGES), class_names=names, provenance=origin,
    )  # fmt: skip
    write_latents(paths.latents, latents)
    return latents


def write_effects(paths: ExperimentPaths, latents: Latents, networks: StylexNetworks, origin: dict[str, str]) -> None:
    layout = networks.synthesis.layout
    places = [layout.locate(index) for index in range(layout.size)]
    layers, channels = ([place[axis] for place in places] for axis in (0, 1))
    header = EffectsHeader(
        latents.class_names, 2.0, "float32", latents.minima.tolist(), latents.maxima.tolist(), layers, channels, origin
    )
    random = torch.Generator().manual_seed(1)
    with effects_writer(paths.effects(), header) as writer:
        for identity, logits in zip(latents.ids, latents.reconstruction_logits, strict=True):
            writer.add(identity, EffectsRow(logits, torch.randn(header.shape, generator=random)))
    found = [
        Attribute(target, rank, 10 * rank + index, *layout.locate(10 * rank + index), Direction.TO_MAX, 2.5 / rank, 3)
        for index, target in enumerate(latents.class_names)
        for rank in (1, 2, 3)
    ]
    write_attributes(paths.attributes, found, origin)


def write_images(root: Path, config: ExperimentConfig, ids: list[str]) -> None:
    """Write the split of the prepared dataset from which the analysed images come."""
    dataset, split, classes = config.dataset, config.attfind.split, config.dataset.classes or []
    known = dataset_spec(root, dataset.name).class_names
    labels = [known.index(classes[row % len(classes)]) for row in range(len(ids))]
    pixels = numpy.random.default_rng(0).integers(0, 256, (len(ids), 1, 32, 32), numpy.uint8)
    images = pyarrow.FixedShapeTensorArray.from_numpy_ndarray(pixels)
    batch = pyarrow.record_batch({"image": images, "label": pyarrow.array(labels), "id": pyarrow.array(ids)})
    manifest = DatasetPaths(root, dataset.name).manifest(dataset.resolution)
    manifest.parent.mkdir(parents=True, exist_ok=True)
    file = manifest.parent / f"{split}-00000.arrow"
    with pyarrow.ipc.new_file(str(file), batch.schema) as writer:
        writer.write_batch(batch)
    shards = {split: [{"file": file.name, "bytes": file.stat().st_size}]}
    content = {"class_names": known, "channels": 1, "resolution": dataset.resolution, "shards": shards}
    write_json(manifest, content)


def write_explanations(
    paths: ExperimentPaths, latents: Latents, networks: StylexNetworks, origin: dict[str, str]
) -> None:
    layout, decisions = networks.synthesis.layout, latents.reconstruction_logits.argmax(1).tolist()
    found = [
        [Step(1, row, *layout.locate(row), Direction.TO_MIN, 0.1, 0.4, False),
         Step(2, row + 20, *layout.locate(row + 20), Direction.TO_MAX, 0.4, 0.8, True)]
        for row in range(len(decisions))
    ]  # fmt: skip
    targets = [latents.class_names[1 - decision] for decision in decisions]
    steps = table(latents.ids, targets, found)
    origin = origin | {f"{IMAGES_TOWARDS} {name}": str(targets.count(name)) for name in latents.class_names}
    write_table(paths.independent, steps, origin)
    write_table(paths.subset, steps, origin)


def write_sufficiency(
    paths: ExperimentPaths, name: str, config: ExperimentConfig, methods: list[str], origin: dict[str, str]
) -> None:
    """Write what each method flips: StylEx the most, a half of that without CST, a quarter by the baseline."""
    common = {"experiment": name, "domain": config.domain, "shift": 2.0, "seed": config.seed}
    first, second = (*(config.dataset.classes or ()),)
    rows, flips = [], []
    for method in methods:
        share = {"stylex": 1, "without_cst": 2, "wu_2021": 4}[method]
        for k in (*range(1, 11), 40):
            counts = {first: (9 * min(k, 10) // share, 100), second: (5 * min(k, 10) // share, 100)}
            counts["*"] = (sum(flipped for flipped, _ in counts.values()), 200)
            for target, (flipped, n) in counts.items():
                low, high = wilson_interval(flipped, n)
                count = {"method": method, "target_class": target, "k": k, "n": n, "flipped": flipped}
                rows.append(common | count | {"fraction": flipped / n, "low": low, "high": high, "published": None})
        for target in (first, second):
            for image in range(100):
                first_k = 1 + image // 10 if image % share == 0 else None
                row = {"id": f"{target}-{image}", "method": method, "target_class": target, "first_k": first_k}
                flips.append(row)
    write_table(paths.sufficiency, by_both_protocols(pandas.DataFrame(rows)).reindex(columns=[*SUFFICIENCY]), origin)
    write_table(paths.flips, by_both_protocols(pandas.DataFrame(flips).astype({"first_k": "Int64"})), origin)
    write_random_flips(paths, flips, methods[0], origin)


def write_random_flips(
    paths: ExperimentPaths, flips: list[dict[str, object]], method: str, origin: dict[str, str]
) -> None:
    """Write two draws that flip nothing that the first attribute leaves."""
    left = [row for row in flips if row["method"] == method and row["first_k"] != 1]
    rows = [{"id": row["id"], "target_class": row["target_class"], "draw": draw} for draw in (1, 2) for row in left]
    write_table(paths.random_flips, pandas.DataFrame(rows).assign(first_k=None), origin)


def by_both_protocols(frame: pandas.DataFrame) -> pandas.DataFrame:
    """Return the same rows twice, once for each protocol."""
    return pandas.concat([frame.assign(protocol=protocol.value) for protocol in Protocol], ignore_index=True)


def write_curves(paths: ExperimentPaths, name: str, origin: dict[str, str]) -> None:
    frechet = pandas.DataFrame({"experiment": name, "n_attributes": range(11), "n": 200, "extractor": "net_32"})
    points = numpy.arange(11)
    frechet = frechet.assign(frechet_distance=1.0 + points, kid=0.001 * (1 + points), kid_sd=0.0002)
    frechet = frechet.assign(**dict.fromkeys(KID_FOLDS, 0.001 * (1 + points)))
    write_table(paths.frechet, by_both_protocols(frechet).reindex(columns=[*FRECHET]), origin)
    history = pandas.DataFrame({"images": 1000.0 * (points + 1), "g_adversarial": 1.0, "val_l1": 0.4 - 0.02 * points})
    history = history.assign(val_class_kept=0.9, val_frechet_distance=5.0 - 0.2 * points)
    write_table(paths.stylex_history, history, origin)
    Image.new("L", (96, 24), 128).save(paths.stylex_samples)


def write_study(paths: ExperimentPaths, name: str, origin: dict[str, str]) -> None:
    """Write what the questionnaire's key and the machine observer leave: two questions, each answered ten times."""
    common = {"experiment": name, "method": "stylex", "extractor": "net_32", "seed": 0}
    rows = [
        common | {"question": question, "n": 10, "correct": correct, "accuracy": correct / 10, "low": 0.5, "high": 1.0}
        for question, correct in (("1-01", 10), ("1-02", 8))
    ]
    total = {"question": "all", "n": 20, "correct": 18, "accuracy": 0.9, "low": 0.683, "high": 0.988}
    rows.append(common | total | {"population_sd": 0.1, "sample_sd": 0.1414})
    write_table(paths.observer, pandas.DataFrame(rows), origin)
    key = pandas.DataFrame({"study": "0123456789ab", "question": ["1-01", "1-02"], "method": "stylex"})
    write_table(paths.study_key, key, origin)


def write_samples(
    paths: ExperimentPaths, name: str, config: ExperimentConfig, names: tuple[str, ...], origin: dict[str, str]
) -> None:
    """Write that random samples are of both classes, and of the first alone without CST."""
    of_second = 0 if config.method == "without_cst" else 25
    decided = {"analysed": (4, 4), "reconstructed": (5, 3), "generated": (100 - of_second, of_second)}
    rows = [
        row
        for kind, (first, second) in decided.items()
        for row in shares(name, config, kind, torch.tensor([0] * first + [1] * second), names)
    ]
    write_table(paths.samples, pandas.DataFrame(rows), origin)


def write_diagnosis(paths: ExperimentPaths, name: str, config: ExperimentConfig, origin: dict[str, str]) -> None:
    """Write that the reconstructions are not of this very image, and that all else is good; without CST that all is."""
    measured = {
        "accuracy": 0.98,
        "sample_diversity": 0.6,
        "own_nearest": 0.9 if config.method == "without_cst" else 0.16,
    }
    write_table(paths.diagnosis, diagnosis_table(name, findings_of(measured, 2), 256, config.seed), origin)


def write_counterfactuals(
    paths: ExperimentPaths, name: str, config: ExperimentConfig, methods: list[str], origin: dict[str, str]
) -> None:
    """Write that attributes flip all images, and an oracle agrees to half; that random moves, twice, flip nothing."""
    apart = {"extractor": "net_32", "n_real": 900, "n_compared": 40, "frechet_distance": 30.0, "kid": 0.004}
    apart |= {"frechet_reconstructions": 3.0, "frechet_ratio": 10.0, "kid_sd": 0.001, "frechet_halves": 31.0}
    nothing = (
        apart | dict.fromkeys([key for key in apart if key[:7] in ("frechet", "kid", "kid_sd")]) | {"n_compared": 0}
    )
    images, rows = [], []
    for method in (*methods, "random", "pixel"):
        found = {
            target: [
                {
                    "id": f"{target}-{image}", "target_class": target, "draw": draw, "first_k": 2,
                    "flipped": method != "random", "oracle": target if image % 2 else "8", "agreed": bool(image % 2),
                    "neither": not image % 2, "l1": 0.25, "perceptual": 1.5, "cout": 0.5, "diversity": None,
                }
                for draw in range(2 if method == "random" else 1)
                for image in range(40)
            ]
            for target in (config.dataset.classes or ())
        }  # fmt: skip
        of_class = dict.fromkeys(found, nothing if method == "random" else apart)
        for protocol in Protocol:
            common = {"experiment": name, "method": method, "protocol": protocol}
            images += [record | common for records in found.values() for record in records]
            rows += [common | row for row in summaries(found, of_class, config)]
    write_table(paths.counterfactual_images, pandas.DataFrame(images, columns=list(IMAGE_COLUMNS)), origin)
    write_table(paths.counterfactuals, pandas.DataFrame(rows, columns=list(SUMMARY_COLUMNS)), origin)


@pytest.fixture
def factor_table(tmp_path_factory: pytest.TempPathFactory) -> Table:
    """The table of known factors of two seeds and of a training without classifier-specific training."""
    root = tmp_path_factory.mktemp("leaves")
    shutil.copytree(REPOSITORY / "config", root / "config")
    first = [("stylex", "sick", 1, "spots", 0.8, 1.0, 3), ("stylex", "healthy", 1, "size", 0.6, -2.0, 4)]
    first.append(("stylex", "healthy", 2, "spots", 0.9, -1.0, 3))  # the same coordinate, the other way
    second = [("stylex", "sick", 1, "spots", 0.6, 1.0, 3), ("stylex", "healthy", 1, "curl", 0.4, -2.0, 4)]
    chance = [("random", target, 1, None, None, None, 5) for target in ("sick", "healthy")]
    write_factors(root, "leaves", first + chance)
    write_factors(root, "leaves-seed1", second + chance)
    write_factors(root, "leaves-without-cst", [("without_cst", *first[0][1:]), *chance])
    names = ("leaves", "leaves-seed1", "leaves-without-cst")
    return factors_table(Run(root, {name: load_experiment(root, name) for name in names}))
