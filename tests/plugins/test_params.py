"""Weights on other libraries: their own autodiff, modules, files, devices."""

import warnings

import numpy as np
import pytest

import pycograd as pg
from pycograd import frozen, on_cpu, on_device, params, tied

rng = np.random.default_rng(0)
table = rng.standard_normal((6, 4))
index = rng.integers(0, 6, 5)
X = rng.standard_normal((5, 4))


def model():
    return params(
        emb=table,
        layers=[{"w": rng.standard_normal((4, 4)), "b": np.zeros(4)}],
        out={"w": tied[table]},
        scale=frozen(np.array(2.0)),
        act="tanh",
        nothing=None,
    )


def hidden(h):
    return np.tanh(h @ layers[0].w + layers[0].b) * scale  # noqa: F821


def forward(i):
    return hidden(emb[i]) @ out.w.T  # noqa: F821


def loss():
    return pg.cross_entropy(forward(index), index) + np.sum(hidden(X) ** 2)


def agree(found, expected, rtol=1e-9):
    assert float(found[0]) == pytest.approx(float(expected[0]), rel=rtol)
    for x, y in zip(pg.tree_leaves(found[1]), pg.tree_leaves(expected[1]), strict=True):
        assert type(x) is np.ndarray and x.dtype == y.dtype
        np.testing.assert_allclose(x, y, rtol=rtol, atol=1e-12)


@pytest.mark.parametrize("jit", [False, True])
@pytest.mark.parametrize("backend", ["torch", "jax", "tf"])
def test_the_own_autodiff_of_a_library_agrees(backend, jit, monkeypatch):
    pytest.importorskip({"tf": "tensorflow"}.get(backend, backend))
    m = model()
    for _ in range(3):
        agree(m.grad(loss, backend=backend, jit=jit), m.grad(loss))
        monkeypatch.setitem(globals(), "X", rng.standard_normal((5, 4)))  # the next batch
        monkeypatch.setitem(globals(), "index", rng.integers(0, 6, 5))
        m.step(m.grad(loss)[1], 0.01)
    with m:
        agree(m.grad(loss, backend=backend, jit=jit), m.grad(loss))


def test_one_objective_on_many_backends_is_not_taken_for_a_new_one_at_each_call():
    for module in ("torch", "jax", "tensorflow"):
        pytest.importorskip(module)
    m = params(w=np.ones(2))
    objective = lambda: np.sum(m.w**2)
    with warnings.catch_warnings():
        warnings.simplefilter("error", RuntimeWarning)
        for name in ("torch", "jax", "tf"):
            m.grad(objective, backend=name)
        for name in ("jax", "tf"):
            m.grad(objective, backend=name, jit=True)


def test_as_a_torch_module():
    torch = pytest.importorskip("torch")
    m = model()
    module = m.to_torch_module(forward)
    named = dict(module.named_parameters(remove_duplicate=False))
    assert sorted(named) == ["emb", "layers.0.b", "layers.0.w", "out.w"]
    assert named["emb"] is named["out.w"]
    assert [name for name, _ in module.named_buffers()] == ["scale"]
    found = module(torch.as_tensor(index))
    with m:
        np.testing.assert_allclose(found.detach().numpy(), forward(index))
    found.pow(2).sum().backward()
    _, grads = m.grad(lambda: np.sum(forward(index) ** 2))
    for name, g in zip(["emb", "layers.0.w", "layers.0.b"], pg.tree_leaves(grads), strict=True):
        np.testing.assert_allclose(named[name].grad.numpy(), g, rtol=1e-9)
    with torch.no_grad():
        named["emb"].zero_()
    assert np.any(np.asarray(m.emb))  # a copy
    script = pg.export_torchscript(m.to_torch_module(forward), [index])
    with m:
        np.testing.assert_allclose(script(torch.as_tensor(index)).detach(), forward(index))


def test_a_part_of_a_model_as_a_module():
    torch = pytest.importorskip("torch")
    m = model()
    module = m.layers[0].to_torch_module(lambda x: x @ m.layers[0].w * m.scale)
    assert sorted(name for name, _ in module.named_parameters()) == ["b", "w"]
    np.testing.assert_allclose(module(torch.as_tensor(X)).detach(), X @ m.layers[0].w * m.scale)


def test_as_an_onnx_file(tmp_path):
    pytest.importorskip("pycograd_onnx")
    onnxruntime = pytest.importorskip("onnxruntime")
    m = model()
    path = pg.export_onnx(m.bind(hidden), [X], tmp_path / "m.onnx")
    session = onnxruntime.InferenceSession(path)
    (found,) = session.run(None, {session.get_inputs()[0].name: X.astype(np.float32)})
    with m:
        np.testing.assert_allclose(found, hidden(X), rtol=1e-5, atol=1e-6)


