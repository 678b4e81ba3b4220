"""The checks of the sample table find planted faults, and each finds its own kind."""

import numpy as np
import pytest

from pycograd.core.aval import make_aval
from pycograd.core.box import raw
from pycograd.core.elementwise import Elementwise
from pycograd.core.linear import General, Linear
from pycograd.core.views import write
from pycograd.testing.check import checks_of
from pycograd.testing.recording import primitives_bound
from pycograd.testing.samples import Draw, Kink, Sample

draw = Draw("faults")
X = draw.normal(2, 3)


def sine(rule=lambda t, x: t * np.cos(x), function=np.sin, dtype=lambda x: x.dtype):
    return Elementwise("faulty", lambda x: function(x), [rule], dtype=dtype, register=False)


def doubled(transpose=lambda ct: 2 * ct, shape=None, batch=None):
    return Linear(
        "faulty",
        lambda x: 2 * x,
        transposes={"x": transpose},
        shape=shape or (lambda x: make_aval(x.shape, x.dtype)),
        batch=batch or (lambda size, values, mapped: 2 * values[0]),
        register=False,
    )


def general(jvp=lambda t, ans, x: t * np.cos(x), vjp=lambda ct, ans, x: ct * np.conj(np.cos(x))):
    return General(
        "faulty",
        np.sin,
        jvp=jvp,
        vjp=vjp,
        shape=lambda x: make_aval(x.shape, x.dtype),
        batch=lambda size, values, mapped: np.sin(values[0]),
        register=False,
    )


def cleared(x):
    x[...] = 0.0
    return np.sin(x)


def failures(primitive, **options):
    sample = Sample("faulty", primitive, [X.copy()], **options)
    found = set()
    for name, check in list(checks_of(sample)):
        try:
            with np.errstate(all="ignore"):
                check(Sample("faulty", primitive, [X.copy()], **options))
        except Exception:
            found.add(name)
    return found


@pytest.mark.parametrize("make", [sine, doubled, general])
def test_right_definitions_pass(make):
    assert failures(make()) == set()


@pytest.mark.parametrize(
    ("primitive", "expected"),
    [
        (sine(lambda t, x: t * np.cos(x) * 1.0001), {"jvp", "complex-jvp"}),
        (
            sine(lambda t, x: t * np.cos(raw(x))),
            {"second-rr", "second-fr", "second-rf", "second-ff"},
        ),
        (sine(dtype=lambda x: np.dtype(np.float64)), {"dtype-float32", "dtype-complex64"}),
        (sine(function=lambda x: np.sin(x) + 1e-7 * (np.ndim(x) == 3)), {"vmap"}),
        (doubled(transpose=lambda ct: 2.0001 * ct), {"adjoint", "complex-adjoint"}),
        (doubled(shape=lambda x: make_aval(x.shape[::-1], x.dtype)), {"shape", "symbolic"}),
        (doubled(shape=lambda x: make_aval((2, *x.shape[1:]), x.dtype)), {"symbolic"}),
        (doubled(batch=lambda size, values, mapped: 2 * values[0][::-1]), {"vmap"}),
        (general(vjp=lambda ct, ans, x: ct * np.conj(np.cos(raw(x)))), {"second-rr", "second-fr"}),
        (general(jvp=lambda t, ans, x: t * np.cos(raw(x))), {"second-rf", "second-ff"}),
        (general(vjp=lambda ct, ans, x: -ct * np.conj(np.cos(x))), {"adjoint"}),
    ],
)
def test_planted_faults_are_found(primitive, expected):
    assert expected <= failures(primitive)


def test_operands_cannot_be_changed():
    with pytest.raises(ValueError, match="read-only"):
        failures(sine(function=cleared))


def test_the_right_nestings_are_blamed():
    only_reverse = failures(general(vjp=lambda ct, ans, x: ct * np.conj(np.cos(raw(x)))))
    assert not only_reverse & {"jvp", "adjoint", "second-rf", "second-ff"}


def test_conventions_at_kinks():
    right, wrong = (Kink([np.zeros(1)], [[slope]]) for slope in (1.0, 0.5))
    assert failures(sine(), kinks=[right]) == set()
    assert failures(sine(), kinks=[wrong]) == {"kink-0"}
    assert failures(sine(lambda t, x: t * np.cos(x) / x), kinks=[Kink([np.zeros(1)])]) >= {"kink-0"}


def test_skipped_groups_are_left_out():
    sample = Sample("sin", np.sin, [X], skip={"second": "a reason", "dtype": "another"})
    names = {name for name, _ in checks_of(sample)}
    assert not any(name.startswith(("second", "dtype")) for name in names)
    assert {"bound", "value", "jvp", "vmap-grad"} <= names


def test_recording_sees_through_other_transforms_and_writes():
    from pycograd import grad

    out, seen = primitives_bound(lambda x: grad(lambda y: np.sum(np.exp(y) * x))(x)[0], X)
    assert {"exp", "multiply"} <= seen
    np.testing.assert_allclose(out, np.exp(X) * X)

    def written(x):
        y = x * 1.0
        write(y, y._trace.constant(np.zeros(x.shape)))
        return y + 1.0

    np.testing.assert_array_equal(primitives_bound(written, X)[0], np.ones((2, 3)))
