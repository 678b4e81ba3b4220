"""`scipy.special`: every ufunc is differentiated or refused; identities; extremes; the protocol."""

import json
import math
import subprocess
import sys

import numpy as np
import pytest
import scipy.integrate
import scipy.special as sc

import pycograd.scipy.special as ours
from pycograd import (
    MissingRuleError,
    UnsupportedOperationError,
    check_grads,
    custom_vjp,
    eval_shape,
    grad,
    hessian,
    jacfwd,
    jvp,
    stop_gradient,
    value_and_grad,
    vmap,
)
from pycograd.core.primitive import REGISTRY
from pycograd.core.spelling import UFUNCS
from pycograd.scipy.dispatch import STANDS_FOR, stand_in

PUBLIC = {
    name: f
    for name in dir(sc)
    if isinstance(f := getattr(sc, name), np.ufunc) and name != "_ufuncs"
}
REMAINING = {f.__name__: f for f in ours.REMAINING}


def slope(f, x):
    return jacfwd(f, argnums=0)(x)


# -- all of them -------------------------------------------------------------------------------
def test_every_public_ufunc_has_a_definition():
    assert not [name for name, f in PUBLIC.items() if f not in UFUNCS]


def test_few_are_left_without_a_rule():
    assert len(REMAINING) < len(PUBLIC) // 3
    known = {"gamma", "erf", "jv", "iv", "betainc", "gammainc", "ellipk", "hyp2f1", "airy", "expit"}
    assert not known & set(REMAINING)


@pytest.mark.filterwarnings("ignore:floating point number truncated")
@pytest.mark.parametrize("name", sorted(REMAINING))
def test_an_operand_without_a_rule_is_refused_by_name(name):
    f = REMAINING[name]
    point = [0.5] * f.nin
    for i in range(f.nin):

        def one(x, i=i):
            out = f(*point[:i], x, *point[i + 1 :])
            return np.real(out[0] if f.nout > 1 else out)

        with pytest.raises((MissingRuleError, UnsupportedOperationError)) as caught:
            grad(one)(0.5)
        assert f"scipy.special.{name} " in str(caught.value)
        assert "custom_vjp" in str(caught.value)
        with pytest.raises((MissingRuleError, UnsupportedOperationError), match="custom_vjp"):
            jvp(one, (0.5,), (1.0,))


@pytest.mark.filterwarnings("ignore:floating point number truncated")
@pytest.mark.parametrize("name", sorted(n for n, f in REMAINING.items() if f.nin <= 4))
def test_without_a_rule_it_still_runs_in_rows_and_in_shapes(name):
    f = REMAINING[name]
    x = np.array([0.4, 0.6])
    point = [x, *[0.5] * (f.nin - 1)]
    with np.errstate(all="ignore"):
        plain, rows = f(*point), vmap(lambda x: f(x, *point[1:]))(x)
    shapes = eval_shape(lambda x: f(x, *point[1:]), x)
    for a, b, c in zip(*[y if f.nout > 1 else (y,) for y in (plain, rows, shapes)]):
        np.testing.assert_array_equal(a, b)
        assert (c.shape, c.dtype) == (a.shape, a.dtype)


def test_no_derivative_is_zero_by_omission():
    """A rule of None is a zero: only where the derivative is one."""
    zero = {
        (p.name, i)
        for p in REGISTRY.values()
        if getattr(p, "ufunc", None) in [*PUBLIC.values(), sc._ufuncs._lambertw]
        for i, rule in enumerate(p.rules)
        if rule is None
    }
    assert zero <= {("gammasgn", 0), ("scipy_round", 0), ("lambertw", 1), ("lambertw", 2)}


