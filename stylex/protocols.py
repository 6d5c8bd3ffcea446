"""By which images attributes are found, and on which they are measured."""

from enum import StrEnum


class Protocol(StrEnum):
    """`attfind.protocols`: the columns `protocol` of our tables hold these words."""

    HELD_OUT = "held_out"
    SAME_IMAGES = "same_images"
