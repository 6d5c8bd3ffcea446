"""Catalog of sources, verified download, preparation as memory-mapped Arrow, splits. Importing it imports no torch."""

from stylex.datasets.catalog import DATASETS, DatasetSpec, dataset_names, dataset_spec, validate_dataset
from stylex.datasets.download import download
from stylex.datasets.prepare import prepare
from stylex.datasets.single import read_files
from stylex.datasets.split import ImageSplit, analysis_indices, load_all_classes, load_split

__all__ = [
    "DATASETS", "DatasetSpec", "ImageSplit", "analysis_indices", "dataset_names", "dataset_spec", "download",
    "load_all_classes", "load_split", "prepare", "read_files", "validate_dataset",
]  # fmt: skip