@pytest.mark.parametrize(
    "f, operand",
    [
        (lambda v: sc.jv(v, 2.0), "jv .* its order v"),
        (lambda v: sc.kve(v, 2.0), "kve .* its order v"),
        (lambda v: sc.hyp2f1(v, 1.0, 2.0, 0.3), "hyp2f1 .* its parameter a"),
        (lambda v: sc.pbdv(v, 1.0)[0], "pbdv_value .* its parameter v"),
        (lambda v: sc.eval_legendre(v, 0.3), "eval_legendre .* its degree n"),
        (lambda v: sc.pdtr(v, 0.3), "pdtr .* its count k"),
        (lambda v: sc.zeta(v, 1.5), "zeta .* its exponent x"),
        (lambda v: sc.zeta(v), "riemann_zeta .* its exponent x"),
        (lambda v: ours.polygamma(v * 2, 1.5), "polygamma .* its order n"),
        (lambda v: v * sc.jv(v, v), "jv .* its order v"),
    ],
)
def test_an_order_is_refused(f, operand):
    for transform in (grad(f), lambda x: jvp(f, (x,), (1.0,)), hessian(f, argnums=0)):
        with pytest.raises(MissingRuleError, match=operand):
            transform(1.5)
    assert np.isfinite(grad(lambda v: f(stop_gradient(v)) + v)(1.5)[0])


def test_an_order_may_be_mapped():
    orders = np.array([0.0, 1.0, 2.5])
    slopes = vmap(lambda v: grad(lambda x: sc.jv(v, x))(1.7)[0])(orders)
    np.testing.assert_allclose(slopes, [sc.jvp(v, 1.7) for v in orders])


def test_custom_vjp_gives_the_missing_rule():
    @custom_vjp
    def smirnov(x):
        return sc.smirnov(3, x)

    smirnov.defvjp(lambda x: (sc.smirnov(3, x), x), lambda x, ct: (ct * x,))
    assert grad(smirnov)(0.25)[0] == 0.25


# -- identities --------------------------------------------------------------------------------
X = np.array([0.3, 1.0, 4.7, 25.0])


@pytest.mark.parametrize("v", [0, 1, 2.5])
def test_wronskians_of_bessel_functions(v):
    J, Y, I, K = (lambda x, f=f: f(v, x) for f in (sc.jv, sc.yv, sc.iv, sc.kv))
    d = lambda f: vmap(lambda x: grad(f)(x)[0])(X)
    np.testing.assert_allclose(J(X) * d(Y) - d(J) * Y(X), 2 / (math.pi * X), rtol=1e-11)
    np.testing.assert_allclose(d(I) * K(X) - I(X) * d(K), 1 / X, rtol=1e-11)


def test_the_airy_wronskian_and_equation():
    x = np.array([-3.0, 0.0, 1.2])
    (ai, _, bi, _), (dai, daip, dbi, dbip) = jvp(sc.airy, (x,), (np.ones(3),))
    np.testing.assert_allclose(ai * dbi - dai * bi, 1 / math.pi)
    np.testing.assert_allclose(daip, x * ai)
    np.testing.assert_allclose(dbip, x * bi)


@pytest.mark.parametrize("name", ["jn", "yn", "in", "kn"])
def test_spherical_functions_of_both_signs(name):
    f, original = getattr(ours, f"spherical_{name}"), getattr(sc, f"spherical_{name}")
    z = np.array([-2.0, -0.4, 0.5, 3.0])
    for n in (0, 1, 3):
        value, d = jvp(lambda z, n=n: f(n, z), (z,), (np.ones(4),))
        step = 1e-5
        differences = (original(n, z + step) - original(n, z - step)) / (2 * step)
        known = np.isfinite(differences)  # before scipy 1.15 not the negative z
        np.testing.assert_allclose(value[known], original(n, z)[known])
        np.testing.assert_allclose(d[known], differences[known], rtol=1e-7)
        assert np.isfinite([value, d]).all()
    assert stand_in(original) is f


def test_scipys_own_derivatives_of_bessel_functions_differentiate():
    for f, primitive in ((sc.jvp, sc.jv), (sc.ivp, sc.iv), (sc.kvp, sc.kv)):
        np.testing.assert_allclose(grad(lambda z, f=f: f(1.5, z))(0.7)[0], f(1.5, 0.7, 2))
        np.testing.assert_allclose(grad(lambda z, g=primitive: g(1.5, z))(0.7)[0], f(1.5, 0.7))


