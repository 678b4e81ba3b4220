"""What active plugins add to the machine: hooks that the hub of the plugins sets.

The machine knows no plugin. While none is active, each hook is None and costs one comparison.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

# (primitive, backend, avals) -> a lowering, or None: asked where a backend has none of its own.
lower_missing: Callable[[Any, Any, Sequence[Any]], Callable[..., Any] | None] | None = None
# names of the passes of the core, backend -> those with the plugins' own in their places
graph_passes: Callable[[Sequence[str], str], Sequence[Any]] | None = None
