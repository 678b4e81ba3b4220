"""Tools to test with: `check_grads` for users, the sample table and its checks for operations."""

from __future__ import annotations

from pycograd.testing.gradients import check_grads

__all__ = ["check_grads"]
