"""Pipelines made at random have the values that pipescript gives them."""

import random
import warnings
from typing import Any

import pytest

from dsl_code import pipescript_value, value


class Maker:
    """Texts of numbers, functions, stages and pipelines."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)

    def number(self, depth: int, holes: bool = False) -> str:
        if holes and self.random.random() < 0.6:
            return self.random.choice(["$", "$", "$", "$a"])
        if depth <= 0 or self.random.random() < 0.5:
            return str(self.random.randint(0, 9))
        one, other = self.number(depth - 1, holes), self.number(depth - 1, holes)
        forms = [f"{one} + {other}", f"inc({one})", f"add({one}, {other})", f"(n - {one})"]
        forms += [f"({one} * {other})", f"({self.pipeline(depth - 1)})"]
        return self.random.choice(forms)

    def function(self, depth: int) -> str:
        inside, fixed = self.number(depth - 1, True), self.random.randint(1, 3)
        stage = self.stage(depth - 1) if depth > 0 else "inc"
        forms = ["inc", "adder.add", "(inc .> double)", "(double <. inc)", f"add$({fixed})"]
        forms += [f"f[{inside}]", f"($ |> {stage})", f"({fixed} $> add)", f"(inc .** {fixed})"]
        return self.random.choice(forms)

    def stage(self, depth: int) -> str:
        inside, both = self.number(depth, True), self.random.choice(["$ - $", "add", "$x - $y"])
        forms = [inside, f"({inside})", self.function(depth)]
        forms += [f"fork[{self.function(depth - 1)}, {inside}] *|> {both}"]
        forms += [f"[{inside}] |> map[{self.number(depth - 1, True)}] |> $[0]"]
        return self.random.choice(forms)

    def pipeline(self, depth: int) -> str:
        stages = [self.stage(depth - 1) for _ in range(self.random.randint(1, 3))]
        return " |> ".join([self.number(depth - 1), *stages])


class Adder:
    def add(self, x: Any) -> Any:
        return x + 5


@pytest.mark.parametrize("seed", range(12))
def test_means_what_it_means_to_pipescript(seed: int) -> None:
    names = {"inc": lambda x: x + 1, "double": lambda x: 2 * x, "add": lambda x, y: x + y}
    maker, compared = Maker(seed), 0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SyntaxWarning)  # a number that is called: an error below
        while compared < 4:
            text = maker.pipeline(3)
            try:
                expected = pipescript_value(text, n=3, adder=Adder(), **names)
            except TypeError:  # a stage that takes two values, or is none
                continue
            if not callable(expected):
                assert value(text, n=3, adder=Adder(), **names) == expected, text
                compared += 1
