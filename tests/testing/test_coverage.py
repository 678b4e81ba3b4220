"""Every public callable of NumPy has a class, and the coverage page says so."""

import inspect
import json
import re
from pathlib import Path

import numpy as np
import pytest

from pycograd import grad, vmap
from pycograd.core.errors import PycogradError
from pycograd.core.primitive import REGISTRY
from pycograd.core.spelling import CREATORS, FUNCTIONS, REFUSED, UFUNCS
from pycograd.testing import check_grads
from pycograd.testing.coverage import backends, classes, names, page
from pycograd.testing.recording import functions_called
from pycograd.testing.samples import Sample

DOCS = Path(__file__).parents[2] / "docs"
X = np.array([0.3, 0.8, 0.5])


@pytest.fixture(scope="module")
def listed():
    return classes.functions()


# -- classes -----------------------------------------------------------------------------------


def test_every_callable_has_a_class(listed):
    missing = [f"{f.names[0]}: {f.reason}" for f in listed if f.kind == "unclassified"]
    assert not missing, "\n".join(missing)


def test_methods_and_indexing_are_differentiable():
    assert {f.kind for f in classes.methods()} == {"differentiable"}


def test_every_reason_is_of_a_name_of_numpy(listed):
    assert set(names.reasons()) <= {name for f in listed for name in f.names}


def test_no_name_has_a_definition_and_a_reason(listed):
    """But those that NumPy never asks about: a definition of theirs answers other callers."""
    defined = {
        name
        for f in listed
        for name in f.names
        if any(f.value in table for table in (UFUNCS, FUNCTIONS, CREATORS, REFUSED))
    }
    given = {name for name, (kind, _) in names.reasons().items() if kind != "not reached"}
    assert not defined & given


def test_no_name_has_two_reasons():
    given = [
        name
        for table in names.TABLES.values()
        for members in table.values()
        for name in members.split()
    ]
    assert len(given) == len(set(given))


def test_classes_are_what_everyone_expects(listed):
    kinds = {name: f.kind for f in listed for name in f.names}
    expected = {
        "differentiable": "add sin abs power sum mean std where max put full linalg.trace",
        "zero-derivative": "floor argmax equal zeros_like eye searchsorted shape isnan",
        "not meaningful": "load save seterr isdtype hanning is_busday",
        "not reached": "vectorize matrix",
        "as it is": "iterable row_stack",
        "type": "float64 int8 linalg.LinAlgError",
    }
    for kind, members in expected.items():
        assert {name: kinds[f"numpy.{name}"] for name in members.split()} == dict.fromkeys(
            members.split(), kind
        )


# -- the table's claims ------------------------------------------------------------------------
LOUD = {
    "asarray_chkfinite": np.asarray_chkfinite,
    "asmatrix": np.asmatrix,
    "bmat": lambda x: np.bmat([[x, x]]),
    "broadcast": lambda x: np.broadcast(x, x),
    "from_dlpack": np.from_dlpack,
    "kaiser": lambda x: np.kaiser(5, x[0]),
    "matrix": np.matrix,
    "ndenumerate": np.ndenumerate,
    "nditer": np.nditer,
    "nested_iters": lambda x: np.nested_iters([x, x], [[0], []]),
    "poly1d": np.poly1d,
    "vectorize": np.vectorize(lambda y: y * y),
}


@pytest.mark.filterwarnings("ignore::PendingDeprecationWarning")
@pytest.mark.parametrize("name", [n for table in names.NOT_REACHED.values() for n in table.split()])
def test_what_is_not_reached_says_so(name):
    LOUD[name](X)  # on plain arrays it runs, so the error is that of the box
    with pytest.raises((PycogradError, TypeError, AttributeError)):
        grad(lambda x: np.sum(LOUD[name](x)))(X)


UNCHANGED = {
    "broadcast_shapes": lambda x: np.broadcast_shapes(np.shape(x), (2, 1)) == (2, 3),
    "isfortran": lambda x: not np.isfortran(x),
    "isscalar": lambda x: not np.isscalar(x),
    "iterable": np.iterable,
    "ndindex": lambda x: len(list(np.ndindex(*x.shape))) == 3,
    "row_stack": lambda x: np.row_stack((x, x)).shape == (2, 3),
    "frompyfunc": lambda x: np.frompyfunc(lambda y: y * y, 1, 1)(x).shape == (3,),
}


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("name", [n for table in names.AS_IT_IS.values() for n in table.split()])
def test_what_runs_as_it_is(name):
    assert UNCHANGED[name](X)

    def f(x):
        assert UNCHANGED[name](x)
        return np.sum(x * x)

    np.testing.assert_array_equal(grad(f)(X)[0], 2 * X)