def test_legendres_relation_of_elliptic_integrals():
    # E(m) K(1-m) + E(1-m) K(m) - K(m) K(1-m) is pi / 2, whatever m is
    def relation(m):
        K, E, Kc, Ec = sc.ellipk(m), sc.ellipe(m), sc.ellipkm1(m), sc.ellipe(1 - m)
        return E * Kc + Ec * K - K * Kc

    for m in (1e-3, 0.3, 0.5, 0.999):
        value, d = jvp(relation, (m,), (1.0,))
        np.testing.assert_allclose(value, math.pi / 2)
        assert abs(d) < 1e-9


@pytest.mark.parametrize("m", [-3.0, 0.0, 1e-9, 0.4, 0.99])
def test_slopes_of_elliptic_integrals_in_the_parameter(m):
    for phi in (0.0, 0.7, 1.5, -2.0, 4.0, 7.0):
        if m * math.sin(min(abs(phi), math.pi / 2)) ** 2 >= 1:
            continue
        kernel = lambda a: 0.5 * math.sin(a) ** 2
        first = scipy.integrate.quad(
            lambda a: kernel(a) / (1 - m * math.sin(a) ** 2) ** 1.5, 0, phi
        )
        second = scipy.integrate.quad(
            lambda a: -kernel(a) / (1 - m * math.sin(a) ** 2) ** 0.5, 0, phi
        )
        np.testing.assert_allclose(
            slope(lambda m, p=phi: sc.ellipkinc(p, m), m), first[0], 1e-8, 1e-13
        )
        np.testing.assert_allclose(
            slope(lambda m, p=phi: sc.ellipeinc(p, m), m), second[0], 1e-8, 1e-13
        )


def test_jacobis_functions_stay_on_the_circle():
    def invariants(u, m):
        sn, cn, dn, _ = sc.ellipj(u, m)
        return np.stack([sn**2 + cn**2, dn**2 + m * sn**2])

    for u, m in ((0.7, 0.3), (5.0, 0.9), (-3.0, 0.0)):
        _, du = jvp(lambda u, m=m: invariants(u, m), (u,), (1.0,))
        _, dm = jvp(lambda m, u=u: invariants(u, m), (m,), (1.0,))
        np.testing.assert_allclose(du, 0, atol=1e-13)
        np.testing.assert_allclose(dm, 0, atol=1e-13)


def test_recurrences_of_the_gamma_family():
    z = np.array([0.2, -0.7 + 0.3j, 3.0 - 2.0j, -4.5 + 0.01j])
    first = lambda f, z: vmap(lambda z: jvp(f, (z,), (1 + 0j,))[1])(z)
    np.testing.assert_allclose(first(sc.psi, z + 1), first(sc.psi, z) - 1 / z**2, rtol=1e-11)
    np.testing.assert_allclose(first(sc.gamma, z + 1), sc.gamma(z) + z * first(sc.gamma, z))
    np.testing.assert_allclose(first(sc.loggamma, z + 1), first(sc.loggamma, z) + 1 / z)
    # polygamma of even order, reflected: psi'(1 - z) + psi'(z) = (pi / sin(pi z))^2
    total = first(sc.psi, 1 - z) + first(sc.psi, z)
    np.testing.assert_allclose(total, (math.pi / np.sin(math.pi * z)) ** 2, rtol=1e-10)


def test_the_reciprocal_gamma_function_is_entire():
    # near -n, 1 / gamma(x) is (-1)^n n! (x + n) (1 - psi(n + 1) (x + n) + ...)
    for n in range(5):
        first, second = slope(sc.rgamma, -1.0 * n), slope(lambda x: slope(sc.rgamma, x), -1.0 * n)
        expected = (-1) ** n * math.factorial(n)
        np.testing.assert_allclose([first, second], [expected, -2 * expected * sc.psi(n + 1)])


@pytest.mark.parametrize("a, x", [(0.02, 0.5), (0.5, 0.1), (1.0, 1.0), (3.0, 7.0), (80.0, 75.0)])
def test_the_incomplete_gamma_function_in_its_parameter(a, x):
    density = lambda t: math.exp((a - 1) * math.log(t) - t - sc.gammaln(a))
    weight = lambda t: density(t) * (math.log(t) - sc.psi(a))
    expected = -scipy.integrate.quad(weight, x, x + 40 + 20 * math.sqrt(a), limit=200)[0]
    for f, sign in ((sc.gammainc, 1), (sc.gammaincc, -1)):
        np.testing.assert_allclose(slope(lambda a, f=f: f(a, x), a), sign * expected, rtol=1e-7)


