"""The command line of the examples: trains the named ones (all by default) and prints a table."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from importlib import import_module
from pathlib import Path

from pycograd.dsl import install
from pycograd.examples.training import Outcome

# Where each example is: its module and function.
EXAMPLES = {
    "logistic": ("logistic", "main"),
    "mlp": ("mlp", "main"),
    "highway": ("highway", "main"),
    "regularized": ("regularized", "main"),
    "convnet": ("convnet", "main"),
    "transformer": ("transformer", "main"),
    "nanogpt": ("nanogpt", "main"),
    "gru": ("recurrent", "gru"),
    "lstm": ("recurrent", "lstm"),
    "rwkv": ("rwkv", "main"),
    "wavenet": ("wavenet", "main"),
    "dsl": ("dsl", "main"),
    "gaussian_process": ("gaussian_process", "main"),
    "ode": ("ode", "main"),
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the examples; the exit status is 1 if one missed its target."""
    parser = argparse.ArgumentParser(prog="python -m pycograd.examples", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="name", help=f"of {', '.join(EXAMPLES)}")
    parser.add_argument(
        "--plot", type=Path, default=Path("pycograd-examples.png"), help="where the loss plot goes"
    )
    parser.add_argument(
        "--full",
        action="store_true",
        help="models of sizes that take minutes",
    )
    options = parser.parse_args(arguments)
    if unknown := sorted(set(options.names) - set(EXAMPLES)):
        parser.error(f"unknown: {', '.join(unknown)}; choose from {', '.join(EXAMPLES)}")
    install()
    outcomes = []
    for name in options.names or EXAMPLES:
        module, function = EXAMPLES[name]
        run: Callable[[bool], Outcome] = getattr(
            import_module(f"pycograd.examples.{module}"), function
        )
        outcomes.append(run(options.full))
    print(table(outcomes))
    print(f"Each gradient was checked against finite differences. {plot(outcomes, options.plot)}")
    return 0 if all(outcome.reached for outcome in outcomes) else 1


def table(outcomes: Sequence[Outcome]) -> str:
    """The outcomes as text, one line each."""
    head = ("model", "data", "parameters", "seconds", "final loss", "held-out score", "target")
    rows = [head] + [
        (
            o.model,
            o.data,
            f"{o.parameters:,}",
            f"{o.seconds:.1f}",
            f"{o.losses[-1]:.4f}",
            f"{o.score:.1%} {o.measure}",
            f">= {o.target:.1%}" + ("" if o.reached else "  MISSED"),
        )
        for o in outcomes
    ]
    widths = [max(len(row[i]) for row in rows) for i in range(len(head))]
    lines = [
        "  ".join(
            cell.ljust(width) if i < 2 else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(row, widths))
        )
        for row in rows
    ]
    lines.insert(1, "-" * len(lines[0]))
    return "\n".join(lines)


def plot(outcomes: Sequence[Outcome], path: Path) -> str:
    """Draws the training losses; says where, or why not."""
    try:
        from matplotlib.figure import Figure
    except ImportError:
        return "No plot: matplotlib is not installed (pip install 'pycograd-core[examples]')."
    figure = Figure(figsize=(7, 4), layout="constrained")
    axes = figure.subplots()
    for outcome in outcomes:
        axes.semilogy(range(1, len(outcome.losses) + 1), outcome.losses, label=outcome.model)
    axes.set_xlabel("epoch")
    axes.set_ylabel("training loss")
    axes.legend(frameon=False)
    axes.grid(alpha=0.3)
    part = path.with_name(f"{path.stem}.part{path.suffix}")
    figure.savefig(part, dpi=120)
    part.replace(path)
    return f"Losses: {path}"


if __name__ == "__main__":
    sys.exit(main())
