"""The tape: a Wengert list of steps, its boxes, and the reverse sweep over it.

A step is `(rule, parents, residual)`; the slot of a value is the index of the step that made it.
`parents` decides how the sweep uses the rule:

- an int: `rule(ct, residual)` is the cotangent of that slot;
- a tuple: `rule(ct, residual)` gives one cotangent per parent (None: a symbolic zero);
- a list: `rule(ct, residual, parents, sweep)` adds to `sweep.cts` itself (indexing, projections of
  operations with several results, checkpoints). The list is the rule's own to read: it may hold
  more than slots (`ops.index` keeps a shape, or None for a written constant, in it).

The sweep is one reverse loop; nothing points forward, so a value is freed by reference counting as
soon as the last step that kept it is gone.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from pycograd.core import modes
from pycograd.core.aval import dtype_of, is_inexact
from pycograd.core.box import INSTEAD, Box
from pycograd.core.buffers import owned
from pycograd.core.errors import ConversionError, EscapedTracerError, OuterWriteError, located
from pycograd.core.primitive import Primitive, Trace, bind
from pycograd.core.views import still

_new = object.__new__
_ONE = (0,)
_ndarray = np.ndarray


def _no_parents(ct: Any, residual: Any) -> tuple[()]:
    return ()


CONSTANT = (_no_parents, (), None)  # the step of a value that depends on no input


class Tape(Trace):
    """One reverse pass being recorded; inputs own the first slots."""

    # floor: values made before this step may not be written (inside a checkpointed function)
    # reach: no checkpointed function that is run again has given a slot from here on to a value
    __slots__ = ("steps", "floor", "floors", "reach", "replaying")
    differentiates = True

    def __init__(self, name: str = "") -> None:
        super().__init__(name)
        self.steps: list[Any] = []
        self.floor = self.reach = 0
        self.floors: list[int] = []  # of which `floor` is the largest: threads come and go
        self.replaying = 0  # since when a checkpointed function is running again

    def input(self, value: Any) -> Var:
        """A box for an input of the differentiated function."""
        return self.constant(still(value))

    def constant(self, value: Any) -> Var:
        """A box without parents, which a later write may give some."""
        return self.box(value, place(self.steps, (_no_parents, (), None)))

    def box(self, value: Any, slot: Any) -> Var:
        """A box for the value that the step `slot` made."""
        var: Var = _new(Var if hasattr(value, "shape") else WeakVar)
        var.value, var._trace, var.slot = value, self, slot
        return var

    def record(self, rule: Any, parents: Any, residual: Any, value: Any) -> Var:
        """Appends a step; the box of its result."""
        return self.box(value, place(self.steps, (rule, parents, residual)))

    def process(self, primitive: Primitive, operands: Sequence[Any], params: dict[str, Any]) -> Any:
        if len(operands) == 1:
            values: Any = [operands[0].value]
            ans = bind(primitive, values, params)
            if modes.active and modes.watch(self, primitive, values, ans):
                return ans
            return (
                ans if primitive.zero else self.push(primitive, operands, values, _ONE, ans, params)
            )
        values, live = [], []
        for i, x in enumerate(operands):
            if isinstance(x, Var) and x._trace is self:
                values.append(x.value)
                live.append(i)
            else:
                values.append(still(x) if isinstance(x, Box) else x)
        ans = bind(primitive, values, params)
        if modes.active and modes.watch(self, primitive, values, ans):
            return ans
        if primitive.zero:
            return ans
        return self.push(primitive, operands, values, tuple(live), ans, params)

    def push(
        self,
        primitive: Primitive,
        operands: Sequence[Any],
        values: Sequence[Any],
        live: tuple[int, ...],
        ans: Any,
        params: dict[str, Any],
    ) -> Any:
        """Records that `primitive` made `ans` from `values`, of which `live` are ours."""
        rule, residual = primitive.vjp(values, live, ans, params)
        if len(live) == 1:
            parents = operands[live[0]].slot
        else:
            parents = tuple([operands[i].slot for i in live])
        if rule in INTO_BUFFER:
            parents = [operands[i].slot for i in live]
        if modes.active and modes.checking_nans():
            rule = modes.checked(rule, primitive.name)
        if modes.active and modes.checking_buffers():
            rule = modes.guarded(rule, residual, primitive.name)
        if primitive.multi:
            return self.record_multi(rule, parents, residual, ans)
        return self.record(rule, parents, residual, ans)

    def record_multi(self, rule: Any, parents: Any, residual: Any, values: Sequence[Any]) -> Any:
        """As `record` for an operation with several results: `rule` gets a list of cotangents."""
        joint = self.record(rule, parents, residual, ()).slot
        n = len(values)
        return tuple(
            self.record(_project, [joint], (i, n), value) if differentiable(value) else value
            for i, value in enumerate(values)
        )

    def drop(self, start: int, slots: Sequence[int], until: int, name: str) -> None:
        """Forgets the steps from `start` on that led to `slots`; no other value gets their slots.

        Nor does one get a slot below `until`. Other steps are those of other threads, or of values
        that led to nothing: they stay as they are.
        """
        steps, dropped = self.steps, (_refuse_dropped, (), name)
        stack = list(slots)
        while stack:
            slot = stack.pop()
            if type(slot) is int and slot >= start and steps[slot][0] is not _refuse_dropped:
                parents = steps[slot][1]
                steps[slot] = dropped
                stack += (parents,) if type(parents) is int else parents
        steps.extend([dropped] * (until - len(steps)))

    def close(self) -> None:
        """Ends the trace: its boxes, if any escaped, raise when used."""
        self.__class__ = ClosedTape
        self.steps = []

    def grad_of(self, var: Var) -> Any:
        """What `Var.grad` is: nothing, but for values made by hand."""
        raise AttributeError  # Box.__getattr__ says why

    def backward(self, out: Var, ct: Any) -> None:
        """What `Var.backward` does: nothing, but for values made by hand."""
        raise AttributeError(located(out._without("backward")))

    def retain(self, var: Var) -> None:
        """What `Var.retain_grad` does: nothing, but for values made by hand."""
        raise AttributeError(located(var._without("retain_grad")))

    def reopen(self, steps: list[Any]) -> None:
        """Opens a closed tape to sweep `steps` once more."""
        self.__class__ = Tape
        self.steps = steps


class ClosedTape(Tape):
    """A tape whose sweep has ended."""

    __slots__ = ()
    closed = True

    def process(self, primitive: Primitive, operands: Sequence[Any], params: dict[str, Any]) -> Any:
        raise EscapedTracerError(
            f"{primitive.name}: a value made inside {self.name or 'a differentiated function'} was"
            " used after its gradient had been computed. Return it (has_aux=True) instead of"
            " keeping it in a global, an attribute or a closure"
        )


def _refuse_dropped(ct: Any, name: str) -> Any:
    raise kept_from(name)


def kept_from(name: str) -> EscapedTracerError:
    """The error for a value that was kept from one run of a checkpointed function."""
    return EscapedTracerError(
        f"a value made inside {name} was kept in an attribute, an outer variable or a container,"
        " and used outside of that run. The function runs again for its derivative, and then it"
        " makes other values: return the value instead, in a list, tuple, dict or dataclass"
    )


def place(steps: list[Any], step: Any) -> int:
    """Appends a step; the slot it got."""
    steps.append(step)
    return slot_of(steps, step)


def slot_of(steps: list[Any], step: Any) -> int:
    """The slot of a step just appended: the last, unless another thread uses the same tape."""
    slot = len(steps) - 1
    while steps[slot] is not step:
        slot -= 1
    return slot


def differentiable(value: Any) -> bool:
    """True for float and complex values: the only ones with cotangents."""
    dtype = getattr(value, "dtype", None)
    return isinstance(value, (float, complex)) if dtype is None else is_inexact(dtype)


class Var(Box):
    """A value on a tape. By hand: `v = Var(x); loss = f(v); loss.backward(); v.grad`.

    Arguments:
        value: a float or complex array or scalar; arrays are copied.

    `v.value = x` gives it another value, which it takes in its own dtype. A write into it
    (`v[0] = x`, `v -= x`) does the same inside `no_grad()`, and is an error elsewhere.

    Raises:
        ConversionError: `value` is itself a differentiated value.
        NotDifferentiableError: `value` is not a float or complex number.

    >>> v = Var([1.0, 2.0])
    >>> (v * v).sum().backward()
    >>> v.grad
    array([2., 4.])
    """

    __slots__ = ("slot",)
    slot: Any
    contents = ("value",)

    def __new__(cls, value: Any) -> Var:
        from pycograd.core.by_hand import leaf
        from pycograd.core.fillable import settled

        value = settled(value)
        if isinstance(value, Box):
            raise ConversionError(f"Var() of {value._kind()}: it is already differentiated")
        return leaf(value)

    def rebind(self, new: Box) -> None:
        floor = self._trace.floor
        if floor and self.slot < floor:
            raise OuterWriteError(
                "a value made outside a checkpointed function was written inside it; the write"
                " would be repeated when the function is run again. Return the new value instead"
            )
        self.value, self.slot = new.value, new.slot

    def __bool__(self) -> bool:
        return bool(self.value)

    @property
    def grad(self) -> Any:
        """By hand: the cotangent from the last `backward`; zeros before."""
        return self._trace.grad_of(self)

    def backward(self, ct: Any = None) -> None:
        """By hand: computes `.grad` of every leaf this value depends on, starting from zero.

        Arguments:
            ct: the cotangent of this value, of its shape; 1 for a real scalar if left out.

        Raises:
            NonScalarOutputError: no `ct` for a value that is not a real scalar.
            ShapeError, NotDifferentiableError: a `ct` of another shape, or a complex one for a real
                value.
            ConversionError: `ct` is a `Var` made by hand, whose own derivative would be lost.
        """
        self._trace.backward(self, ct)

    def retain_grad(self) -> Var:
        """By hand: keeps `.grad` of this value, which is not a leaf, in later sweeps."""
        self._trace.retain(self)
        return self

    def detach(self) -> Any:
        """The value as a constant."""
        return self.value


class WeakVar(Var):
    """A `Var` of a Python scalar, which adapts to the dtype of arrays; kept off the fast path."""

    __slots__ = ()

    @property
    def shape(self) -> tuple[Any, ...]:
        return ()

    @property
    def dtype(self) -> np.dtype[Any]:
        return dtype_of(self.value)


# -- the sweep -------------------------------------------------------------------------------------
class Sweep:
    """The state of a running sweep: the steps not yet swept and the cotangents of their slots."""

    __slots__ = ("steps", "cts", "tape")

    def __init__(self, steps: list[Any], cts: list[Any], tape: Tape | None = None) -> None:
        self.steps, self.cts, self.tape = steps, cts, tape

    def run(self, stop: int) -> None:
        """Sweeps every step from the last down to `stop`, and forgets them."""
        steps, cts = self.steps, self.cts
        parents: Any = None
        try:
            for _ in range(len(steps) - stop):
                rule, parents, residual = steps.pop()
                ct = cts.pop()
                if ct is None:
                    continue
                if type(parents) is int:
                    ct = rule(ct, residual)
                    if cts[parents] is None:
                        cts[parents] = ct
                    elif ct is not None:
                        accumulate(cts, parents, ct)
                elif type(parents) is tuple:
                    for parent, part in zip(parents, rule(ct, residual)):
                        if cts[parent] is None:
                            cts[parent] = part
                        elif part is not None:
                            accumulate(cts, parent, part)
                else:
                    rule(ct, residual, parents, self)
        except IndexError:
            slots = (parents,) if type(parents) is int else parents or ()
            if any(type(slot) is int and slot >= len(cts) for slot in slots):
                raise kept_from("a checkpointed function") from None
            raise


def accumulate(cts: list[Any], slot: int, ct: Any) -> None:
    """Adds `ct` to the cotangent of `slot`, in place if the sweep alone holds its buffer."""
    total = cts[slot]
    if owned(total, 1) and type(ct) is _ndarray:
        cts[slot] = np.add(total, ct, total)
    else:
        cts[slot] = total + ct


def deposit(cts: list[Any], slot: int, ct: Any) -> None:
    """Adds `ct` to the cotangent of `slot`, which may have none yet."""
    if cts[slot] is None:
        cts[slot] = ct
    else:
        accumulate(cts, slot, ct)


def is_within(x: Any, tape: Any) -> bool:
    """True if `x` is a box of `tape`, or holds one."""
    while isinstance(x, Box):
        if x._trace is tape:
            return True
        x = x.value
    return False


def _project(ct: Any, residual: Any, parents: list[int], sweep: Sweep) -> None:
    """Result i of n of an operation with several: its cotangent joins the others'."""
    i, n = residual
    joint = parents[0]
    if sweep.cts[joint] is None:
        sweep.cts[joint] = [None] * n
    sweep.cts[joint][i] = ct


_BY_HAND = "grad(f)(x) for a gradient: .grad and .backward() are for a Var(x) made by hand"
INSTEAD.update({name: _BY_HAND for name in ("grad", "backward", "retain_grad")})

# Rules that add into the cotangent's buffer (the list form of parents); filled where defined.
INTO_BUFFER: set[Callable[..., Any]] = set()
