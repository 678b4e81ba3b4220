"""What all tests share: fixed random numbers, no display, and the profiles of Hypothesis."""

import os

import hypothesis
import numpy as np
import pytest

os.environ.setdefault("MPLBACKEND", "Agg")

# The same code gets the same verdict; `make test-all` looks further, with examples of its own.
# No deadline in either: a test says what is right, not how long it takes.
hypothesis.settings.register_profile("steady", derandomize=True, deadline=None)
hypothesis.settings.register_profile("thorough", max_examples=500, deadline=None, print_blob=True)
hypothesis.settings.register_profile(
    "exhaustive", max_examples=2500, deadline=None, print_blob=True, database=None
)
hypothesis.settings.load_profile("steady")


@pytest.fixture
def rng() -> np.random.Generator:
    """Random numbers that are the same in every run and for every test."""
    return np.random.default_rng(0)