def test_what_makes_a_function_of_differentiated_values():
    square = np.frompyfunc(lambda y: y * y, 1, 1)
    np.testing.assert_allclose(grad(lambda x: np.sum(square(x)))(X)[0], 2 * X)


POLYNOMIALS = dict(names.polynomials())


@pytest.mark.parametrize("name", [n for n in POLYNOMIALS if names.polynomial_kind(n) == "as it is"])
def test_polynomials_in_their_argument(name):
    f = POLYNOMIALS[name]
    coefficients = () if name.endswith("weight") else (np.array([0.5, -1.0, 0.7]),)
    check_grads(lambda x: f(x, *coefficients), (X,), order=2)


ARGUMENTS = {
    "deg": 2, "pow": 2, "off": 1.0, "scl": 2.0, "x": X, "y": X, "z": X, "c": X,
    "c1": X, "c2": X[:2], "pol": X, "roots": X, "r": X,
}  # fmt: skip


@pytest.mark.parametrize("module", names.POLYNOMIALS)
def test_polynomials_in_their_coefficients_say_so(module):
    for name, f in POLYNOMIALS.items():
        if f".{module}." in name and names.polynomial_kind(name) == "not reached":
            needed = inspect.signature(f).parameters.values()
            args = [ARGUMENTS[p.name] for p in needed if p.default is p.empty]
            if name.endswith(("2d", "3d")):
                many = int(name[-2])
                args[-1] = [1] * many if "vander" in name else np.ones((2,) * many)
            f(*args)  # on plain arrays it runs, so the error is that of the boxes

            def loss(x, f=f, args=args):
                moving = [a * x[0] if isinstance(a, (np.ndarray, float)) else a for a in args]
                return np.sum(f(*moving)[0])

            with pytest.raises(PycogradError):
                print(name, grad(loss)(X))


# -- recorded calls ----------------------------------------------------------------------------


def called(f, *args):
    functions = functions_called(f, *args)
    return {getattr(k, "__name__", k): moves for k, moves in functions.items()}


@pytest.mark.parametrize(
    "f, expected",
    [
        (lambda x: np.sin(x) + 1.0, {"sin": True, "add": True}),
        (lambda x: 1.0 - x, {"subtract": True}),
        (lambda x: x**2, {"power": True}),
        (lambda x: x.sum(), {"sum": True}),
        (lambda x: x.T, {"transpose": True}),
        (lambda x: np.where(x > 0, x, 0), {"greater": False, "where": True}),
        (lambda x: np.floor(x), {"floor": False}),
        (lambda x: np.std(x), {"std": True}),  # and not what the definition calls in its turn
        (lambda x: np.add.reduce(x), {"reduce": True}),
        (lambda x: x[0], {"__getitem__": True}),
        (lambda x: vmap(np.cos)(x), {}),  # a transform of ours called it, with boxes of its own
        (lambda x: np.full(2, x[1], like=x), {"__getitem__": True, "full": True}),
    ],
)
def test_calls(f, expected):
    assert called(f, X) == expected


def test_calls_that_write():
    def f(x):
        made = np.zeros(3, like=x)
        np.put(made, [0], x[1])
        made[1] += x[2]
        return made

    expected = {"zeros": False, "put": True, "__getitem__": True, "__setitem__": True, "add": True}
    assert called(f, X) == expected


# -- marks -------------------------------------------------------------------------------------


def marked(*samples):
    f = classes.Function(("numpy.sin",), np.sin, "differentiable", samples=samples)
    results = page.Results()
    return {mode: results.mark(f, mode) for mode in page.MODES}


def test_marks():
    right = Sample("sin", np.sin, [X])
    assert {mark.text for mark in marked(right).values()} == {"yes"}
    kinked = Sample("absolute", np.abs, [np.zeros(3)])  # where differences say 0 and both modes too
    stepped = Sample("floor", lambda x: np.floor(x) + x, [np.zeros(3)])
    assert marked(right, kinked)["jvp"].text == "yes"
    assert marked(right, stepped)["jvp"].text == "no"
    skipped = Sample("sin", np.sin, [X], skip={"vmap": "because"})
    assert marked(skipped)["vmap"] == page.Mark("-", "because")
    assert marked(skipped, right)["vmap"].text == "yes"
    changing = Sample("sin", lambda x: np.sin(x[x > 0]), [X], data_dependent_shape=True)
    assert marked(changing)["eval_shape"].text == "-"


