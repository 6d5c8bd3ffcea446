# What is kept for the case that the Snakemake that submits jobs, the driver, is killed and they are not: `stylex resume`.
import platform

from snakemake.persistence import PersistenceBase

# Of the driver, where that runs in a job itself; the Slurm executor removes it from the environment.
DRIVER_JOB = os.environ.get("SLURM_JOB_ID", "")

record = PersistenceBase.finished


async def record_without_driver(self, job):
    """Write down what a job ran with, in the job: a result without it would count as current after any change.

    Snakemake leaves that to the driver, but for --immediate-submit, where there is none; it has no other switch.
    """
    settings = self.dag.workflow.remote_execution_settings
    settings.immediate_submit = True
    try:
        await record(self, job)
    finally:
        settings.immediate_submit = False


if workflow.remote_exec:
    PersistenceBase.finished = record_without_driver


onstart:
    Path(".snakemake/driver").write_text(f"{platform.node()} {os.getpid()} {DRIVER_JOB}\n")
    records.forget(str(path) for job in workflow.dag.needrun_jobs() for path in job.output)


def refuse_unrecorded():
    """Stop when Snakemake has no record of a result, and does not hold it for incomplete either; to call after all rules.

    Under `dvc repro` outputs persist and Snakemake decides what is stale. Where the record of one output of a job is
    missing, it cannot see that parameters or code changed, and DVC would write down a provenance that is not true.
    """
    outputs = [output for rule in workflow.rules for output in rule.output]
    recorded = {records.made_file(path) for path in records.RECORDS.rglob("*") if path.is_file()}
    for path in sorted(path for top in ("data/processed", "data/raw", "results") for path in Path(top).rglob("*")):
        incomplete = Path(".snakemake/incomplete", urlsafe_b64encode(str(path).encode()).decode()).is_file()
        if str(path) not in recorded and not incomplete and any(output.match(str(path)) for output in outputs):
            stop(
                f".snakemake/metadata has no record of what made {path}: `dvc checkout` brings back results and records as"
                " DVC has them; if you know that all results are current, `snakemake --cores 1 --touch --forceall` makes"
                " records"
            )
