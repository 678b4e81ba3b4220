"""SVG text: escaping, the colours of light and dark pages, and files that are whole or not there.

Colours stand as attributes of groups, for viewers that know no style sheets; the style sheet in the
picture has the dark ones. The background is part of the picture, so text is readable on any page.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final
from xml.sax.saxutils import escape, quoteattr

from pycograd.core.files import replacing

MONO: Final = "ui-monospace,SFMono-Regular,Menlo,Consolas,'DejaVu Sans Mono',monospace"
SANS: Final = "system-ui,-apple-system,'Segoe UI','Helvetica Neue','DejaVu Sans',sans-serif"
ADVANCE: Final = 0.615  # the width of a character of a monospaced font, by its size

# name -> fill and stroke, light and dark
_COLOURS: Final[Mapping[str, tuple[tuple[str, str], tuple[str, str]]]] = {
    "page": (("#ffffff", "none"), ("#14191f", "none")),
    "ink": (("#1c2733", "none"), ("#e4e9ee", "none")),
    "muted": (("#5b6876", "none"), ("#9fadba", "none")),
    "edge": (("none", "#94a2b0"), ("none", "#66778a")),
    "arrow": (("#94a2b0", "none"), ("#66778a", "none")),
    "grid": (("none", "#dde3e9"), ("none", "#2b343e")),
    "axis": (("none", "#94a2b0"), ("none", "#66778a")),
    "cheap": (("#e8f1fb", "#7fa8d6"), ("#1b2f45", "#5b8cc0")),
    "transcendental": (("#fdf0dc", "#d69f4c"), ("#3d2f17", "#c7924a")),
    "contraction": (("#e4f4e9", "#63ad79"), ("#1b3726", "#5aa374")),
    "factorization": (("#f6e8f8", "#b57fc0"), ("#38243d", "#a673b3")),
    "memory": (("#f1f3f5", "#a3afbb"), ("#242b33", "#6b7885")),
    "input": (("#ffffff", "#3a4a5a"), ("#14191f", "#b4c0cc")),
    "constant": (("#ffffff", "#94a2b0"), ("#14191f", "#8494a4")),
    "output": (("#33475b", "#33475b"), ("#c9d6e3", "#c9d6e3")),
    "on-output": (("#ffffff", "none"), ("#14191f", "none")),
    "bar": (("#5b8cc0", "none"), ("#5b8cc0", "none")),
    "before": (("#d5dce3", "#8a98a6"), ("#2b343e", "#7c8b9a")),
    "after": (("#bcd6f2", "#2f6fb2"), ("#21466e", "#6aa5e0")),
    "budget": (("none", "#c8392b"), ("none", "#f0705f")),
    "budget-text": (("#b32d20", "none"), ("#f0806f", "none")),
    "recompute": (("#d9822b", "none"), ("#e59a4c", "none")),
    "spill": (("#8e44ad", "none"), ("#bb83d3", "none")),
}

# Light where the notebook says so, else dark where the notebook or the system does.
_DARK: Final = (
    "@media (prefers-color-scheme:dark){:root:not(:has(body[data-jp-theme-light=true],"
    "body.vscode-light)) %s}",
    "body[data-jp-theme-light=false] %s",
    "body.vscode-dark %s",
)
_NOT_XML: Final = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def clean(text: Any) -> str:
    """A text without characters that XML cannot hold."""
    return _NOT_XML.sub("\ufffd", str(text))


def words(text: Any) -> str:
    """A text as the content of an element."""
    return escape(clean(text))


def attributes(values: Mapping[str, Any]) -> str:
    """` name="value"`, for each that is not None; `_` in a name stands for `-`."""
    found = {k.replace("_", "-"): num(v) for k, v in values.items() if v is not None}
    return "".join(f" {name}={quoteattr(clean(value))}" for name, value in found.items())


def num(x: Any) -> str:
    """A number with at most one decimal; other values as they are."""
    return f"{x:.1f}".removesuffix(".0") if isinstance(x, float) else str(x)


def element(tag: str, content: str = "", **values: Any) -> str:
    """An element; `content` is markup."""
    return f"<{tag}{attributes(values)}>{content}</{tag}>"


def group(colour: str, *content: str, **values: Any) -> str:
    """Elements of one colour."""
    fill, stroke = _COLOURS[colour][0]
    return element(
        "g", "".join(content), **{"class": f"pg-{colour}"}, fill=fill, stroke=stroke, **values
    )


def label(x: float, y: float, text: Any, **values: Any) -> str:
    """A line of text."""
    return element("text", words(text), x=x, y=y, **values)


def title(text: Any) -> str:
    """What a browser shows under the pointer."""
    return element("title", words(text))


def width_of(text: str, size: float) -> float:
    """The width of a text in the monospaced font."""
    return len(text) * size * ADVANCE


def shortened(text: str, most: int) -> str:
    """A text of at most so many characters, the end left out if need be."""
    return text if len(text) <= most else text[: most - 1] + "\u2026"


def document(width: float, height: float, *content: str) -> str:
    """A whole picture of this size, with its background and colours."""
    body = group("page", element("rect", width="100%", height="100%")) + "".join(content)
    rules = [
        f".pg-{name}{{fill:{fill};stroke:{stroke}}}"
        for name, (_, (fill, stroke)) in _COLOURS.items()
        if f'"pg-{name}"' in body
    ]
    dark = "".join(where % rule for rule in rules for where in _DARK)
    return (
        element(
            "svg",
            element("style", dark) + body,
            xmlns="http://www.w3.org/2000/svg",
            width=width,
            height=height,
            viewBox=f"0 0 {num(width)} {num(height)}",
            font_family=SANS,
            font_size=12,
            style="max-width:100%;height:auto",
        )
        + "\n"
    )


def write(path: Any, text: str) -> None:
    """Writes a file as a whole: what was there stays until the new one is complete."""
    with replacing(path) as new, open(new, "w", encoding="utf-8") as file:
        file.write(text)