def test_compiled_functions_read_the_weights_at_each_call():
    torch = pytest.importorskip("torch")
    m = model()
    native, compiled = (
        pg.compile_to(m.bind(hidden), "torch"),
        pg.jit(m.bind(hidden), backend="torch"),
    )
    for _ in range(2):
        with m:
            expected = hidden(X)
        np.testing.assert_allclose(native(torch.as_tensor(X)).detach(), expected)
        np.testing.assert_allclose(compiled(X), expected)
        m.step(m.grad(loss)[1], 0.1)


# -- devices ---------------------------------------------------------------------------------------
def on(name):
    return params(
        emb=on_device(name, table),
        w=np.ones((4, 3)),
        scale=frozen(on_device(name)[np.array(2.0)]),
        tied=on_device(name, tied("t", np.ones(3))),
        again=tied("t"),
    )


def device_loss(m, i):
    return np.sum(np.tanh(m.emb[i] @ m.w * m.scale) * m.tied * m.again)


@pytest.mark.parametrize("name", ["torch", "jax"])
@pytest.mark.parametrize("options", [{}, {"jit": True}, {"backend": "torch"}])
def test_a_parameter_stays_on_its_device_with_its_gradient(name, options, tmp_path):
    pytest.importorskip(name)
    if "backend" in options:
        pytest.importorskip("torch")
    m, plain = on(name), on("numpy")
    optimizers = pg.Adam(lr=0.1), pg.Adam(lr=0.1)
    for _ in range(3):
        value, grads = m.grad(lambda: device_loss(m, index), **options)
        expected, wanted = plain.grad(lambda: device_loss(plain, index))
        np.testing.assert_allclose(np.asarray(value), expected, rtol=1e-6)
        assert grads.emb.device.startswith(name) and grads.tied is grads.again
        assert type(grads.w) is np.ndarray and grads.scale is None
        np.testing.assert_allclose(np.asarray(grads.emb), wanted.emb, rtol=1e-6)
        np.testing.assert_allclose(grads.w, wanted.w, rtol=1e-6)
        m.step(grads, optimizers[0])
        plain.step(wanted, optimizers[1])
    assert m.emb.device.startswith(name) and type(m.w.array) is np.ndarray
    np.testing.assert_allclose(np.asarray(m.emb), np.asarray(plain.emb), rtol=1e-6)
    pytest.importorskip("safetensors")
    m.save(tmp_path / "m", optimizers[0])
    other, optimizer = on(name), pg.Adam(lr=0.1)
    other.load(tmp_path / "m", optimizer)
    assert other.emb.device.startswith(name)
    for model, opt in ((m, optimizers[0]), (other, optimizer)):
        model.step(model.grad(lambda model=model: device_loss(model, index))[1], opt)
    np.testing.assert_array_equal(np.asarray(m.emb), np.asarray(other.emb))


def test_only_the_gathered_rows_move():
    pytest.importorskip("torch")
    m = params(emb=on_cpu(table), w=on_device("torch", np.ones((4, 3))))
    _, grads = m.grad(lambda: np.sum(m.emb[index] @ m.w))
    assert type(grads.emb) is np.ndarray and grads.w.device.startswith("torch")
    expected = np.zeros_like(table)
    np.add.at(expected, index, np.full((5, 4), 3.0))
    np.testing.assert_allclose(grads.emb, expected)


def test_under_a_device_block_the_tape_and_gradients_are_there_and_weights_at_home():
    pytest.importorskip("torch")
    m = params(w=np.ones((4, 3)))
    with pg.device("torch"):
        _, grads = m.grad(lambda: np.sum((X @ m.w) ** 2))
        assert grads.w.device.startswith("torch")
        m.step(grads, 0.1)
    assert type(m.w.array) is np.ndarray
    np.testing.assert_allclose(m.w, 1 - 0.2 * X.T @ (X @ np.ones((4, 3))))


def test_pretend_devices_of_the_array_api():
    pytest.importorskip("array_api_strict")
    from pycograd.testing.conformance.strict import StrictBackend

    pg.register_backend("strict", StrictBackend)
    for place in StrictBackend().devices():
        m = params(a=on_device(f"strict:{place}", np.arange(3.0)), b=np.ones(3))
        _, grads = m.grad(lambda: np.sum(m.a * m.b))
        assert grads.a.device == f"strict:{place}" and type(grads.b) is np.ndarray
        np.testing.assert_allclose(grads.b, np.arange(3.0))


def test_devices_that_are_not_there_are_named():
    with pytest.raises(pg.UnknownBackendError, match="nowhere"):
        params(w=on_device("nowhere", np.ones(2)))
