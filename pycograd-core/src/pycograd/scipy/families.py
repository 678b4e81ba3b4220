"""What the distributions of `scipy.stats` share: arguments, supports, location and scale.

A family says its functions in standard form, inside its support. Outside of it, and for parameters
without a meaning, values are scipy's constants, and the derivative is 0.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from pycograd.core.errors import UnsupportedOperationError
from pycograd.scipy.dispatch import stands_for
from pycograd.scipy.kinds import array, boxed

Form = Callable[..., Any]


class Family:
    """A distribution: scipy's own on plain values, ours on differentiated ones.

    Arguments:
        original: scipy's object.
        shapes: the names of its shape parameters.
    """

    names: tuple[str, ...]  # of all parameters, in the order of scipy
    defaults: dict[str, Any]
    methods: tuple[str, ...]  # that differentiate

    def __init__(self, original: Any, shapes: Sequence[str]) -> None:
        self.original, self.shapes = original, tuple(shapes)
        stands_for(original)(self)
        for name in self.methods:  # found by whoever holds the method alone
            stands_for(getattr(original, name))(getattr(self, name))

    def __call__(self, *args: Any, **kwargs: Any) -> Frozen:
        """The distribution with its parameters fixed."""
        return Frozen(self, args, kwargs)

    def parameters(self, method: str, args: Sequence[Any], kwargs: dict[str, Any]) -> list[Any]:
        """All parameters, those left out by their defaults."""
        given = dict(zip(self.names, args))
        wrong = [n for n in kwargs if n in given or n not in self.names]
        if len(args) > len(self.names) or wrong:
            raise TypeError(f"{self.name}.{method} takes parameters {', '.join(self.names)}")
        given.update(kwargs)
        if missing := [n for n in self.shapes if n not in given]:
            raise TypeError(f"{self.name}.{method}: missing parameter {', '.join(missing)}")
        return [array(given.get(n, self.defaults.get(n))) for n in self.names]

    @property
    def name(self) -> str:
        """The name scipy gives it."""
        return str(self.original.name)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_") or name == "original":
            raise AttributeError(name)
        found = getattr(self.original, name)
        return _refusing(f"{self.name}.{name}", found) if callable(found) else found


def _refusing(name: str, method: Callable[..., Any]) -> Callable[..., Any]:
    """A method of scipy that has no derivative here."""

    def run(*args: Any, **kwargs: Any) -> Any:
        if boxed(args, kwargs):
            raise UnsupportedOperationError(
                f"scipy.stats.{name} has no rule for differentiated values; densities,"
                " distribution functions and quantiles have"
            )
        return method(*args, **kwargs)

    return run


class Frozen:
    """A distribution with its parameters fixed: its methods take the argument alone."""

    def __init__(self, family: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        self.family, self.args, self.kwds = family, args, kwargs

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_") or name == "family":
            raise AttributeError(name)
        method = getattr(self.family, name)
        if name in self.family.methods:
            return lambda x: method(x, *self.args, **self.kwds)
        if boxed(self.args, self.kwds):
            return lambda *args, **kwargs: method(*args, *self.args, **self.kwds, **kwargs)
        return getattr(self.family.original(*self.args, **self.kwds), name)


# -- continuous ------------------------------------------------------------------------------------
class Continuous(Family):
    """A family with a density, location and scale.

    Arguments:
        original, shapes: as in `Family`.
        logpdf, cdf, sf, ppf: in standard form, `f(z, *shapes)` and `ppf(q, *shapes)`.
        isf, logcdf, logsf: where there is more to say than `ppf(1 - q)`, `log(cdf)`, `log(sf)`.
        low, high: the ends of the support.
        inner: a point inside, for the places that are not.
        valid: `valid(*shapes)`, where they have a meaning.
        closed: False if the density at the ends is 0 or has no limit.
    """

    methods = ("pdf", "logpdf", "cdf", "logcdf", "sf", "logsf", "ppf", "isf")

    def __init__(
        self,
        original: Any,
        shapes: Sequence[str] = (),
        *,
        logpdf: Form,
        cdf: Form,
        sf: Form,
        ppf: Form,
        isf: Form | None = None,
        logcdf: Form | None = None,
        logsf: Form | None = None,
        low: float = -np.inf,
        high: float = np.inf,
        inner: float = 0.5,
        valid: Form = lambda *shapes: True,
        closed: bool = True,
    ) -> None:
        self.names = (*shapes, "loc", "scale")
        self.defaults = {"loc": 0.0, "scale": 1.0}
        self.forms = {
            "logpdf": logpdf,
            "cdf": cdf,
            "sf": sf,
            "ppf": ppf,
            "isf": isf or (lambda q, *s: ppf(1 - q, *s)),
            "logcdf": logcdf or (lambda z, *s: np.log(cdf(z, *s))),
            "logsf": logsf or (lambda z, *s: np.log(sf(z, *s))),
        }
        self.low, self.high, self.inner = low, high, inner
        self.valid, self.closed = valid, closed
        super().__init__(original, shapes)

    def _standard(self, method: str, x: Any, args: Any, kwargs: Any) -> Any:
        """`z`, where it is below, above and inside, the other parameters, where all is well."""
        *shapes, loc, scale = self.parameters(method, args, kwargs)
        x = array(x)
        good = (scale > 0) & self.valid(*shapes) & ~np.isnan(x)
        # Where nothing has a meaning the formulas see harmless numbers, so that no nan of theirs
        # gets into a derivative.
        z = (x - loc) / np.where(scale > 0, scale, 1.0)
        below, above = z < self.low, z > self.high
        return z, below, above, shapes, scale, good

    def _inside(self, z: Any, outside: Any) -> Any:
        return np.where(outside, self.inner, z)

    def logpdf(self, x: Any, *args: Any, **kwargs: Any) -> Any:
        """The logarithm of the density at `x`."""
        if not boxed(x, args, kwargs):
            return self.original.logpdf(x, *args, **kwargs)
        z, below, above, shapes, scale, good = self._standard("logpdf", x, args, kwargs)
        outside = below | above
        if not self.closed:
            outside = outside | (z == self.low) | (z == self.high)
        value = self.forms["logpdf"](self._inside(z, outside), *shapes) - np.log(scale)
        return np.where(good, np.where(outside, -np.inf, value), np.nan)

    def pdf(self, x: Any, *args: Any, **kwargs: Any) -> Any:
        """The density at `x`."""
        if not boxed(x, args, kwargs):
            return self.original.pdf(x, *args, **kwargs)
        return np.exp(self.logpdf(x, *args, **kwargs))

    def _distribution(self, method: str, ends: Any, x: Any, args: Any, kwargs: Any) -> Any:
        if not boxed(x, args, kwargs):
            return getattr(self.original, method)(x, *args, **kwargs)
        z, below, above, shapes, _, good = self._standard(method, x, args, kwargs)
        below, above = below | (z == self.low), above | (z == self.high)
        value = self.forms[method](self._inside(z, below | above), *shapes)
        value = np.where(below, ends[0], np.where(above, ends[1], value))
        return np.where(good, value, np.nan)

    def cdf(self, x: Any, *args: Any, **kwargs: Any) -> Any:
        """The probability below `x`."""
        return self._distribution("cdf", (0.0, 1.0), x, args, kwargs)

    def sf(self, x: Any, *args: Any, **kwargs: Any) -> Any:
        """The probability above `x`."""
        return self._distribution("sf", (1.0, 0.0), x, args, kwargs)

    def logcdf(self, x: Any, *args: Any, **kwargs: Any) -> Any:
        """The logarithm of the probability below `x`."""
        return self._distribution("logcdf", (-np.inf, 0.0), x, args, kwargs)

    def logsf(self, x: Any, *args: Any, **kwargs: Any) -> Any:
        """The logarithm of the probability above `x`."""
        return self._distribution("logsf", (0.0, -np.inf), x, args, kwargs)

    def _quantile(self, method: str, ends: Any, q: Any, args: Any, kwargs: Any) -> Any:
        if not boxed(q, args, kwargs):
            return getattr(self.original, method)(q, *args, **kwargs)
        *shapes, loc, scale = self.parameters(method, args, kwargs)
        q = array(q)
        good = (scale > 0) & self.valid(*shapes) & (q >= 0) & (q <= 1)
        within = (q > 0) & (q < 1)
        z = self.forms[method](np.where(within, q, 0.5), *shapes)
        z = np.where(within, z, np.where(q == 0, ends[0], ends[1]))
        return np.where(good, z * scale + loc, np.nan)

    def ppf(self, q: Any, *args: Any, **kwargs: Any) -> Any:
        """The place below which the probability is `q`."""
        return self._quantile("ppf", (self.low, self.high), q, args, kwargs)

    def isf(self, q: Any, *args: Any, **kwargs: Any) -> Any:
        """The place above which the probability is `q`."""
        return self._quantile("isf", (self.high, self.low), q, args, kwargs)


# -- discrete --------------------------------------------------------------------------------------
class Discrete(Family):
    """A family on the integers, with a location; differentiable in its parameters.

    Arguments:
        original, shapes: as in `Family`.
        logpmf, cdf, sf: `f(k, *shapes)` inside of the support.
        low: the first integer of the support.
        high: `high(*shapes)`, the last; None if there is none.
        valid: `valid(*shapes)`, where they have a meaning.
    """

    methods = ("pmf", "logpmf", "cdf", "logcdf", "sf", "logsf")

    def __init__(
        self,
        original: Any,
        shapes: Sequence[str],
        *,
        logpmf: Form,
        cdf: Form,
        sf: Form,
        valid: Form,
        low: int = 0,
        high: Form | None = None,
    ) -> None:
        self.names, self.defaults = (*shapes, "loc"), {"loc": 0}
        self.forms = {"logpmf": logpmf, "cdf": cdf, "sf": sf}
        self.low, self.high, self.valid = low, high, valid
        super().__init__(original, shapes)

    def _standard(self, method: str, k: Any, args: Any, kwargs: Any) -> Any:
        *shapes, loc = self.parameters(method, args, kwargs)
        k = array(k) - loc
        last = np.inf if self.high is None else self.high(*shapes)
        return k, last, shapes, self.valid(*shapes) & ~np.isnan(k)

    def logpmf(self, k: Any, *args: Any, **kwargs: Any) -> Any:
        """The logarithm of the probability of `k`."""
        if not boxed(k, args, kwargs):
            return self.original.logpmf(k, *args, **kwargs)
        k, last, shapes, good = self._standard("logpmf", k, args, kwargs)
        outside = (k < self.low) | (k > last) | (k != np.floor(k))
        value = self.forms["logpmf"](np.where(outside, self.low, k), *shapes)
        return np.where(good, np.where(outside, -np.inf, value), np.nan)

    def pmf(self, k: Any, *args: Any, **kwargs: Any) -> Any:
        """The probability of `k`."""
        if not boxed(k, args, kwargs):
            return self.original.pmf(k, *args, **kwargs)
        return np.exp(self.logpmf(k, *args, **kwargs))

    def _distribution(self, method: str, ends: Any, k: Any, args: Any, kwargs: Any) -> Any:
        if not boxed(k, args, kwargs):
            return getattr(self.original, method)(k, *args, **kwargs)
        k, last, shapes, good = self._standard(method, k, args, kwargs)
        below, above = k < self.low, k >= last
        value = self.forms[method](np.floor(np.where(below | above, self.low, k)), *shapes)
        value = np.where(below, ends[0], np.where(above, ends[1], value))
        return np.where(good, value, np.nan)

    def cdf(self, k: Any, *args: Any, **kwargs: Any) -> Any:
        """The probability of at most `k`."""
        return self._distribution("cdf", (0.0, 1.0), k, args, kwargs)

    def sf(self, k: Any, *args: Any, **kwargs: Any) -> Any:
        """The probability of more than `k`."""
        return self._distribution("sf", (1.0, 0.0), k, args, kwargs)

    def logcdf(self, k: Any, *args: Any, **kwargs: Any) -> Any:
        """The logarithm of the probability of at most `k`."""
        if not boxed(k, args, kwargs):
            return self.original.logcdf(k, *args, **kwargs)
        return _log(self.cdf(k, *args, **kwargs))

    def logsf(self, k: Any, *args: Any, **kwargs: Any) -> Any:
        """The logarithm of the probability of more than `k`."""
        if not boxed(k, args, kwargs):
            return self.original.logsf(k, *args, **kwargs)
        return _log(self.sf(k, *args, **kwargs))


def _log(p: Any) -> Any:
    return np.where(p == 0, -np.inf, np.log(np.where(p == 0, 1.0, p)))
