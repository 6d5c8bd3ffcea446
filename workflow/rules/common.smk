# The configuration, checked before anything is planned, and the functions that the rules share.
import functools
import json
import os
import shutil
import sys
from base64 import urlsafe_b64encode
from pathlib import Path

# The package beside this Snakefile, and the interpreter that runs Snakemake, whatever else is installed.
sys.path.insert(0, str(Path.cwd()))
os.environ.update(PATH=f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', os.defpath)}")

from stylex.project import load_project
from stylex.config import (
    DatasetPaths,
    ExperimentPaths,
    SuitePaths,
    backbone_paths,
    oracle_paths,
    recomputed_user_study,
    regressor_paths,
    weights_path,
)
from stylex.config.experiments import INCEPTION
from stylex.config.loading import unknown_name
from stylex.slurm import STAGES
from stylex.datasets.catalog import dataset_spec
from stylex.datasets.layouts import LAYOUTS
from stylex.datasets.layouts.own import stamp
from stylex.errors import ConfigError, StylexError
from stylex.slurm import ReasonsOfFailures
from stylex.figures.names import FIGURE_NAMES, RELEASED, RELEASED_WITH_IMAGES, check_names, figure_files, figure_names
from stylex.pretrained import WEIGHTS
from stylex.protocols import Protocol
from stylex.source import CHECKED, code_digest
from snakemake.logging import logger


def stop(message):
    print(f"error: {message}", file=sys.stderr)
    raise SystemExit(2)


def asked_suite():
    """The suite that `--config suite=NAME` names, as it is written: Snakemake takes 2024_01 for the number 202401."""
    written = [each.partition("=") for each in workflow.config_settings.config_args or []]
    names = [value.strip("'\"") for key, _, value in written if key == "suite"]
    return names[-1] if names else str(config["suite"]) if "suite" in config else None


unknown = sorted(set(config) - {"suite"})
if unknown:
    stop(f"--config {unknown[0]}: {unknown_name('key', unknown[0], ['suite'])}")
try:
    PROJECT = load_project(Path(), asked_suite())
    check_names(PROJECT.suite_name, PROJECT.suite.experiments)
except ConfigError as error:
    stop(error)

SUITE = PROJECT.suite_name
SUITE_PATHS = SuitePaths(Path(), SUITE)
EXPERIMENT = ExperimentPaths(Path(), "{experiment}")
ASIDE = ExperimentPaths(Path(), "{experiment}", aside="{protocol}")  # of a protocol that is not the main one
BACKBONE = backbone_paths(Path(), "{backbone}")
ORACLE = oracle_paths(Path(), "{oracle}")
REGRESSOR = regressor_paths(Path(), "{regressor}")
DATASET = DatasetPaths(Path(), "{dataset}")
ENVIRONMENT = "../../environment.yml"

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
    return f"{STAGES[stage].group}-{{experiment}}"


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
FOR_DATA = tuple(f"stylex.config.{name}" for name in ("experiments", "finetuning", "training"))
FOR_CLASSIFIERS = (*CHECKED, "stylex.config.training")


def code_of(verb, without=CHECKED):
    """A digest of the code that a verb runs, as a parameter, so that editing it reruns the rule."""
    command = f"stylex.cli.{verb.replace('-', '_').replace(' ', '.')}"
    return lambda wildcards: digest_of(command, without=without)


def sections(*keys):
    """The values of an experiment's configuration that a stage depends on, by dotted key, as JSON."""

    return lambda wildcards: json.dumps(selected(wildcards.experiment, keys))


def suite_sections(*keys):
    """The suite, and the named sections of each of its experiments, as JSON."""
    experiments = {name: selected(name, keys) for name in PROJECT.suite.experiments}
    return json.dumps({"suite": PROJECT.suite.model_dump(mode="json"), **experiments})


# What the tables of a suite say beside their numbers; which experiments differ only by their seed depends on every key.
TABLE_KEYS = [
    "released",
    "released_images",
    "domain",
    "published_domain",
    "published_method",
    "dataset",
    "classifier_of",
    "stylex.conditioning",
]
TABLE_KEYS += ["attfind.protocols", "attfind.shift", "evaluation.explanation_steps"]
if "factors" in PROJECT.suite.tables:
    TABLE_KEYS += ["seed", "evaluation.factor_threshold"]
if "seeds" in PROJECT.suite.tables:
    TABLE_KEYS += ["seed", "classifier", "stylex", "attfind", "evaluation"]


@functools.cache
def content_of(experiment):
    return PROJECT.experiments[experiment].model_dump(mode="json")


def selected(experiment, keys):
    content = content_of(experiment)
    return {key: functools.reduce(dict.__getitem__, key.split("."), content) for key in keys}


@functools.cache
def dataset(name):
    """What is known of a dataset, whether an experiment of the suite uses it or not."""
    try:
        return dataset_spec(Path(), name)
    except ConfigError as error:
        stop(error)


def described(name, **keys):
    """Keys of a dataset's file, as JSON; of a built-in dataset none."""
    file = dataset(name).file
    return file.model_dump_json(**keys) if file else ""


@functools.cache
def own_stamp(name):
    """What tells of a user's own images whether they may have changed: names, sizes and times."""
    try:
        return stamp(Path(), dataset(name))
    except StylexError as error:
        stop(error)


def own_table(wildcards):
    file = dataset(wildcards.dataset).file
    return [file.csv] if file and file.csv else []


def raw_record(wildcards):
    return DatasetPaths(Path(), dataset(wildcards.dataset).raw).raw / "source.json"


def preparation_code(wildcards):
    """A digest of the code that prepares a dataset; its layout is imported by name, and no other counts."""
    verb, file = "stylex.cli.prepare", dataset(wildcards.dataset).file
    without = (*FOR_DATA, "stylex.datasets.download", "stylex.datasets.layouts.__init__")
    if file is None:
        return digest_of(verb, without=(*without, "stylex.datasets.image_files"))
    # what the catalog knows of it stands in its file
    without = (*without, "stylex.datasets.built_in", "stylex.datasets.catalog")
    return digest_of(verb, LAYOUTS[file.layout], without=without)


def manifest(wildcards):
    dataset = PROJECT.experiments[wildcards.experiment].dataset
    return DatasetPaths(Path(), dataset.name).manifest(dataset.resolution)


def originals_manifest(wildcards):
    """The dataset that has the analysed images themselves; those of a released model may be another's."""
    experiment = PROJECT.experiments[wildcards.experiment]
    dataset = experiment.released_images or experiment.dataset.name
    return DatasetPaths(Path(), dataset).manifest(experiment.dataset.resolution)


def backbone_manifest(wildcards):
    config = PROJECT.backbones[wildcards.backbone]
    return DatasetPaths(Path(), config.dataset).manifest(config.resolution)


def backbone_model(wildcards):
    return backbone_paths(Path(), PROJECT.experiments[wildcards.experiment].stylex.perceptual_backbone).model


def frechet_backbone(wildcards):
    """The backbone whose features are compared; a released model has none."""
    return [] if PROJECT.experiments[wildcards.experiment].released else backbone_model(wildcards)


def regressor_manifest(wildcards):
    config = PROJECT.regressors[wildcards.regressor]
    return DatasetPaths(Path(), config.dataset).manifest(config.resolution)


def oracle_manifest(wildcards):
    config = PROJECT.oracles[wildcards.oracle]
    return DatasetPaths(Path(), config.dataset).manifest(config.resolution)


def oracle_model(wildcards):
    """The oracle that is asked about counterfactuals, where there is one."""
    oracle = PROJECT.experiments[wildcards.experiment].evaluation.oracle
    return [oracle_paths(Path(), oracle).model] if oracle else []


def factor_regressor(wildcards):
    return regressor_paths(Path(), PROJECT.experiments[wildcards.experiment].evaluation.factor_regressor)


def paths_of(experiment):
    """Paths of an experiment by name, with its classifier's wherever that is."""
    return ExperimentPaths(Path(), experiment, PROJECT.experiments[experiment].classifier_of)


def classifier_model(wildcards):
    return paths_of(wildcards.experiment).classifier.model


def attribute_lists(wildcards):
    """The lists of attributes of an experiment by its main protocol."""
    method = PROJECT.experiments[wildcards.experiment].method
    return list(paths_of(wildcards.experiment).attribute_lists(method).values())


def by_protocols(wildcards):
    """The paths of an experiment by each of its protocols."""
    attfind, paths = PROJECT.experiments[wildcards.experiment].attfind, paths_of(wildcards.experiment)
    return [paths.under(protocol, attfind.protocol) for protocol in attfind.protocols]


def all_attribute_lists(wildcards):
    method = PROJECT.experiments[wildcards.experiment].method
    return [path for paths in by_protocols(wildcards) for path in paths.attribute_lists(method).values()]


def all_attributes(wildcards):
    return [paths.attributes for paths in by_protocols(wildcards)]


def effects_aside(wildcards):
    attfind, paths = PROJECT.experiments[wildcards.experiment].attfind, paths_of(wildcards.experiment)
    return paths.under(wildcards.protocol, attfind.protocol).effects_shards(attfind.shards)


def compared(wildcards):
    """What the figure of methods shows: sufficiency of all of the suite that explain the same classifier, same images."""
    explained, dataset = paths_of(wildcards.experiment).classifier, PROJECT.experiments[wildcards.experiment].dataset
    every = [paths_of(name) for name in PROJECT.suite.experiments if PROJECT.experiments[name].dataset == dataset]
    return [paths.sufficiency for paths in every if paths.classifier == explained]


def fid_weights(wildcards):
    """The weights of pytorch-fid's Inception, where the experiment asks for a FID."""
    evaluation = PROJECT.experiments[wildcards.experiment].evaluation
    wanted = INCEPTION in evaluation.frechet_extractors
    return [weights_path(Path(), INCEPTION, evaluation.inception_weights)] if wanted else []


def lpips_weights(wildcards):
    """The weights of LPIPS's network, where the experiment asks for LPIPS."""
    stylex = PROJECT.experiments[wildcards.experiment].stylex
    return [weights_path(Path(), stylex.lpips_network, stylex.lpips_weights)] if stylex.lpips_network else []


def initial_weights(config):
    """The file of weights that a training starts from, where it does: published, or given."""
    name, file = config.imagenet_weights, config.initial_file
    return [weights_path(Path(), name or "", file)] if name or file else []


def figures_of(experiment, names):
    """The files of the figures `names` of an experiment, those of its animations included."""
    return [SUITE_PATHS.figure(experiment, name, suffix) for name, suffix in figure_files(names)]


def suite_figures():
    experiments = {name: PROJECT.experiments[name] for name in PROJECT.suite.experiments}
    return [path for name, each in experiments.items() for path in figures_of(name, figure_names(each))]


def suite_tables():
    return [SUITE_PATHS.table(name, suffix) for name in PROJECT.suite.tables for suffix in ("csv", "md", "tex")]


def with_provenance(table):
    """A CSV table and the file beside it that says where its numbers come from."""
    return [table, table.with_suffix(".provenance.json")]


def of_all_experiments(artifacts):
    """Paths of the same artifacts of all experiments of the suite; `artifacts` maps ExperimentPaths to paths."""
    return [path for name in PROJECT.suite.experiments for path in artifacts(paths_of(name))]


def table_inputs(paths):
    """What the tables and the report read of one experiment: its numbers, and the headers that say where they come from."""
    experiment = PROJECT.experiments[paths.name]
    tables = [*paths.attribute_lists(experiment.method).values(), paths.sufficiency, paths.flips, paths.random_flips]
    if experiment.gives("frechet"):
        tables.append(paths.frechet)
    if not experiment.released:
        tables += [paths.independent, paths.subset, paths.study_key, paths.observer]
        tables += [paths.samples] if "samples" in PROJECT.suite.tables else []
        if "counterfactuals" in PROJECT.suite.tables:
            tables += [paths.counterfactuals, paths.counterfactual_images]
        tables += [paths.factors, paths.factor_fit] if "factors" in PROJECT.suite.tables else []
    numbers = [path for table in tables for path in with_provenance(table)]
    classifier = paths.classifier.model if experiment.released else paths.classifier.metrics
    return [*numbers, classifier, paths.stylex_model, paths.latents, *effects_of(paths.name)]


def report_inputs(paths):
    """What the report alone reads of one experiment."""
    maps = with_provenance(paths.map_numbers)
    if PROJECT.experiments[paths.name].released:
        return maps
    pictures = [paths.stylex_samples, paths.stylex_history, paths.independent, paths.subset]
    return [*maps, *pictures, *with_provenance(paths.diagnosis)]


def experiments_where(condition):
    """The names of the experiments that are so, as a constraint of the wildcard."""
    return "|".join(name for name, each in PROJECT.experiments.items() if condition(each)) or "-"


def encoded_shards(wildcards):
    paths = paths_of(wildcards.experiment)
    return list(map(paths.encoded, range(PROJECT.experiments[wildcards.experiment].attfind.encode_shards)))


def effects_of(experiment):
    """All shards of the effects of an experiment."""
    return paths_of(experiment).effects_shards(PROJECT.experiments[experiment].attfind.shards)


def effects_sections(wildcards):
    """What the effects depend on; a screened search measures for one threshold and tolerance."""
    keys = ["protocols", "shift", "precision", "discriminator_filter", "shards", "engine"]
    if PROJECT.experiments[wildcards.experiment].attfind.engine == "screened":
        keys += ["confidence", "threshold", "tolerance", "max_attributes"]
    return sections("seed", *(f"attfind.{key}" for key in keys))(wildcards)


def effects(wildcards):
    return effects_of(wildcards.experiment)


def answers_of_people():
    """Answers that people gave, here or in the published studies: read where there are some, never waited for."""
    people = of_all_experiments(lambda paths: [paths.study_people])
    return [path for path in (*people, recomputed_user_study(Path())) if path.is_file()]


def refuse_unrecorded():
    """Stop when Snakemake has no record of a result, and does not hold it for incomplete either; to call after all rules.

    Under `dvc repro` outputs persist and Snakemake decides what is stale. Where the record of one output of a job is
    missing, it cannot see that parameters or code changed, and DVC would write down a provenance that is not true.
    """
    outputs = [output for rule in workflow.rules for output in rule.output]
    for path in sorted(path for top in ("data/processed", "data/raw", "results") for path in Path(top).rglob("*")):
        name = urlsafe_b64encode(str(path).encode()).decode()
        known = any(Path(".snakemake", state, name).is_file() for state in ("metadata", "incomplete"))
        if not known and any(output.match(str(path)) for output in outputs):
            stop(
                f".snakemake/metadata has no record of what made {path}: `dvc checkout` brings back results and records as"
                " DVC has them; if you know that all results are current, `snakemake --cores 1 --touch --forceall` makes"
                " records"
            )
