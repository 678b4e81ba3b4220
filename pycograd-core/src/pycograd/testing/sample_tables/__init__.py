"""The sample tables: one module for each module of `pycograd.ops`, with a list `SAMPLES`."""
