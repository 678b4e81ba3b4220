"""The version, kept in one place: every distribution of the workspace reads it from here."""

__version__ = "0.1.0"
