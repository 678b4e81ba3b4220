"""JAX for pycograd, which finds it by name: `device("jax")`, `backend="jax"`."""

from __future__ import annotations

from pycograd_jax.export import export_stablehlo

__all__ = ["export_stablehlo"]
