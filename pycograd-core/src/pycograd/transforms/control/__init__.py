"""Control flow that captures, compiles, batches and differentiates: one equation each.

`cond: bool -> (a -> b) -> (a -> b) -> a -> b`; `scan: (c -> a -> (c, b)) -> c -> [a] -> (c, [b])`.
"""

from pycograd.transforms.control import segments as segments  # defines its operations
from pycograd.transforms.control.cond import cond
from pycograd.transforms.control.loops import fori_loop, scan
from pycograd.transforms.control.while_loop import while_loop

__all__ = ["cond", "fori_loop", "scan", "while_loop"]
