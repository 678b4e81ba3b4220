"""Transforms of functions: one interpreter and its public functions a file."""
