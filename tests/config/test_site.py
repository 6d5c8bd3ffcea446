"""config/site.yaml and the one table of stages: what a Slurm job asks for, at each attempt."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from stylex.errors import ConfigError
from stylex.slurm import GROUPS, STAGES, SiteConfig, load_site

ROOT = Path(__file__).parents[2]
MISTAKES = {
    "partiton: gpu": ["partiton", "did you mean 'partition'?"],
    "max_minutes: 0": ["max_minutes = 0", "greater than or equal to 1"],
    "max_minutes: 4h": ["max_minutes = '4h'", "integer"],
    "training_gpus: none": ["training_gpus = 'none'"],
    "account: my project": ["account = 'my project'"],
    "stages: {trian: {minutes: 60}}": ["stages.trian", "did you mean 'train'?"],
    "stages: {train: {memory: 60}}": ["stages.train.memory", "did you mean 'memory_mb'?"],
    "stages: {train: 60}": ["stages.train = 60", "memory_mb, minutes"],
    "sbatch: ['--time=60']": ["'--time=60' has a key of its own here: write stages"],
    "sbatch: [--reservation a]": ["'--reservation a' is not of the form --name or --name=value"],
    "sbatch: ['--comment=$(id)']": ["'--comment=$(id)' is not of the form"],
    "{gpu: false, gpu_type: a100}": ["gpu_type asks for GPUs, but gpu is false: remove one of them"],
    "{gpu: false, training_gpus: 4}": ["training_gpus asks for GPUs"],
}


def site(**keys) -> SiteConfig:
    return SiteConfig.model_validate(keys)


@pytest.mark.parametrize("mistake", MISTAKES)
def test_mistake_is_one_line_that_names_it(root, mistake):
    (root / "config/site.yaml").write_text(mistake + "\n")
    with pytest.raises(ConfigError) as caught:
        load_site(root)
    line = str(caught.value)
    assert line.startswith(f"{root / 'config/site.yaml'}: ") and "\n" not in line
    assert all(text in line for text in MISTAKES[mistake])


def test_without_the_file_and_with_all_commented_out_nothing_is_special(root):
    plain = load_site(root)
    (root / "config/site.yaml").write_text("# partition: gpu\n")
    assert load_site(root) == plain
    assert set(plain.requests("prepare")) == {"mem_mb", "runtime", "slurm_extra"}
    assert plain.requests("train")["gres"] == "gpu:1"


def test_example_is_valid_and_shows_every_key(root):
    shutil.copy(ROOT / "config/site.example.yaml", root / "config/site.yaml")
    requests = load_site(root).requests("train")
    assert set(yaml.safe_load((root / "config/site.yaml").read_text())) == set(SiteConfig.model_fields)
    assert requests["gres"] == "gpu:a100:1" and requests["slurm_partition"] == "gpu"
    assert requests["slurm_extra"] == "--open-mode=append --reservation=course"


def test_gpus_of_a_training_are_counted_on_each_node():
    shared = site(training_gpus=4, training_nodes=2, partition="all")
    train, encode = shared.requests("train"), shared.requests("encode")
    assert (train["gres"], train["nodes"]) == ("gpu:4", 2)
    assert (train["tasks"], train["mpi"]) == (2, "srun")  # a task per node, and our command starts the processes
    assert encode["gres"] == "gpu:1" and not {"nodes", "tasks", "mpi"} & set(encode)
    assert train["slurm_partition"] == encode["slurm_partition"] == "all"
    assert not [stage for stage in STAGES if "gres" in site(gpu=False, partition="cpu").requests(stage)]


@pytest.mark.parametrize(
    ("keys", "options"),
    [
        ({}, "--threads 8"),
        ({"training_gpus": 4}, "--threads 2 --processes 4"),
        ({"training_nodes": 2}, "--threads 8 --nodes 2"),
        ({"training_gpus": 16, "training_nodes": 3}, "--threads 1 --processes 16 --nodes 3"),
    ],
)
def test_a_training_uses_what_it_asked_for_and_divides_its_threads(keys, options):
    assert site(**keys).sharing(threads=8) == options


def test_memory_and_time_grow_with_the_attempt_but_for_a_training_that_resumes():
    plain, changed = site(), site(stages={"train": {"minutes": 90}})
    for stage in STAGES:
        assert plain.memory_mb(stage, 3) == 3 * plain.memory_mb(stage, 1) == 3 * STAGES[stage].memory_mb
        assert plain.minutes(stage, 3) == plain.minutes(stage, 1) * (1 if stage == "train" else 3)
    assert changed.minutes("train", 2) == 90 and changed.memory_mb("train", 1) == STAGES["train"].memory_mb


@pytest.mark.parametrize("group", GROUPS)
def test_no_attempt_of_a_group_asks_for_more_than_the_site_allows(group):
    limited = site(max_minutes=100, max_memory_mb=9000)
    members = [stage for stage in STAGES if STAGES[stage].group == group]
    for stage in members:
        assert limited.minutes(stage, 4) * GROUPS[group].steps <= 100
        assert limited.memory_mb(stage, 4) * GROUPS[group].beside <= 9000
    assert len({STAGES[stage].gpu for stage in members}) == 1  # their jobs become one


def test_every_stage_of_the_table_is_a_rule():
    """A rule without its stage stops Snakemake: it looks its resources up when it reads the rules."""
    command = [sys.executable, "-m", "snakemake", "--list"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.split()
    assert {"train", "effects"} <= set(STAGES) <= set(listed)
