"""Abstract evaluation against reality; symbols, equalities, errors, summaries."""

import numpy as np
import pytest

import pycograd as pg
from pycograd import ShapeDtypeStruct as S, eval_shape, grad, vmap


def test_repr():
    assert repr(S((5, 3))) == "f64[5,3]" and repr(S((), "bf16")) == "bf16[]"
    assert repr(S(("B", 3), np.int32)) == "i32[B,3]" and repr(S((2,), bool)) == "bool[2]"
    assert repr(S((2,), "c128")) == "c128[2]"


def test_nothing_is_allocated():
    assert repr(eval_shape(lambda a, b: a @ b, S((100000, 100000)), S((100000, 100000)))) == (
        "f64[100000,100000]"
    )


@pytest.mark.parametrize(
    "f", [np.exp, lambda x: x / 2, np.mean, np.sum, lambda x: x * 2.5, np.cumsum]
)
@pytest.mark.parametrize("dtype", ["i4", "i8", "f4", "?", "f2"])
def test_integer_promotion_is_numpys(f, dtype):
    x = np.ones(3, dtype)
    real = np.asarray(f(x))
    assert eval_shape(f, x) == S(real.shape, real.dtype)


def test_under_transforms():
    loss = lambda w, x: np.sum(np.tanh(x @ w))
    w, x = S((4, 3)), S((7, 4))
    assert repr(eval_shape(grad(loss), w, x)) == "(f64[4,3], f64[7,4])"
    assert repr(eval_shape(vmap(grad(loss, 0), (None, 0)), w, x)) == "f64[7,4,3]"
    assert repr(eval_shape(pg.hessian(lambda v: np.sum(v**3)), S((5,)))) == "f64[5,5]"


def test_symbols():
    net = lambda x, w: np.tanh(x @ w).reshape(-1)
    out = eval_shape(net, S(("B", 3)), S((3, "N")))
    assert str(out.shape[0]) == "B*N"
    assert pg.substitute(out, {"B": 2, "N": 5}) == S((10,))
    assert pg.bind(net, S(("B", 3)), S((3, "N")), sizes={"B": 2, "N": 5}) == S((10,))
    assert pg.infer_shapes(np.matmul, (7, 4), (4, "N"))[0] == 7


def test_contradictions_are_reported():
    f = lambda x, y: x + y
    assert eval_shape(f, S(("B",)), S((4,))).shape == (4,)
    with pytest.raises(pg.ShapeError):
        pg.bind(f, S(("B",)), S((4,)), sizes={"B": 5})
    with pytest.raises(pg.ShapeError):
        eval_shape(lambda x, y, z: (x + y, x + z), S(("B",)), S((4,)), S((5,)))


def test_sizes_are_not_baked_in():
    with pytest.raises(pg.SymbolicSizeError):
        eval_shape(lambda x: sum(x[i] for i in range(x.shape[0])), S(("B",)))


def test_data_dependent_sizes():
    assert repr(eval_shape(lambda x: x[x > 0], S((5,)))) == "f64[n0]"


def test_errors():
    with pytest.raises(pg.ShapeError, match=r"matmul: incompatible shapes \(3, 4\) and \(5, 6\)"):
        eval_shape(np.matmul, S((3, 4)), S((5, 6)))
    with pytest.raises(pg.ControlFlowError):
        eval_shape(lambda x: x if x[0] > 0 else -x, S((3,)))


def test_summary(capsys):
    model = {"layers": [{"w": np.zeros((4, 2)), "b": np.zeros(2)}]}
    f = lambda p, x: x @ p["layers"][0]["w"] + p["layers"][0]["b"]
    s = pg.summary(f, model, ("B", 4), frozen=lambda name: name.endswith("b"))
    assert s.total == 10 and s.trainable == 8 and repr(s.output) == "f64[B,2]"
    text = capsys.readouterr().out
    assert "layers.0.w" in text and "(frozen)" in text and "output: f64[B,2]" in text
    with pytest.raises(pg.ShapeError):
        pg.summary(f, model, (3, 5), print_fn=None)
