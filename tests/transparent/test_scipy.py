"""Functions of SciPy's that know of no protocol, however they are reached."""

import math

import numpy as np
import pytest
import scipy.integrate
import scipy.integrate as si
import scipy.special
from scipy.integrate import quad
from scipy.special import logsumexp, softmax as normalized

from pycograd import grad, transparent, vmap
from pycograd.testing import check_grads
from pycograd.transparent import prepared

X = np.array([0.3, 0.7, 1.2])


def helper(x):
    return scipy.special.logsumexp(x * x)


def inside(x):
    from scipy.special import logsumexp

    return logsumexp(x)


PROGRAMS = {
    "from-import": lambda x: logsumexp(x) * np.sum(normalized(x) ** 2),
    "attribute": lambda x: scipy.special.logsumexp(x),
    "helper": lambda x: helper(x) + 1.0,
    "inside": inside,
    "module": lambda x: si.quad(lambda t, a: np.sin(a * t), 0.0, 1.0, args=(x[0],))[0] * x[1],
    "package": lambda x: scipy.integrate.quad(lambda t, a: np.exp(a * t), 0.0, 1.0, (x[2],))[0],
    "with-math": lambda x: quad(lambda t, a: t * math.sin(a), 0.0, float(x[1]), args=(x[0],))[0],
}


@pytest.mark.parametrize("name", PROGRAMS)
def test_stand_ins_of_scipy(name):
    f = PROGRAMS[name]
    assert prepared(f) is not f
    check_grads(f, (X,), order=1)
    np.testing.assert_allclose(grad(transparent(f))(X)[0], grad(f)(X)[0])
    assert transparent(f)(X) == f(X)


def test_under_vmap():
    rows = np.stack([X, X[::-1]])
    f = PROGRAMS["helper"]
    np.testing.assert_allclose(vmap(f)(rows), [f(row) for row in rows])


def test_ufuncs_need_no_mode():
    f = lambda x: np.sum(scipy.special.erf(x))
    check_grads(f, (X,))
