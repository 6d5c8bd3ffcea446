"""FFHQ (Karras et al. 2019) with the perceived age and gender of FFHQ-Aging (Or-El et al. 2020); no official split.

    resized/00000.jpg                              256 pixels, the copy on Kaggle that [V] used
    thumbnails128x128/00000/00000.png              as NVIDIA publishes them; images1024x1024 alike
    ffhq_aging_labels.csv                          image_number,age_group,age_group_confidence,gender,...

Wherever the images lie in the raw folder, their names are five digits: the image_number. [L] 4 and [V] 4.2 do not say
which ages are young: here those below 40, the border between two age groups.
"""

from __future__ import annotations

from pathlib import Path

from stylex.config.loading import unknown_name
from stylex.datasets.layouts.label_files import by_key, check_rows, find_file, find_images, read_column, translate
from stylex.datasets.layouts.records import ImageRecord, Listing
from stylex.errors import DatasetError

COLUMNS = {"gender": "gender", "age": "age_group"}
AGES = {
    "old": ("40-49", "50-69", "70-120"),
    "young": ("0-2", "3-6", "7-9", "10-14", "15-19", "20-29", "30-39"),
}
# Class of each value of the column.
MEANINGS = {
    "gender": {"female": "female", "male": "male"},
    "age": {group: name for name, groups in AGES.items() for group in groups},
}


def list_images(folder: Path, label: str | None, classes: tuple[str, ...] | None) -> Listing:
    """List the images of the raw folder.

    label: gender (female, male; the default) or age (old, young). classes: the same names in another order. Raises
    `DatasetError` for another label or class, and for a label file that does not fit the images.
    """
    label = label or "gender"
    if label not in COLUMNS:
        raise DatasetError(unknown_name("label of FFHQ", label, sorted(COLUMNS)))
    known = tuple(sorted(set(MEANINGS[label].values())))
    names = classes or known
    if sorted(names) != sorted(known):
        raise DatasetError(f"classes = {', '.join(names)}: the classes of {label} are {' and '.join(known)}")
    images = find_images(folder, f"**/{'[0-9]' * 5}.*", (".jpg", ".png"))
    path = find_file(folder, "ffhq_aging_labels.csv")
    cells = by_key(
        path, ((key.zfill(5), cell) for key, cell in read_column(path, "image_number", COLUMNS[label]).items())
    )
    check_rows(path, cells, images)
    labels = translate(path, cells, MEANINGS[label])
    records = [
        ImageRecord(
            id=number, path=image, source=image.relative_to(folder).as_posix(), label=names.index(labels[number])
        )
        for number, image in images.items()
    ]
    return Listing(names, records)
