"""Derivatives by differences, with a judgement whether they can be trusted at that point."""

import numpy as np

STEP = 1e-3  # of the five points: their error is a few 1e-12 of a function of scale 1


def moved(args, directions, step):
    """The arguments a step along the directions: arrays of their own, in the same memory order."""
    return [np.add(x, step * v, out=np.empty_like(x)) for x, v in zip(args, directions)]


def slope(f, args, directions, h=STEP):
    """`(derivative of f along the directions, trusted)`.

    Five-point differences with steps h and h/2 have to agree, and one-sided ones with each other:
    otherwise there is a kink, a jump or too much curvature nearby.
    """
    at = {k: f(*moved(args, directions, k * h)) for k in (-2, -1, -0.5, 0, 0.5, 1, 2)}
    wide = (8 * (at[1] - at[-1]) - (at[2] - at[-2])) / (12 * h)
    narrow = (8 * (at[0.5] - at[-0.5]) - (at[1] - at[-1])) / (6 * h)
    right = (4 * (at[0.5] - at[0]) - (at[1] - at[0])) / h
    left = (4 * (at[0] - at[-0.5]) - (at[0] - at[-1])) / h
    scale = 1 + np.max(np.abs(narrow), initial=0.0)
    apart = np.max(np.abs(wide - narrow), initial=0.0)
    sides = np.max(np.abs(right - left), initial=0.0)
    return narrow, bool(apart < 3e-8 * scale and sides < 1e-3 * scale)


def near(found, expected, rtol, what=""):
    """Equal up to `rtol` of the largest entry."""
    expected = np.asarray(expected)
    atol = rtol * (1 + float(np.max(np.abs(expected), initial=0.0)))
    np.testing.assert_allclose(found, expected, rtol=rtol, atol=atol, err_msg=what)
