"""The exceptions a user can meet. Each message names the bad value and the remedy; the CLI prints it as one line.

`StylexError` is a user's mistake or a fault of their machine (exit code 2). Our own invariants are `assert`s.
"""


class StylexError(Exception):
    """Base class: anything a user can cause and fix. The CLI turns it into one line and exit code 2."""

    exit_code = 2


class ConfigError(StylexError):
    """A configuration file is missing, malformed, or holds an unknown key, name or impossible value."""


class DownloadError(StylexError):
    """No mirror of a source could be read to its end."""


class ChecksumError(DownloadError):
    """A download is complete but is not the pinned file."""


class DatasetError(StylexError):
    """A dataset is missing, malformed or unsuitable for the experiment."""


class ImageError(DatasetError):
    """An image file cannot be decoded."""


class ArtifactError(StylexError):
    """An artifact of an earlier stage is missing, damaged or of another experiment."""


class StorageError(StylexError):
    """The disk is full, or the target cannot be written."""


class ResumeError(StylexError):
    """A killed run cannot be resumed: its jobs are unknown, Snakemake still runs, or the arguments are wrong."""


class AtWorkError(StylexError):
    """Another process does the same in the same folder."""


class DeviceError(StylexError):
    """The requested device does not exist on this machine."""


class AccuracyError(StylexError):
    """A classifier is not good enough to be worth explaining."""


class TrainingDivergedError(StylexError):
    """A loss became NaN or infinite. The last good checkpoint and the evidence are kept."""


class AttributesNotFoundError(StylexError):
    """AttFind had no image to explain, or no coordinate raised the target class."""


class StudyError(StylexError):
    """Answers of a user study do not fit its questions, or are not what was published."""


class NamesError(StylexError):
    """Names of attributes are malformed, or not of the attributes that there are."""
