"""StylEx: explain an image classifier through the StyleSpace of a generator trained for it (Lang et al., ICCV 2021)."""

__version__ = "0.1.0"
