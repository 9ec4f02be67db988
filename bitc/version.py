"""The version of bitc."""

__version__ = "0.1.0"
