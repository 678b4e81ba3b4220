"""Models in files: what comes back, resuming, and files that are refused."""

import builtins
import json
import os
import pickle
import struct

import ml_dtypes
import numpy as np
import pytest

import pycograd as pg
from pycograd import buffer, frozen, params, tied

safetensors = pytest.importorskip("safetensors.numpy")

DTYPES = ["f2", "f4", "f8", "c8", "c16", ml_dtypes.bfloat16]


def model(seed=0):
    rng = np.random.default_rng(seed)
    table = rng.standard_normal((5, 3))
    return params(
        embed=table,
        layers=[{"w": rng.standard_normal((3, 3)), "b": np.zeros(3)} for _ in range(2)],
        out={"w": tied[table], "scale": frozen(np.float32(rng.normal()))},
        seen=buffer(np.array(int(rng.integers(100)))),
        **{f"d{i}": (rng.standard_normal(4) * 3).astype(d) for i, d in enumerate(DTYPES)},
    )


def bits(m):
    return [(x.shape, x.dtype, x.tobytes()) for x in pg.tree_leaves(m)]


def test_what_is_saved_comes_back_to_the_last_bit(tmp_path):
    m, n = model(0), model(1)
    n.step(n.grad(lambda: np.sum(n.embed))[1], 0.1)
    assert bits(m) != bits(n)
    kept = n.embed
    m.save(tmp_path / "m.safetensors")
    n.load(str(tmp_path / "m.safetensors"))
    assert bits(m) == bits(n)
    assert n.embed is kept and n.out.w is kept
    assert os.listdir(tmp_path) == ["m.safetensors"]


def test_odd_arrays_and_names(tmp_path):
    big = np.arange(6.0).reshape(2, 3).astype(">f8")
    spec = {
        "t": np.arange(6.0).reshape(2, 3).T,
        "e": np.zeros((0, 3)),
        "z": 2.5,
        "big": big,
        "a b": {"x.y": np.ones(2), 7: np.zeros(1)},
        "act": "relu",
        "flags": frozen(np.array([True, False])),
    }
    m = params(spec)
    n = pg.tree_map(np.zeros_like, m)
    n = params({**spec, "t": np.zeros((3, 2)), "z": 0.0, "big": 0 * big})
    m.save(tmp_path / "m")
    n.load(tmp_path / "m")
    for x, y in zip(pg.tree_leaves(m), pg.tree_leaves(n), strict=True):
        np.testing.assert_array_equal(x, y)


def test_other_programs_read_the_file(tmp_path):
    m = params(a={"w": np.arange(3.0)}, b=np.float32(2.0))
    m.save(tmp_path / "m")
    found = safetensors.load_file(tmp_path / "m")
    assert sorted(found) == ["a.w", "b"]
    np.testing.assert_array_equal(found["a.w"], [0.0, 1.0, 2.0])
    safetensors.save_file({"a.w": np.ones(3), "b": np.array(4.0, np.float32)}, tmp_path / "n")
    m.load(tmp_path / "n")
    assert m.b == 4.0 and m.a.w[2] == 1.0


# -- resuming --------------------------------------------------------------------------------------
OPTIMIZERS = [
    lambda: pg.SGD(lr=pg.step_decay(0.1, 0.5, 3), momentum=0.9, nesterov=True),
    lambda: pg.Adam(lr=pg.cosine_decay(0.05, 12)),
    lambda: pg.AdamW(lr=pg.linear_warmup(0.02, 8), weight_decay=0.1),
    lambda: pg.Lion(lr=1e-2),
    lambda: pg.Adafactor(lr=1e-2),
]


