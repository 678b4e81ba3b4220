"""Every operation, one definition each. Importing this package defines them all."""

from pycograd.ops import astype, contract, elementwise, methods, operators, reduce, shape

operators.install()
methods.install()

__all__ = ["astype", "contract", "elementwise", "methods", "operators", "reduce", "shape"]
