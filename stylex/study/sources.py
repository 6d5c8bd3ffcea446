"""Where the raw answers of both replications' user studies are: files of their repositories, pinned and checked.

[V] van der Vleuten et al. 2022 and [G] van de Geijn et al. 2022, both under the MIT licence. Sizes and checksums are of
the text that a public index of these commits holds, lines ended by a line feed. They have not been compared with a
download from GitHub, and the text of [V]'s answers was copied by hand, so that its checksum may be wrong. A file that
differs is refused, never analysed: then compare it with the repository, and correct the checksum here.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from stylex.datasets.pins import PinnedFile, is_present
from stylex.datasets.transfer import fetch
from stylex.errors import ChecksumError, DownloadError


@dataclass(frozen=True)
class AnswerFile:
    """One file of a repository at one commit."""

    commit: str
    file: PinnedFile  # its name: the path in the repository


@dataclass(frozen=True)
class AnswerSource:
    """The files of one replication."""

    repository: str  # address; a file is at <repository>/<commit>/<path>
    files: tuple[AnswerFile, ...]


V_ANSWERS = "all_user_studies/user_study_results.csv"
V_KEY = "all_user_studies/user_study_images_{}/study_1/info_of_images.txt"
G_ANSWERS = "studies/classification_study_responses.csv"
G_DESCRIPTIONS = "studies/verbal_study_responses.csv"
_V_COMMIT, _G_COMMIT = "476079227fca79b04a20d2c71711fe52bfa5c76f", "906db740920a5d643df59a46c0c9f5082815ec36"

SOURCES: dict[str, AnswerSource] = {
    "vandervleuten_2022": AnswerSource(
        "https://raw.githubusercontent.com/NoahVl/Explaining-In-Style-Reproducibility-Study",
        (
            AnswerFile(
                "8ca0f40595e62bd6d0c253774ee2628805366717",
                PinnedFile(V_ANSWERS, 20716, "908d5931a44b102789093d1e7619c3093282dedf17f68b6d34c1ec2f4aefef10"),
            ),
            AnswerFile(
                _V_COMMIT,
                PinnedFile(
                    V_KEY.format("old_faces"), 603, "bdf4f68cf3c469a4645b79f57fc6065865cc7996e5cc64d89d5f4310488b3a8d"
                ),
            ),
            AnswerFile(
                _V_COMMIT,
                PinnedFile(
                    V_KEY.format("new_faces"), 581, "e27ad124097afcde80497be1b83bef4afc0a6529450dc750a680fabf3601ac1f"
                ),
            ),
            AnswerFile(
                _V_COMMIT,
                PinnedFile(
                    V_KEY.format("old_plant"), 603, "321b4c9fa34c06de679004081bc74596b65d7670faba6529cc3fd442615701f5"
                ),
            ),
        ),
    ),
    "vandegeijn_2022": AnswerSource(
        "https://raw.githubusercontent.com/irenepap2/Re_StylEx",
        (
            AnswerFile(
                _G_COMMIT,
                PinnedFile(G_ANSWERS, 880, "d4ac3f7e92dfe71eea30b009fc9e08b7d2e1c2994667d4c493e88aae1740ab49"),
            ),
            AnswerFile(
                _G_COMMIT,
                PinnedFile(G_DESCRIPTIONS, 4770, "c4f2dabab4d5b15c4eb76a11c1f9640da248bb9138044e5cd317d080384fd00d"),
            ),
        ),
    ),
}


def answers_folder(root: Path, name: str) -> Path:
    """Return where the files of a replication are put, under their paths in the repository."""
    return root / "data" / "raw" / "user-studies" / name


def download_answers(root: Path, name: str, source: AnswerSource) -> Path:
    """Bring the files of `source` to data/raw/user-studies/<name>, verified, and return that folder.

    Files that are there already and match are not fetched again. Raises `DownloadError` (or `ChecksumError`).
    """
    folder = answers_folder(root, name)
    for each in source.files:
        target, url = folder / each.file.name, f"{source.repository}/{each.commit}/{each.file.name}"
        try:
            if not is_present(target, each.file):
                fetch(url, each.file, target)
        except ChecksumError:
            raise
        except DownloadError as error:
            raise DownloadError(f"{error}; check the network, or put the file at {target} yourself") from None
    return folder