@pytest.mark.parametrize("a, b, x", [(0.5, 0.5, 0.1), (0.02, 3.0, 0.4), (40.0, 2.0, 0.97)])
def test_the_incomplete_beta_function_in_its_parameters(a, b, x):
    density = lambda t: t ** (a - 1) * (1 - t) ** (b - 1) / sc.beta(a, b)
    log_a = lambda t: density(t) * (math.log(t) - sc.psi(a) + sc.psi(a + b))
    log_b = lambda t: density(t) * (math.log1p(-t) - sc.psi(b) + sc.psi(a + b))
    expected = [-scipy.integrate.quad(f, x, 1)[0] for f in (log_a, log_b)]
    found = grad(lambda a, b: sc.betainc(a, b, x))(a, b)
    np.testing.assert_allclose(found, expected, rtol=1e-6)
    swapped = grad(lambda a, b: sc.betainc(b, a, 1 - x))(a, b)
    np.testing.assert_allclose(found, np.negative(swapped), rtol=1e-9)


@pytest.mark.parametrize(
    "f, inverse, parameters",
    [
        (sc.gammainc, sc.gammaincinv, (2.3,)),
        (sc.gammaincc, sc.gammainccinv, (0.4,)),
        (sc.betainc, sc.betaincinv, (2.3, 0.6)),
        (sc.betaincc, sc.betainccinv, (0.3, 1.7)),
        (sc.chdtrc, sc.chdtri, (3.0,)),
        (sc.stdtr, sc.stdtrit, (3.0,)),
        (sc.fdtr, sc.fdtri, (3.0, 4.5)),
        (sc.gdtr, sc.gdtrix, (0.7, 2.0)),
    ],
)
def test_an_inverse_undoes_its_function_in_every_operand(f, inverse, parameters):
    through = lambda p, *parameters: f(*parameters, inverse(*parameters, p))
    found = grad(through)(0.3, *parameters)
    np.testing.assert_allclose(found, [1.0, *[0.0] * len(parameters)], atol=1e-8)


def test_student_and_f_distributions_agree():
    # the square of a Student variable of n degrees has the F distribution of 1 and n
    student = lambda t, n: 2 * sc.stdtr(n, t) - 1
    fisher = lambda t, n: sc.fdtr(1.0, n, t * t)
    for t, n in ((0.3, 2.5), (2.0, 7.0)):
        np.testing.assert_allclose(grad(student)(t, n), grad(fisher)(t, n), rtol=1e-9)


# -- extremes ----------------------------------------------------------------------------------
@pytest.mark.parametrize(
    "f, x, expected",
    [
        (sc.expit, -1000.0, 0.0),
        (sc.expit, -700.0, math.exp(-700.0)),
        (sc.expit, 700.0, math.exp(-700.0)),
        (sc.log_expit, -1000.0, 1.0),
        (sc.log_ndtr, 40.0, math.exp(-800.0) / math.sqrt(2 * math.pi)),
        (sc.log_ndtr, -40.0, 40 + 1 / 40 - 2 / 40**3 + 10 / 40**5 - 74 / 40**7),  # Mills' ratio
        (sc.log_ndtr, -1e10, 1e10),
        (sc.erfcx, 1e8, -1e-16 / math.sqrt(math.pi)),
        (
            sc.erfcx,
            30.0,
            -(1 - 3 / 1800 + 15 / 3240000 - 105 / 5.832e9) / (900 * math.sqrt(math.pi)),
        ),
        (sc.dawsn, 1e8, -0.5e-16),
        (sc.dawsn, -1e3, -0.5e-6 - 0.75e-12),
        (sc.exprel, 0.0, 0.5),
        (sc.exprel, -1e4, 1e-8),
        (sc.lambertw, 0.0, 1.0),
        (sc.spence, 1.0, -1.0),
        (sc.ellipkm1, 1e-20, -0.5e20),
        (sc.i0e, 0.0, 0.0),
        (sc.entr, 0.0, math.inf),
    ],
)
def test_slopes_at_extremes(f, x, expected):
    with np.errstate(all="ignore"):
        np.testing.assert_allclose(grad(lambda x: np.real(f(x)))(x)[0], expected, rtol=1e-9)


