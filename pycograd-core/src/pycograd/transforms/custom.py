"""User functions with derivative rules of their own, and values taken out of differentiation."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from pycograd.core.aval import make_aval
from pycograd.core.box import Box
from pycograd.core.errors import RuleSignatureError
from pycograd.core.primitive import Primitive, bind
from pycograd.core.tree import tree_flatten, tree_map, tree_unflatten
from pycograd.transforms.custom_call import CustomCall, Rules, closed_over
from pycograd.transforms.wrap import check_callable, enclosed_boxes, name_of
from pycograd.transparent import prepared


class Custom:
    """A function with custom derivative rules; made by `custom_vjp` and `custom_jvp`."""

    def __init__(self, f: Callable[..., Any], transparent: bool | None = None) -> None:
        check_callable(f, "custom rule")
        functools.update_wrapper(self, f)
        self.f, self._transparent = f, transparent
        # The four functions as they are run, in the transparent mode if they need it.
        self._prepared = [prepared(f, transparent), None, None, None]
        self.forward: Callable[..., Any] | None = None
        self.backward: Callable[..., Any] | None = None
        self.tangent: Callable[..., Any] | None = None

    def defvjp(self, forward: Callable[..., Any], backward: Callable[..., Any]) -> Custom:
        """Gives the reverse rule.

        Arguments:
            forward: `forward(*args) -> (out, residual)`; `out` is what the function returns.
            backward: `backward(residual, ct) -> tuple`, one cotangent per positional argument,
                each a tree like it; None for an argument without a gradient.

        Keyword arguments are constants, which `forward` gets as the function does.

        Returns:
            This object.
        """
        self.forward, self.backward = forward, backward
        self._prepared[1:3] = [prepared(rule, self._transparent) for rule in (forward, backward)]
        return self

    def defjvp(self, tangent: Callable[..., Any]) -> Callable[..., Any]:
        """Gives the forward rule.

        Arguments:
            tangent: `tangent(primals, tangents) -> (out, tangent_out)`, both tuples with an entry
                per positional argument. Keyword arguments are constants, which it gets as the
                function does.

        Returns:
            `tangent`, so that this is a decorator.
        """
        self.tangent = tangent
        self._prepared[3] = prepared(tangent, self._transparent)
        return tangent

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        leaves, treedef = tree_flatten(args)
        if not any(isinstance(x, Box) for x in leaves):
            _refuse_closure(self.f, self.forward, self.backward, self.tangent)
            out = self.f(*args, **kwargs)
            if any(isinstance(x, Box) for x in tree_flatten(out)[0]):
                raise closed_over(name_of(self.f))
            return out
        if kwargs and any(isinstance(x, Box) for x in tree_flatten(kwargs)[0]):
            raise RuleSignatureError(
                f"{name_of(self.f)} has a custom rule: pass differentiated values by position"
            )
        _refuse_closure(self.f, self.forward, self.backward, self.tangent)
        f, forward, backward, tangent = self._prepared
        if kwargs:
            f = functools.partial(f, **kwargs)
            forward = forward and self._given(forward, self.forward, "forward", kwargs)
            tangent = tangent and self._given(tangent, self.tangent, "jvp rule", kwargs)
        rules = Rules(name_of(self.f), f, forward, backward, tangent)
        call = CustomCall(rules, treedef)
        out = bind(call, leaves, {})
        return tree_unflatten(call.out_tree, out)

    def _given(self, rule: Any, written: Any, what: str, kwargs: dict[str, Any]) -> Any:
        """A rule that gets these keyword arguments."""
        import inspect

        try:
            taken = inspect.signature(written).parameters.values()
        except (TypeError, ValueError):  # written in C
            taken = None
        names = taken and {p.name for p in taken if p.kind != p.POSITIONAL_ONLY}
        if names is not None and not any(p.kind == p.VAR_KEYWORD for p in taken or ()):
            for name in kwargs:
                if name not in names:
                    raise RuleSignatureError(
                        f"{name_of(self.f)}: its {what} takes no keyword {name!r}, which the"
                        f" function was called with. Add {name} to the {what}, or pass it by"
                        " position"
                    )
        return functools.partial(rule, **kwargs)

    def __get__(self, instance: Any, owner: Any = None) -> Any:
        return self if instance is None else functools.partial(self, instance)


def custom_vjp(f: Callable[..., Any], *, transparent: bool | None = None) -> Custom:
    """A function whose reverse rule the user gives with `.defvjp(forward, backward)`.

    Arguments:
        f: the function; any trees in and out. Also usable as a decorator.
        transparent: whether it and its rules run in the transparent mode (`transparent(f)`); None
            looks at their code.

    Returns:
        A function like `f`, with the methods `defvjp` and `defjvp`; it may be given both rules.
        `jvp` of one with a reverse rule alone transposes that. Under `vmap` a body or a rule that
        cannot be batched runs as a loop over rows.

    Raises:
        MissingRuleError: when differentiated before a rule was given.
        RuleSignatureError: a rule that returns what does not fit, or lacks a keyword argument.
        ClosedOverError: it or a rule uses a differentiated value that is not an argument.

    >>> import numpy as np
    >>> @custom_vjp
    ... def clipped(x):
    ...     return x
    >>> _ = clipped.defvjp(lambda x: (x, None), lambda _, ct: (np.clip(ct, -1.0, 1.0),))
    >>> grad(lambda x: clipped(x) * 5.0)(2.0)
    (1.0,)
    """
    return Custom(f, transparent)


def custom_jvp(f: Callable[..., Any], *, transparent: bool | None = None) -> Custom:
    """A function whose forward rule the user gives with `.defjvp(rule)`.

    Arguments:
        f: the function; any trees in and out. Also usable as a decorator.
        transparent: whether it and its rules run in the transparent mode (`transparent(f)`); None
            looks at their code.

    Returns:
        A function like `f`, with the methods `defjvp` and `defvjp`; it may be given both rules.
        `grad` of one with a forward rule alone transposes that.

    Raises:
        MissingRuleError, RuleSignatureError, ClosedOverError: as for `custom_vjp`.

    >>> import numpy as np
    >>> @custom_jvp
    ... def log1pexp(x):
    ...     return np.logaddexp(x, 0.0)
    >>> @log1pexp.defjvp
    ... def rule(primals, tangents):
    ...     (x,), (t,) = primals, tangents
    ...     return log1pexp(x), t / (1.0 + np.exp(-x))
    >>> grad(log1pexp)(0.0)
    (0.5,)
    """
    return Custom(f, transparent)


def _refuse_closure(*functions: Any) -> None:
    for f in functions:
        if enclosed_boxes(f):
            raise closed_over(name_of(f))


# -- taking values out -----------------------------------------------------------------------------
class _Stop(Primitive):
    """The identity whose derivative is zero."""

    zero = True

    def batch(self, size: int, values: Any, mapped: Any, params: Any) -> Any:
        return bind(self, values, params)

    def shape(self, avals: Any, params: Any) -> Any:
        return make_aval(avals[0].shape, avals[0].dtype, avals[0].weak)


_stop = _Stop("stop_gradient", lambda x: x)


def stop_gradient(tree: Any) -> Any:
    """The same values as constants: no derivative, of any order or mode, flows through.

    Arguments:
        tree: an array, a scalar or a tree of them.

    Returns:
        A tree like it, whose values are constants to the enclosing transforms.

    >>> grad(lambda x: x * stop_gradient(x))(3.0)
    (3.0,)
    """
    return tree_map(lambda x: _stop(x) if isinstance(x, Box) else x, tree)


detach = stop_gradient
