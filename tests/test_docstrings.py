"""Every example in a docstring of the package runs as written, with the public names at hand."""

import doctest
import importlib
import pkgutil

import numpy as np
import pytest

import pycograd

FLAGS = doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS


def modules():
    yield "pycograd"
    for module in pkgutil.walk_packages(pycograd.__path__, "pycograd."):
        # examples.dsl is written in the DSL, not in Python, and is tested with the examples.
        if not module.name.endswith(("__main__", "examples.dsl")):
            yield module.name


def public_names():
    return {name: getattr(pycograd, name) for name in dir(pycograd) if not name.startswith("_")}


def examples():
    finder = doctest.DocTestFinder(exclude_empty=True)
    for name in modules():
        try:
            module = importlib.import_module(name)
        except ModuleNotFoundError as error:
            if (error.name or "").startswith("pycograd"):
                raise
            continue  # an example that needs a library which is not installed
        scope = {**public_names(), **vars(module), "np": np}
        for test in finder.find(module, name, globs=scope):
            if test.examples:
                yield pytest.param(test, id=test.name)


@pytest.mark.parametrize("example", list(examples()))
def test_example(example):
    report = []
    runner = doctest.DocTestRunner(optionflags=FLAGS, verbose=False)
    runner.run(example, out=report.append, clear_globs=False)
    assert runner.failures == 0, "".join(report)


def test_every_public_function_and_class_has_an_example():
    """Those that a user calls; errors explain themselves with a worked fix instead."""
    missing = []
    for name, thing in public_names().items():
        if name not in getattr(pycograd, "__all__", public_names()) or not callable(thing):
            continue
        if isinstance(thing, type) and issubclass(thing, (Exception, Warning)):
            assert thing.__doc__, f"{name} has no docstring"
        elif ">>>" not in (thing.__doc__ or ""):
            missing.append(name)
    assert not missing, f"public names without an example: {missing}"
