# What is kept for the case that the Snakemake that submits jobs, the driver, is killed and they are not: `stylex resume`;
# and how records are written that DVC may have linked.
import platform

from snakemake.persistence import PersistenceBase
from snakemake.persistence.file import FilePersistence

# Of the driver, where that runs in a job itself; the Slurm executor removes it from the environment.
DRIVER_JOB = os.environ.get("SLURM_JOB_ID", "")

record = PersistenceBase.finished
write_in_place = FilePersistence._io_write


async def record_without_driver(self, job):
    """Write down what a job ran with, in the job: a result without it would count as current after any change.

    Snakemake leaves that to the driver, but for --immediate-submit, where there is none.
    """
    settings = self.dag.workflow.remote_execution_settings
    settings.immediate_submit = True
    try:
        await record(self, job)
    finally:
        settings.immediate_submit = False


def write_anew(self, subject, json_value, id, **options):
    """Write a record as a new file: the old one may be a link to DVC's cache, and what is written into it the cache's."""
    Path(self._record_path(subject, id)).unlink(missing_ok=True)
    write_in_place(self, subject, json_value, id, **options)


if workflow.remote_exec:
    PersistenceBase.finished = record_without_driver
FilePersistence._io_write = write_anew


onstart:
    Path(".snakemake/driver").write_text(f"{platform.node()} {os.getpid()} {DRIVER_JOB}\n")