@pytest.mark.parametrize("make", OPTIMIZERS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64, ml_dtypes.bfloat16, np.complex128])
def test_resumed_training_is_the_same_to_the_last_bit(tmp_path, make, dtype):
    data = np.random.default_rng(5).standard_normal((8, 3)).astype(dtype)

    def start():
        rng = np.random.default_rng(1)
        m = params(w=rng.standard_normal((3, 2)).astype(dtype), b=np.zeros(2, dtype))
        return m, make(), {"noise": np.random.default_rng(2), "drop": pg.random.key(3).copy()}

    def step(m, opt, rng):
        rng["drop"][...], key = pg.random.split(rng["drop"])
        x = pg.dropout(data, 0.3, key=key) + rng["noise"].standard_normal((8, 1)).astype(dtype)
        value, grads = m.grad(lambda: np.sum(np.abs(x @ m.w + m.b) ** 2))
        m.step(grads, opt)
        return np.asarray(value).tobytes()

    m, opt, rng = start()
    for _ in range(4):
        step(m, opt, rng)
    m.save(tmp_path / "m", opt, rng)
    expected = [step(m, opt, rng) for _ in range(5)]
    n, opt2, rng2 = start()
    for _ in range(2):  # whatever it has done before
        step(n, opt2, rng2)
    n.load(tmp_path / "m", opt2, rng2)
    assert [step(n, opt2, rng2) for _ in range(5)] == expected
    assert bits(m) == bits(n) and opt.steps == opt2.steps == 9


# -- what is refused -------------------------------------------------------------------------------
def test_another_model_is_refused_with_the_differences(tmp_path):
    params(w=np.ones((3, 2)), b=np.ones(2), old=1.0, h=np.ones(2, np.float32)).save(tmp_path / "m")
    m = params(w=np.zeros((4, 2)), b=np.zeros(2), new=2.0, h=np.zeros(2))
    with pytest.raises(pg.ParameterError) as error:
        m.load(tmp_path / "m")
    for line in (
        "w: f64[4,2] in the model, f64[3,2] in the file",
        "new: f64[] in the model, not in the file",
        "old: f64[] in the file, not in the model",
        "h: f64[2] in the model, f32[2] in the file",
    ):
        assert line in str(error.value)
    assert "b:" not in str(error.value) and not np.any(m.b)


def contents():
    yield b""
    yield b"hello"
    yield pickle.dumps({"w": np.ones(3)})
    yield b"\xff" * 100
    yield struct.pack("<Q", 2**62) + b"{}"
    yield struct.pack("<Q", 2) + b"[]"
    header = json.dumps({"w": {"dtype": "F64", "shape": [9], "data_offsets": [0, 24]}}).encode()
    yield struct.pack("<Q", len(header)) + header + bytes(24)


@pytest.mark.parametrize("content", list(contents()))
def test_files_of_other_kinds_are_refused(tmp_path, content):
    (tmp_path / "m").write_bytes(content)
    m = params(w=np.ones(3))
    with pytest.raises(pg.ParameterError, match="no safetensors file, or not a whole one"):
        m.load(tmp_path / "m")
    assert np.all(np.asarray(m.w) == 1)


