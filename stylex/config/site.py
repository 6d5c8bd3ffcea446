"""What the stages ask a cluster for: one table, and config/site.yaml, which says how this site differs from it.

The table's values are chosen, not measured. Resources have the names that snakemake-executor-plugin-slurm gives them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, NamedTuple

from pydantic import BeforeValidator, Field, create_model, field_validator, model_validator

from stylex.config.analysis import Positive, Section

Word = Annotated[
    str, BeforeValidator(lambda value: str(value) if isinstance(value, int) else value), Field(pattern=r"^[\w.,:@+-]+$")
]
Request = int | str | Callable[..., int]


class Group(NamedTuple):
    """Small stages of one experiment that share a Slurm job."""

    steps: int  # that follow each other
    beside: int  # that run beside each other


class Stage(NamedTuple):
    """What the Slurm job of a stage asks for at its first attempt; the second gets twice as much, and so on."""

    memory_mb: int
    minutes: int
    gpu: bool = True
    group: str | None = None
    resumes: bool = False  # goes on where the last attempt stopped: further attempts need no more time


# Stages of one group must agree in `gpu`: their jobs become one.
GROUPS = {"analysis": Group(steps=3, beside=4), "figures": Group(steps=2, beside=3)}
STAGES = {
    "prepare": Stage(8000, 240, gpu=False),
    "backbone": Stage(8000, 240),
    "oracle": Stage(8000, 240),
    "regressor": Stage(8000, 240),
    "classifier": Stage(8000, 240),
    "train": Stage(16000, 1440, resumes=True),
    "diagnose": Stage(8000, 30),
    "encode": Stage(8000, 120),
    "merge": Stage(8000, 30, gpu=False),
    "samples": Stage(4000, 30),
    "counterfactuals": Stage(8000, 120),
    "effects": Stage(8000, 240),
    "attributes": Stage(4000, 20, group="analysis"),
    "baseline": Stage(4000, 20, group="analysis"),
    "sufficiency": Stage(4000, 60, group="analysis"),
    "frechet": Stage(4000, 60, group="analysis"),
    "factors": Stage(4000, 60, group="analysis"),
    "study": Stage(4000, 60, group="analysis"),
    "observer": Stage(4000, 30, group="analysis"),
    "explanations": Stage(4000, 60, group="figures"),
    "ganalyze": Stage(4000, 60, group="figures"),
    "maps": Stage(4000, 30, group="figures"),
    "figures": Stage(4000, 30, group="figures"),
}
OWN_KEYS = {
    "--account": "account",
    "--partition": "partition",
    "--qos": "qos",
    "--time": "stages",
    "--mem": "stages",
    "--gres": "gpu_type",
    "--gpus": "training_gpus",
    "--nodes": "training_nodes",
}


class StageOverride(Section):
    """Where this site differs from the table, for one stage."""

    memory_mb: Positive | None = None
    minutes: Positive | None = None


_BY_STAGE: dict[str, Any] = dict.fromkeys(STAGES, (StageOverride, StageOverride()))
StageOverrides = create_model("StageOverrides", __base__=Section, **_BY_STAGE)


class SiteConfig(Section):
    """config/site.yaml, which is optional: the cluster on which the workflow runs."""

    account: Word | None = Field(None, description="Account to charge; default: the user's.")
    partition: Word | None = Field(None, description="Partition of the jobs; default: the cluster's.")
    gpu_partition: Word | None = Field(None, description="Partition of jobs that ask for a GPU; default: partition.")
    qos: Word | None = None
    sbatch: list[str] = Field([], description="Further options of sbatch, as '--reservation=NAME'.")
    gpu: bool = Field(True, description="Whether there are GPUs to ask for; false: all stages run on CPUs.")
    gpu_type: Word | None = Field(None, description="As in --gres=gpu:TYPE:1; default: any.")
    training_gpus: Positive = Field(1, description="GPUs that share a training, on each of its nodes.")
    training_nodes: Positive = Field(1, description="Nodes that share a training.")
    max_minutes: Positive | None = Field(None, description="The longest job that the partitions allow.")
    max_memory_mb: Positive | None = Field(None, description="The largest memory of a job that the nodes allow.")
    stages: StageOverrides = StageOverrides()  # pyright: ignore[reportInvalidTypeForm]

    @field_validator("sbatch")
    @classmethod
    def _options(cls, value: list[str]) -> list[str]:
        for option in value:
            name, equals, said = option.partition("=")
            if name in OWN_KEYS:
                raise ValueError(f"'{option}' has a key of its own here: write {OWN_KEYS[name]}")
            if not name.startswith("--") or bool(equals) != bool(said) or set(option) & set(" '\"`$;&|<>\\"):
                raise ValueError(f"'{option}' is not of the form --name or --name=value, one option a list item")
        return value

    @model_validator(mode="after")
    def _gpus(self) -> SiteConfig:
        asked = [key for key in ("gpu_partition", "gpu_type") if getattr(self, key)]
        asked += ["training_gpus"] if self.training_gpus > 1 else []
        if asked and not self.gpu:
            raise ValueError(f"{asked[0]} asks for GPUs, but gpu is false: remove one of them")
        return self

    def memory_mb(self, stage: str, attempt: int) -> int:
        """Return the memory of a stage's job, in MB; what runs beside each other in a group shares `max_memory_mb`."""
        asked = (getattr(self.stages, stage).memory_mb or STAGES[stage].memory_mb) * attempt
        return _at_most(asked, self.max_memory_mb, _group(stage).beside)

    def minutes(self, stage: str, attempt: int) -> int:
        """Return the time limit of a stage's job; what follows each other in a group shares `max_minutes`."""
        asked = getattr(self.stages, stage).minutes or STAGES[stage].minutes
        return _at_most(asked * (1 if STAGES[stage].resumes else attempt), self.max_minutes, _group(stage).steps)

    def sharing(self, threads: int) -> str:
        """Return the options of `stylex train` by which it uses all that its Slurm job has; `threads`: of a node."""
        options = f"--threads {max(threads // self.training_gpus, 1)}"
        options += f" --processes {self.training_gpus}" if self.training_gpus > 1 else ""
        return options + (f" --nodes {self.training_nodes}" if self.training_nodes > 1 else "")

    def requests(self, stage: str) -> dict[str, Request]:
        """Return the `resources:` of a stage's rule."""
        gpu, training = self.gpu and STAGES[stage].gpu, stage == "train"
        kind = f":{self.gpu_type}" if self.gpu_type else ""
        texts = {
            # A text, not a number: jobs that are grouped share one GPU instead of adding theirs up.
            "gres": f"gpu{kind}:{self.training_gpus if training else 1}" if gpu else None,
            "slurm_account": self.account,
            "slurm_partition": (self.gpu_partition if gpu else None) or self.partition,
            "qos": self.qos,
            "slurm_extra": " ".join(["--open-mode=append", *self.sbatch]),  # a requeued job keeps its first log
        }
        requests: dict[str, Request] = {key: text for key, text in texts.items() if text}
        if training and self.training_nodes > 1:
            # "mpi": Snakemake leaves srun to the command, which starts its processes on all nodes.
            requests |= {"nodes": self.training_nodes, "tasks": self.training_nodes, "mpi": "srun"}
        requests["mem_mb"] = lambda wildcards, attempt: self.memory_mb(stage, attempt)
        requests["runtime"] = lambda wildcards, attempt: self.minutes(stage, attempt)
        return requests


def _group(stage: str) -> Group:
    name: Any = STAGES[stage].group
    return GROUPS[name] if name else Group(1, 1)


def _at_most(asked: int, limit: int | None, shares: int) -> int:
    return asked if limit is None else min(asked, max(limit // shares, 1))