def test_xlogy_at_zero():
    f = lambda x, y: sc.xlogy(x, y)
    with np.errstate(divide="ignore"):
        assert grad(f)(0.0, 0.0) == (0.0, 0.0)
        assert grad(f)(0.0, 2.0) == (math.log(2.0), 0.0)
        assert grad(lambda p: sc.xlogy(p, p))(0.0) == (0.0,)


def test_dtypes_are_kept():
    for f in (sc.erf, sc.expit, sc.psi, sc.erfcx, sc.ellipk, sc.j1, sc.itstruve0, sc.spence):
        (g,) = grad(lambda x, f=f: np.sum(f(x)))(np.full(2, 0.5, np.float32))
        assert g.dtype == np.float32
        out, t = jvp(f, (np.float32(0.5),), (np.float32(1),))
        assert out.dtype == t.dtype == np.float32
    for f in (sc.expit, sc.logit, sc.log_expit):
        assert grad(f)(np.longdouble(0.5))[0].dtype == np.longdouble


def test_complex_functions_have_complex_derivatives():
    z = np.array([0.4 + 0.3j, 1.5 - 0.7j])
    for f in (sc.wofz, sc.loggamma, sc.hankel1e, sc.exp1, sc.lambertw, sc.hyp2f1):
        run = {
            sc.hankel1e: lambda z: sc.hankel1e(1.5, z),
            sc.hyp2f1: lambda z: sc.hyp2f1(1, 2, 3.5, z / 3),
        }
        check_grads(run.get(f, f), (z,), order=2)


# -- the protocol ------------------------------------------------------------------------------
def test_keywords_and_methods_of_ufuncs():
    x = np.array([0.2, 0.7, 1.1])

    def written(x):
        out = np.zeros(3, like=x)
        sc.erf(x, out=out)
        return np.sum(out)

    np.testing.assert_allclose(grad(written)(x)[0], 2 / math.sqrt(math.pi) * np.exp(-x * x))
    masked = lambda x: np.sum(sc.gamma(x, out=x * 0.0, where=np.array([True, False, True])))
    np.testing.assert_allclose(
        grad(masked)(x)[0], [*[sc.gamma(0.2) * sc.psi(0.2), 0, sc.gamma(1.1) * sc.psi(1.1)]]
    )
    outer = lambda x: np.sum(sc.xlogy.outer(x, x))
    np.testing.assert_allclose(grad(outer)(x)[0], np.sum(np.log(x)) + np.sum(x) / x)
    narrow = value_and_grad(lambda x: np.sum(sc.erf(x, dtype=np.float32)))(x)
    assert narrow[0].dtype == np.float32 and narrow[1][0].dtype == np.float64


def run(program):
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_scipy_may_be_imported_after_the_first_miss():
    program = """
import json, sys
import numpy as np
import pycograd
late = lambda x: np.sum(np.fft.fft(x).real)
found = [float(pycograd.grad(late)(np.ones(3))[0][0])]
loaded = [m for m in sys.modules if m.startswith("pycograd.scipy")]
import scipy.special
found.append(float(pycograd.grad(scipy.special.expit)(0.0)[0]))
print(json.dumps([found, loaded]))
"""
    assert run(program) == [[3.0, 0.25], []]


def test_scipy_is_not_imported_for_a_function_of_numpy():
    program = """
import json, sys
import numpy as np
import pycograd
pycograd.grad(lambda x: np.sum(np.sinc(x)))(np.ones(3))
try:
    pycograd.grad(np.frompyfunc(abs, 1, 1))(1.0)
except TypeError:
    pass
print(json.dumps([m for m in sys.modules if "scipy" in m]))
"""
    assert run(program) == []


