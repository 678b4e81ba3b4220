"""Models trained from scratch on real data: `python -m pycograd.examples [name ...]`."""
