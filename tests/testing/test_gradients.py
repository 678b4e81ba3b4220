"""`check_grads` accepts what is right and says precisely what is wrong."""

from collections import namedtuple

import numpy as np
import pytest

from pycograd import GradientCheckError, NotDifferentiableError, custom_jvp, custom_vjp
from pycograd.testing import check_grads

Pair = namedtuple("Pair", "w b")
X = np.array([[0.5, -1.0, 2.0], [0.3, 0.7, -0.2]])


def smooth(tree, k, z):
    return {"a": np.sin(tree["p"].w @ np.ones(3)) * tree["p"].b, "b": (np.abs(z) ** 2 * k, k)}


@pytest.mark.parametrize("modes", [("fwd", "rev"), ("fwd",), "rev"])
@pytest.mark.parametrize("order", [1, 2])
def test_right_gradients_pass(modes, order):
    args = ({"p": Pair(X, 0.5), "none": None}, 3, np.array([1 + 2j, 0.5j]))
    check_grads(smooth, args, order=order, modes=modes)


def test_third_order():
    check_grads(lambda x: np.sum(np.exp(x) * x), (X[0],), order=3)


@pytest.mark.parametrize("dtype", [np.float32, np.float16, np.complex64, np.longdouble])
def test_other_dtypes(dtype):
    check_grads(lambda x: np.sum(np.tanh(x) * x), (X.astype(dtype),), order=1)


def test_python_floats_and_no_arguments():
    check_grads(lambda x, y: x * y + x**3, (0.5, 2.0))
    with pytest.raises(NotDifferentiableError):
        check_grads(lambda n: n, (3,))
    with pytest.raises(TypeError, match=r"\(x,\)"):
        check_grads(np.sin, np.ones(3))
    with pytest.raises(ValueError, match="fwd"):
        check_grads(np.sin, (0.5,), modes=("forward",))
    with pytest.raises(ValueError, match="order"):
        check_grads(np.sin, (0.5,), order=0)


def wrong_vjp(factor):
    @custom_vjp
    def square(x):
        return x * x

    square.defvjp(lambda x: (x * x, x), lambda x, ct: (ct * factor(x),))
    return square


def wrong_jvp(factor):
    @custom_jvp
    def square(x):
        return x * x

    square.defjvp(lambda primals, tangents: (primals[0] ** 2, tangents[0] * factor(primals[0])))
    return square


def test_a_wrong_reverse_rule_is_named():
    bad = wrong_vjp(lambda x: 2 * x + np.eye(2, 3) * 1e-3)
    with pytest.raises(GradientCheckError) as caught:
        check_grads(lambda p: np.sum(bad(p["w"])), ({"w": X},), modes="rev")
    message = str(caught.value)
    assert "reverse mode, order 1" in message
    assert "argument 0.w, entry (0, 0)" in message
    assert "1.00" in message  # differences give 2 * 0.5


def test_a_wrong_forward_rule_is_named():
    bad = wrong_jvp(lambda x: 2 * x + np.array([0.0, 0.0, 1e-3]))
    with pytest.raises(GradientCheckError) as caught:
        check_grads(lambda c, x: bad(x), (1.0, X[0]), modes="fwd")
    message = str(caught.value)
    assert "forward mode, order 1" in message
    assert "argument 1, entry (2)" in message and "output entry (2)" in message


def test_a_wrong_second_derivative_is_named():
    from pycograd import stop_gradient

    bad = wrong_vjp(lambda x: 2 * stop_gradient(x))
    check_grads(lambda x: np.sum(bad(x)), (X[0],), order=1, modes="rev")
    with pytest.raises(GradientCheckError, match=r"order 2 \(reverse over reverse\), argument 0"):
        check_grads(lambda x: np.sum(bad(x)), (X[0],), modes="rev")


def test_a_nan_is_found():
    with np.errstate(all="ignore"), pytest.raises(GradientCheckError, match="nan"):
        check_grads(lambda x: np.sum(np.where(x > 0, x, np.log(x - x))), (-np.ones(2),))


def test_a_wrong_entry_of_a_large_array_is_found():
    n = 5000
    bad = wrong_vjp(lambda x: 2 * x + (np.arange(n) == 1234))
    with pytest.raises(GradientCheckError, match="order 1"):
        check_grads(lambda x: np.sum(bad(x)), (np.linspace(0.0, 1.0, n),), modes="rev")


def test_tolerances_and_steps():
    near = wrong_vjp(lambda x: 2 * x + 1e-3)
    check_grads(lambda x: np.sum(near(x)), (X,), order=1, modes="rev", atol=1e-2)
    with pytest.raises(GradientCheckError):
        check_grads(lambda x: np.sum(near(x)), (X,), order=1, modes="rev", rtol=1e-6, atol=1e-6)
    kinked = lambda x: np.sum(np.abs(x))
    check_grads(kinked, (np.array([1e-3]),))
    with pytest.raises(GradientCheckError):
        check_grads(kinked, (np.array([1e-3]),), eps=1e-2)