def test_a_file_that_was_cut_off_is_refused_wherever_it_was(tmp_path):
    m = model()
    m.save(tmp_path / "m")
    whole = (tmp_path / "m").read_bytes()
    before = bits(m)
    for length in sorted({0, 1, 7, 8, 9, 100, len(whole) // 2, len(whole) - 1}):
        (tmp_path / "m").write_bytes(whole[:length])
        with pytest.raises(pg.ParameterError, match="not a whole one"):
            m.load(tmp_path / "m")
    assert bits(m) == before


def test_states_that_are_missing_or_of_others_change_nothing(tmp_path):
    m, opt = model(), pg.Adam()
    m.save(tmp_path / "plain")
    _, grads = m.grad(lambda: np.sum(m.embed))
    m.step(grads, opt)
    m.save(tmp_path / "m", opt, {"a": pg.random.key(0)})
    n, other = model(1), pg.Adam()
    before = bits(n)
    wrong = [
        ("plain", {"optimizer": other}, "holds no state of an optimiser"),
        ("plain", {"rng": np.random.default_rng(0)}, "holds no state of random numbers"),
        ("m", {"optimizer": pg.SGD(momentum=0.9)}, "the state of Adam, not of SGD"),
        ("m", {"optimizer": other, "rng": {"b": pg.random.key(0)}}, "has the parts"),
        ("m", {"optimizer": other, "rng": {"a": np.random.default_rng(0)}}, "a is a generator"),
        ("m", {"optimizer": other, "rng": {"a": np.zeros((2, 4), np.uint32)}}, "a key of shape"),
    ]
    for name, given, message in wrong:
        with pytest.raises(pg.ParameterError, match=message):
            n.load(tmp_path / name, **given)
        assert bits(n) == before and other.steps == 0
    with pytest.raises(FileNotFoundError):
        n.load(tmp_path / "nothing")
    with pytest.raises(pg.ParameterError, match=r"'x' is of dtype \w*(longdouble|float128)"):
        params(x=np.ones(2, np.longdouble)).save(tmp_path / "m2")
    with pytest.raises(pg.ParameterError, match="cannot change the weights"):
        n.grad(lambda: n.load(tmp_path / "plain"))
    with pytest.raises(TypeError, match="rng: a key"):
        n.save(tmp_path / "m2", rng=3)
    assert sorted(os.listdir(tmp_path)) == ["m", "plain"]


def test_a_save_that_fails_leaves_the_file_that_was_there(tmp_path, monkeypatch):
    m = params(w=np.ones(3))
    m.save(tmp_path / "m")
    os.chmod(tmp_path / "m", 0o640)
    before = (tmp_path / "m").read_bytes()

    def full(tensors, path, metadata):
        with open(path, "wb") as file:
            file.write(b"half")
        raise OSError("no space left on device")

    with monkeypatch.context() as patch, pytest.raises(OSError, match="no space"):
        patch.setattr("safetensors.numpy.save_file", full)
        m.save(tmp_path / "m")
    assert (tmp_path / "m").read_bytes() == before
    assert os.listdir(tmp_path) == ["m"]
    m.save(tmp_path / "m")
    assert (tmp_path / "m").stat().st_mode & 0o777 == 0o640


def test_without_the_library_it_says_what_to_install(tmp_path, monkeypatch):
    real = builtins.__import__

    def without(name, *args, **kwargs):
        if name.startswith("safetensors"):
            raise ImportError(name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(ImportError, match=r"pip install 'pycograd-core\[io\]'"):
        params(w=1.0).save(tmp_path / "m")


def test_other_byte_orders_come_back(tmp_path):
    values = {"x": np.arange(3.0).astype(">f8"), "z": (np.arange(3.0) * (1 + 2j)).astype(">c16")}
    m, n = params(values), params({name: np.zeros_like(x) for name, x in values.items()})
    m.save(tmp_path / "m")
    n.load(tmp_path / "m")
    for name, x in values.items():
        np.testing.assert_array_equal(np.asarray(n[name]), x)
        assert n[name].dtype == x.dtype


def test_a_header_that_makes_no_sense_is_refused_and_changes_nothing(tmp_path):
    def run(seed):
        m, opt, rng = params(w=np.full(2, float(seed))), pg.Adam(0.1), np.random.default_rng(seed)
        m.step(m.grad(lambda: np.sum(m.w * seed))[1], opt)
        return m, opt, rng

    m, opt, rng = run(1)
    m.save(tmp_path / "m", opt, rng)
    content = (tmp_path / "m").read_bytes()
    length = 8 + int.from_bytes(content[:8], "little")
    n, other, drawn = run(2)
    state = lambda: (bits(n), str(other.state_dict()), drawn.bit_generator.state)
    before, refused = state(), 0
    for i in range(8, length):
        (tmp_path / "n").write_bytes(content[:i] + bytes([content[i] ^ 1]) + content[i + 1 :])
        try:
            n.load(tmp_path / "n", other, drawn)
        except ValueError as error:  # ParameterError is one, and what the optimiser says
            refused += 1
            assert "load" in str(error) and state() == before
        else:  # a number among the states
            n, other, drawn = run(2)
    assert refused > (length - 8) / 2


def test_what_cannot_be_saved_is_refused(tmp_path):
    m = params(w=np.ones(2))
    with pytest.raises(pg.ParameterError, match="cannot be named '__metadata__'"):
        params({"__metadata__": 1.0}).save(tmp_path / "m")
    with pytest.raises(TypeError, match="a float is no optimiser with a state"):
        m.save(tmp_path / "m", 0.1)
    with pytest.raises(FileNotFoundError, match=r"there is no folder .*none to write m in"):
        m.save(tmp_path / "none" / "m")
    assert os.listdir(tmp_path) == []