def test_only_what_scipy_has_imported_is_loaded():
    program = """
import json, sys
import pycograd, scipy.special
pycograd.grad(scipy.special.expit)(0.0)
print(json.dumps("pycograd.scipy.signal" in sys.modules))
"""
    assert run(program) is False


# -- functions written in Python ---------------------------------------------------------------
def test_stand_ins_have_scipys_names_and_results_on_arrays():
    for original, stand in STANDS_FOR.items():
        if original.__module__.startswith("scipy.special"):
            assert stand.__name__ == original.__name__
            assert getattr(ours, original.__name__) is stand
    assert ours.erf is sc.erf
    assert {"erf", "logsumexp", "spherical_jn"} <= set(dir(ours))
    assert ours.comb(5, 2, exact=True) == 10


@pytest.mark.parametrize(
    "kwargs",
    [
        {},
        {"axis": 0},
        {"axis": (0, 1), "keepdims": True},
        {"axis": -1, "b": np.array([1.0, 0.0, 2.0])},
        {"axis": 1, "b": np.array([[1.0], [3.0]]), "keepdims": True},
        {"b": 0.5},
    ],
)
def test_logsumexp_is_scipys(kwargs, rng):
    a = rng.normal(size=(2, 3)) + np.array([900.0, 0.0, -900.0])
    value, tangent = jvp(lambda a: ours.logsumexp(a, **kwargs), (a,), (np.ones((2, 3)),))
    np.testing.assert_allclose(value, sc.logsumexp(a, **kwargs))
    np.testing.assert_allclose(tangent, 1.0)  # a constant added to all is added to the result


def test_logsumexp_with_signs(rng):
    a, b = rng.normal(size=3), np.array([1.0, -2.0, 0.5])
    value, sign = ours.logsumexp(a, b=b, return_sign=True)
    (out, s), (t, _) = jvp(lambda a: ours.logsumexp(a, b=b, return_sign=True), (a,), (b * 0 + 1,))
    np.testing.assert_allclose([out, s, t], [value, sign, 1.0])
    check_grads(lambda a, b: ours.logsumexp(a, b=b, return_sign=True)[0], (a, b), order=2)
    z = a + 0.3j
    np.testing.assert_allclose(jvp(ours.logsumexp, (z,), (z * 0 + 1,))[1], 1.0)


@pytest.mark.parametrize("name", ["softmax", "log_softmax"])
def test_softmax_is_scipys(name, rng):
    x = rng.normal(size=(2, 3))
    f, original = getattr(ours, name), getattr(sc, name)
    for axis in (None, 0, -1):
        np.testing.assert_allclose(jvp(lambda x: f(x, axis), (x,), (x,))[0], original(x, axis))
    check_grads(f, (x,), order=2)


def test_counting_functions():
    np.testing.assert_allclose(grad(lambda n: ours.factorial(n))(3.0)[0], 6 * sc.psi(4))
    assert grad(lambda n: ours.factorial(n))(-2.5) == (0.0,)
    np.testing.assert_allclose(
        grad(lambda n: ours.comb(n, 2.0))(5.0)[0], 4.5, rtol=1e-12
    )  # n (n - 1) / 2
    np.testing.assert_allclose(grad(lambda n: ours.perm(n, 2.0))(5.0)[0], 9.0, rtol=1e-12)
    assert grad(lambda n: ours.comb(n, 7.0))(5.0) == (0.0,)
    for f in (ours.factorial, lambda n: ours.factorial(n, exact=True)):
        assert f(5) == 120
    for f in (lambda n: ours.comb(n, 2, exact=True), lambda n: ours.perm(n, 2, exact=True)):
        with pytest.raises(UnsupportedOperationError, match="exact=True"):
            grad(f)(5.0)


def test_multigammaln():
    for d in (1, 2, 3):
        value, t = jvp(lambda a, d=d: ours.multigammaln(a, d), (4.0,), (1.0,))
        np.testing.assert_allclose(value, sc.multigammaln(4.0, d))
        np.testing.assert_allclose(t, sum(sc.psi(4.0 - 0.5 * j) for j in range(d)))
    with pytest.raises(ValueError, match="positive integer"):
        grad(lambda d: ours.multigammaln(4.0, d))(2.0)
