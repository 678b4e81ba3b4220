"""The DSL of pycograd: blocks of parameters and pipelines.

    with params{w = rng.normal(size=(4, 3)); b = frozen[np.zeros(3)]} as weights:
        predict = $ |> $ @ w + b |> softmax
        value, grads = weights.grad(|> data |> predict |> cross_entropy($, labels))

In IPython and Jupyter after `%load_ext pycograd`; in scripts run by `python -m pycograd run`; in
modules whose first line is `# pycograd: dsl`, after `pycograd.dsl.install()`. Pipelines are
pipescript's language, compiled to plain functions.
"""

from pycograd.dsl.files import install, uninstall
from pycograd.dsl.source import parse

__all__ = ["install", "parse", "uninstall"]
