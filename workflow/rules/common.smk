# The configuration, checked before anything is planned, and the functions that the rules share.
import functools
import json
import os
import shutil
import sys
from base64 import urlsafe_b64encode
from pathlib import Path

import yaml
from snakemake.logging import logger

# The package beside this Snakefile, wherever Snakemake works, and the interpreter that runs Snakemake, whatever else is
# installed.
SOURCE = Path(str(workflow.current_basedir)).parents[1]
if (SOURCE / "stylex").is_dir():
    sys.path.insert(0, str(SOURCE))
    os.environ.update(PYTHONPATH=os.pathsep.join(filter(None, [str(SOURCE), os.getenv("PYTHONPATH")])))
os.environ.update(PATH=f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', os.defpath)}")

from stylex.project import load_project
from stylex.config import (
    DatasetPaths,
    ExperimentPaths,
    GalleryPaths,
    SuitePaths,
    backbone_paths,
    load_pipeline,
    oracle_paths,
    recomputed_user_study,
    regressor_paths,
    weights_path,
)
from stylex.config.base import INCEPTION, Protocol
from stylex.config.loading import OVERRIDES, parse_overrides, unknown_name
from stylex.slurm import STAGES
from stylex.datasets.catalog import dataset_spec
from stylex.datasets.layouts import LAYOUTS
from stylex.datasets.layouts.own import stamp
from stylex.errors import ConfigError, StylexError
from stylex.slurm import ReasonsOfFailures
from stylex.figures.catalog import RELEASED, RELEASED_WITH_IMAGES, TRAINED, check_names, figure_files, figure_names
from stylex.pretrained import WEIGHTS
from stylex.source import CHECKED, code_digest

sys.path.insert(1, str(SOURCE / "workflow"))
import records


def stop(message):
    print(f"error: {message}", file=sys.stderr)
    raise SystemExit(2)


def written(key):
    """The texts that `--config KEY=…` has, as they are written: Snakemake reads 2024_01 as the number 202401."""
    pairs = [each.partition("=") for each in workflow.config_settings.config_args or []]
    return [text for name, _, text in pairs if name == key]


def overrides():
    """Other values of keys of the experiments, as `--config 'experiment={seed: 7}'`, in JSON for `STYLEX_OVERRIDES`."""
    # Of files of configuration and of a module first; Snakemake leaves what the command line says as texts.
    contents = [config["experiment"], *map(yaml.safe_load, written("experiment"))]
    if not all(isinstance(each, dict) for each in contents):
        raise ConfigError(
            "--config experiment: keys and values go here, as 'experiment={stylex.training.images: 1000}'"
        )
    texts = [f"experiment.{key}={json.dumps(value)}" for content in contents for key, value in content.items()]
    return parse_overrides(texts)


def checked(load):
    """What `load` returns; a mistake in the configuration is one line and exit code 2."""
    try:
        return load()
    except StylexError as error:
        stop(error)
    except yaml.YAMLError as error:
        stop(f"--config experiment: {' '.join(str(error).split())}")


checked(lambda: load_pipeline(Path()))  # says more clearly than Snakemake what is wrong with the file


configfile: "config/config.yaml"


if unknown := sorted(set(config) - {"suite", "experiment"}):
    stop(f"--config {unknown[0]}: {unknown_name('key', unknown[0], ['suite', 'experiment'])}")
if config.get("experiment") is not None:
    os.environ[OVERRIDES] = checked(overrides)  # for the verbs, too
PROJECT = checked(lambda: load_project(Path(), str([config["suite"], *written("suite")][-1]).strip("'\"")))
checked(lambda: check_names(PROJECT.suite_name, PROJECT.suite.pictured))

SUITE = PROJECT.suite_name
SUITE_PATHS = SuitePaths(Path(), SUITE)
GALLERY = GalleryPaths(Path(), SUITE)
EXPERIMENT = ExperimentPaths(Path(), "{experiment}")
ASIDE = ExperimentPaths(Path(), "{experiment}", aside="{protocol}")  # of a protocol that is not the main one
DATASET = DatasetPaths(Path(), "{dataset}")
# The networks that measure: where each is, and how those of the suite are configured.
NETWORKS = {
    "backbone": (backbone_paths(Path(), "{backbone}"), PROJECT.backbones),
    "oracle": (oracle_paths(Path(), "{oracle}"), PROJECT.oracles),
    "regressor": (regressor_paths(Path(), "{regressor}"), PROJECT.regressors),
}
ENVIRONMENT = "../../environment.yml"
TABLES = yaml.safe_load((Path(workflow.source_path("../stages.yaml"))).read_text())
MEASURES = TABLES["measures"]
KEYS = TABLES["keys"] | {name: measure["keys"] for name, measure in MEASURES.items()}
# Which experiments differ only by their seed depends on every key.
if "factors" in PROJECT.suite.tables:
    KEYS["tables"] += ["seed", "evaluation.factor_threshold"]
if {"seeds", "counterfactual_seeds"} & {*PROJECT.suite.tables}:
    KEYS["tables"] += ["seed", "classifier", "stylex", "attfind", "evaluation"]

# Of a CPU job that runs torch. At 32x32 a second thread saves a training step 13 % (docs/method-notes.md), a second
# experiment beside it doubles the work done. Larger networks on a CPU: `--set-threads train=8`.
CPU_THREADS = 1
FIRST = 1  # priority of what most other jobs wait for, over the default 0: the longest way through a suite begins early
PREPARE_PROCESSES = 8  # that decode image files, where there are as many cores


if workflow.is_main_process and shutil.which("squeue"):
    logger.addFilter(ReasonsOfFailures())


def requests(stage):
    """The `resources:` of a stage's rule, from the one table of stages and config/site.yaml."""
    return PROJECT.site.requests(stage)


def training_sharing(wildcards, threads):
    """Options of `stylex train`. A resource, not a parameter: how many share a training is no reason to repeat it."""
    return PROJECT.site.sharing(threads) if "SLURM_JOB_ID" in os.environ else f"--threads {threads}"


def group_of(stage):
    """The `group:` of a small stage: those of one experiment share a Slurm job. Without Slurm it has no meaning."""
    return f"{STAGES[stage].group}-{{experiment}}" if STAGES[stage].group else None


wildcard_constraints:
    experiment="|".join(PROJECT.experiments),
    backbone="|".join(PROJECT.backbones),
    oracle="|".join(PROJECT.oracles) or "-",
    regressor="|".join(PROJECT.regressors) or "-",
    dataset="[^/]+",
    weights="|".join(WEIGHTS),
    resolution=r"\d+",
    shard=r"\d{5}",
    protocol="|".join(Protocol),


digest_of = functools.cache(code_digest)
# Data are the same whatever is asked of them, and classifiers know nothing of the networks of StylEx; `load_experiment`
# and its like check all of a file nevertheless.
FOR_DATA = tuple(f"stylex.config.{name}" for name in ("analysis", "experiments", "finetuning", "imported", "training"))
FOR_CLASSIFIERS = (*CHECKED, "stylex.config.analysis", "stylex.config.training")
# Who explains a classifier that is trained here runs nothing of what reads one of the user's own.
FOR_OWN = tuple(f"stylex.classifiers.{name}" for name in ("checks", "formats", "imported"))


def code_of(verb, without=CHECKED):
    """A digest of the code that a verb runs, as a parameter, so that editing it reruns the rule."""
    command = f"stylex.cli.{verb.replace('-', '_').replace(' ', '.')}"

    def digest(wildcards):
        experiment = PROJECT.experiments.get(getattr(wildcards, "experiment", None))
        own = experiment is not None and experiment.classifier.imported
        return digest_of(command, without=(*without, *(() if own else FOR_OWN)))

    return digest


@functools.cache
def content_of(experiment):
    return PROJECT.experiments[experiment].model_dump(mode="json")


def selected(experiment, keys):
    content = content_of(experiment)
    return {key: functools.reduce(dict.__getitem__, key.split("."), content) for key in keys}


def sections(rule, more=()):
    """The values of the keys of an experiment that a rule depends on, as JSON."""
    return lambda wildcards: json.dumps(selected(wildcards.experiment, [*KEYS[rule], *more]))


def suite_sections(rule):
    """The suite, and the values of the keys of each of its experiments, as JSON."""
    experiments = {name: selected(name, KEYS[rule]) for name in PROJECT.suite.runs}
    return json.dumps({"suite": PROJECT.suite.model_dump(mode="json"), **experiments})


def effects_sections(wildcards):
    """What the effects depend on; a screened search measures for one threshold and tolerance."""
    keys = ["protocols", "shift", "precision", "discriminator_filter", "shards", "engine"]
    if PROJECT.experiments[wildcards.experiment].attfind.engine == "screened":
        keys += ["confidence", "threshold", "threshold_margins", "tolerance", "max_attributes"]
    return json.dumps(selected(wildcards.experiment, ["seed", *(f"attfind.{key}" for key in keys)]))


@functools.cache
def dataset(name):
    """What is known of a dataset, whether an experiment of the suite uses it or not."""
    return checked(lambda: dataset_spec(Path(), name))


def described(name, **keys):
    """Keys of a dataset's file, as JSON; of a built-in dataset none."""
    file = dataset(name).file
    return file.model_dump_json(**keys) if file else ""


# What tells of a user's own images whether they may have changed: names, sizes and times.
own_stamp = functools.cache(lambda name: checked(lambda: stamp(Path(), dataset(name))))


def preparation_code(wildcards):
    """A digest of the code that prepares a dataset; its layout is imported by name, and no other counts."""
    verb, file = "stylex.cli.prepare", dataset(wildcards.dataset).file
    without = (*FOR_DATA, "stylex.datasets.download", "stylex.datasets.layouts.__init__")
    if file is None:
        return digest_of(verb, without=(*without, "stylex.datasets.image_files"))
    # what the catalog knows of it stands in its file
    without = (*without, "stylex.datasets.built_in", "stylex.datasets.catalog")
    return digest_of(verb, LAYOUTS[file.layout], without=without)


def manifest_of(dataset, resolution):
    return DatasetPaths(Path(), dataset).manifest(resolution)


def weights_of(name, file, wanted=True):
    """A file of weights, published or given, where one is wanted."""
    return [weights_path(Path(), name or "", file)] if wanted and (name or file) else []


def paths_of(experiment):
    """Paths of an experiment by name, with its classifier's wherever that is."""
    return ExperimentPaths(Path(), experiment, PROJECT.experiments[experiment].classifier_of)


def by_protocols(experiment, paths):
    """The paths of an experiment by each of its protocols."""
    return [paths.under(protocol, experiment.attfind.protocol) for protocol in experiment.attfind.protocols]


def compared(experiment, paths):
    """What the figure of methods shows: sufficiency of all of the suite that explain the same classifier, same images."""
    beside = {name: PROJECT.experiments[name].dataset for name in PROJECT.suite.runs}
    every = [paths_of(name) for name, dataset in beside.items() if dataset == experiment.dataset]
    return [each.sufficiency for each in every if each.classifier == paths.classifier]


def fid_weights(evaluation):
    return weights_of(INCEPTION, evaluation.inception_weights, INCEPTION in evaluation.frechet_extractors)


# Inputs of an experiment, by its configuration and its paths: those of one that differ with the configuration.
INPUTS = {
    "model": lambda each, paths: paths.stylex_model,
    "history": lambda each, paths: paths.stylex_history,
    "manifest": lambda each, paths: manifest_of(each.dataset.name, each.dataset.resolution),
    # of the analysed images themselves; those of a released model may be another dataset's
    "originals": lambda each, paths: manifest_of(each.released_images or each.dataset.name, each.dataset.resolution),
    "classifier": lambda each, paths: paths.classifier.model,
    "initial_weights": lambda each, paths: weights_of(each.classifier.imagenet_weights, each.classifier.initial_file),
    "backbone": lambda each, paths: backbone_paths(Path(), each.stylex.perceptual_backbone).model,
    # a released model has no backbone
    "frechet_backbone": lambda each, paths: [] if each.released else INPUTS["backbone"](each, paths),
    "oracle": lambda each, paths: [oracle_paths(Path(), name).model for name in [each.evaluation.oracle] if name],
    # the images themselves, where they are to be had
    "shown": lambda each, paths: [INPUTS["originals"](each, paths)] if each.gives("frechet") else [],
    # which an oracle must not be
    "backbone_of_oracle": lambda each, paths: [INPUTS["backbone"](each, paths)] if each.evaluation.oracle else [],
    "regressor": lambda each, paths: regressor_paths(Path(), each.evaluation.factor_regressor).model,
    "regressor_metrics": lambda each, paths: regressor_paths(Path(), each.evaluation.factor_regressor).metrics,
    "fid_weights": lambda each, paths: fid_weights(each.evaluation),
    "lpips_weights": lambda each, paths: weights_of(
        each.stylex.lpips_network, each.stylex.lpips_weights, bool(each.stylex.lpips_network)
    ),
    "encoded": lambda each, paths: list(map(paths.encoded, range(each.attfind.encode_shards))),
    "effects": lambda each, paths: paths.effects_shards(each.attfind.shards),
    "attribute_lists": lambda each, paths: list(paths.attribute_lists(each.method).values()),
    "all_attribute_lists": lambda each, paths: [
        path for one in by_protocols(each, paths) for path in one.attribute_lists(each.method).values()
    ],
    "all_attributes": lambda each, paths: [one.attributes for one in by_protocols(each, paths)],
    "compared": compared,
}


def given(name):
    """An input by its name in `INPUTS`, or else a path of ExperimentPaths."""
    if name not in INPUTS:
        return getattr(EXPERIMENT, name)
    return lambda wildcards: INPUTS[name](PROJECT.experiments[wildcards.experiment], paths_of(wildcards.experiment))


def network_inputs(kind):
    """The inputs of a classifier's, backbone's, oracle's or regressor's training."""
    if kind == "classifier":
        return {"manifest": given("manifest"), "weights": given("initial_weights")}
    configs = NETWORKS[kind][1]

    def manifest(wildcards):
        return manifest_of(configs[wildcards[kind]].dataset, configs[wildcards[kind]].resolution)

    def weights(wildcards):
        return weights_of(configs[wildcards[kind]].imagenet_weights, configs[wildcards[kind]].initial_file)

    return {"manifest": manifest, "weights": weights}


def network_config(kind):
    return lambda wildcards: NETWORKS[kind][1][wildcards[kind]].model_dump_json()


def effects_aside(wildcards):
    attfind, paths = PROJECT.experiments[wildcards.experiment].attfind, paths_of(wildcards.experiment)
    return paths.under(wildcards.protocol, attfind.protocol).effects_shards(attfind.shards)


def experiments_where(condition):
    """The names of the experiments that are so, as a constraint of the wildcard."""
    return "|".join(name for name, each in PROJECT.experiments.items() if condition(each)) or "-"


def figures_of(experiment, names):
    """The files of the figures `names` of an experiment, those of its animations included."""
    return [SUITE_PATHS.figure(experiment, name, suffix) for name, suffix in figure_files(names)]


def suite_figures():
    experiments = {name: PROJECT.experiments[name] for name in PROJECT.suite.pictured}
    return [path for name, each in experiments.items() for path in figures_of(name, figure_names(each))]


def with_provenance(path):
    """A file, and beside a CSV table the one that says where its numbers come from."""
    return [path, path.with_suffix(".provenance.json")] if path.suffix == ".csv" else [path]


def suite_tables():
    files = [SUITE_PATHS.table(name, suffix) for name in PROJECT.suite.tables for suffix in ("csv", "md", "tex")]
    return [path for file in files for path in with_provenance(file)]


def of_all_experiments(artifacts):
    """Paths of the same artifacts of all experiments of the suite; `artifacts` maps ExperimentPaths to paths."""
    return [path for name in PROJECT.suite.runs for path in artifacts(paths_of(name))]


def table_inputs(paths):
    """What the tables and the report read of one experiment: its numbers, and the headers that say where they come from."""
    experiment, named = PROJECT.experiments[paths.name], {*PROJECT.suite.tables}
    tables = [*paths.attribute_lists(experiment.method).values(), paths.sufficiency, paths.flips, paths.random_flips]
    if experiment.gives("frechet"):
        tables.append(paths.frechet)
    if not experiment.released:
        tables += [paths.independent, paths.subset] if "subset" in named else []
        tables += [paths.study_key, paths.observer] if "user_study" in named else []
        tables += [paths.samples] if "samples" in named else []
        tables += [paths.diagnosis] if "counterfactual_seeds" in named else []
        if {"counterfactuals", "counterfactual_seeds"} & named:
            tables += [paths.counterfactuals, paths.counterfactual_images]
        if "factors" in named and experiment.gives("factors"):
            tables += [paths.factors, paths.factor_fit]
    numbers = [path for table in tables for path in with_provenance(table)]
    classifier = paths.classifier.model if experiment.released else paths.classifier.metrics
    return [*numbers, classifier, paths.stylex_model, paths.latents, *INPUTS["effects"](experiment, paths)]


def report_inputs(paths):
    """What the report alone reads of one experiment."""
    tables = [paths.map_numbers]
    if not PROJECT.experiments[paths.name].released:
        tables += [paths.stylex_history, paths.independent, paths.subset, paths.diagnosis]
    return [path for table in tables for path in with_provenance(table)]


def results_of(paths):
    """All that a suite needs of one experiment."""
    drawn = paths.name in PROJECT.suite.pictured and not PROJECT.experiments[paths.name].released
    return [*table_inputs(paths), *report_inputs(paths), *([paths.ganalyze] if drawn else [])]


def answers_of_people():
    """Answers that people gave, here or in the published studies: read where there are some, never waited for."""
    people = of_all_experiments(lambda paths: [paths.study_people])
    return [path for path in (*people, recomputed_user_study(Path())) if path.is_file()]


def names_of_people():
    """Names that people gave to attributes: read where there are some, never waited for."""
    return [path for path in of_all_experiments(lambda paths: [paths.names]) if path.is_file()]