# -- the page ----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def text():
    return (DOCS / page.PAGE).read_text()


def sections(text):
    return dict(zip(*[iter(re.split(r"^## (.*)\n", text, flags=re.MULTILINE)[1:])] * 2))


def rows(section):
    return re.findall(r"^\| (`.*?) \| (.*) \|$", section, flags=re.MULTILINE)


def ticked(text):
    return re.findall(r"`(.*?)`", text)


def shown(text):
    """The names on the page with their class."""
    parts = sections(text)
    found = {
        name: "differentiable"
        for module in names.MODULES
        for label, _ in rows(parts[module])
        for name in ticked(label)
    }
    for title, kind in (
        ("Derivative zero", "zero-derivative"),
        ("As it is", "as it is"),
        ("Not reached", "not reached"),
        ("Not meaningful", "not meaningful"),
    ):
        for paragraph in parts[title].split("\n\n")[1:]:
            items, _, _ = paragraph.partition("Of `numpy.polynomial`")
            if not items.startswith("- `numpy.polynomial"):
                is_types = items.startswith("- types")
                found |= dict.fromkeys(ticked(items), "type" if is_types else kind)
    return found


def test_page_lists_what_is_there(listed, text):
    """`make docs` writes it anew; of another NumPy than it was made with, what both have counts."""
    kinds = {name.removeprefix("numpy."): f.kind for f in listed for name in f.names}
    on_page = shown(text)
    if f"NumPy {'.'.join(np.__version__.split('.')[:2])}." in text:
        assert on_page == kinds
        for row in page.counts(listed):
            assert f"| {' | '.join(row)} |\n" in text
    else:
        common = set(kinds) & set(on_page)
        assert len(common) > 300
        assert {n: on_page[n] for n in common} == {n: kinds[n] for n in common}


def test_page_has_no_mode_that_fails(text):
    modes = len(page.MODES)
    for section in sections(text).values():
        for label, cells in rows(section):
            assert "no" not in cells.split(" | ")[:modes], label


def test_page_explains_every_dash(text):
    parts = sections(text)
    notes = {int(n) for n in re.findall(r"^(\d+)\. ", parts["Notes"], flags=re.MULTILINE)}
    assert {int(n) for n in re.findall(r"\| - \((\d+)\)", text)} == notes


def test_peer_results_are_of_our_functions(text):
    peer = json.loads((DOCS / page.PEER).read_text())
    known = {name for name, kind in shown(text).items() if kind == "differentiable"}
    methods = {f.names[0].removeprefix("numpy.") for f in classes.methods()}
    assert {name.removeprefix("numpy.") for name in peer["functions"]} <= known | methods
    for shares in peer["functions"].values():
        assert set(shares) == set(page.PEER_MODES)
        assert all(0 <= passed <= programs and programs for passed, programs in shares.values())


# -- the plugins -------------------------------------------------------------------------------
def test_marks_of_backends_follow_from_the_primitives_that_programs_bind(listed):
    of = {name: f for f in listed for name in f.names}
    everything = frozenset().union(*[backends._bound(s) for f in listed for s in f.samples])
    assert backends.mark(of["numpy.sin"], everything) == "lowered"
    assert backends.mark(of["numpy.kron"], everything) == "decomposed"
    assert backends.mark(of["numpy.sin"], everything - {"sin"}) == "refused"
    assert backends.mark(of["numpy.kron"], frozenset()) == "refused"
    partly = backends.mark(of["numpy.setdiff1d"], everything - {"distinct"})
    assert re.fullmatch(r"\d of \d", partly)


def test_every_primitive_of_a_backend_is_lowered_or_refused_with_a_reason():
    known = json.loads((DOCS / page.BACKENDS).read_text())["backends"]
    assert set(known) == {"torch", "jax", "tf", "cupy", "onnx"}
    for facts in known.values():
        assert set(facts["lowered"]) <= set(REGISTRY)
        assert not set(facts["lowered"]) & set(facts["refused"])
        assert all(facts["refused"].values())


def test_page_counts_functions_by_backend(listed, text):
    known = json.loads((DOCS / page.BACKENDS).read_text())["backends"]
    _, table = backends.summary(known, [f for f in listed if f.samples])
    if f"NumPy {'.'.join(np.__version__.split('.')[:2])}." in text:
        for row in table:
            assert f"| {' | '.join(row)} |\n" in text
