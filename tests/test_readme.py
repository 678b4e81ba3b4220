"""The Python examples of the README files run as printed, and print what they say they print."""

import contextlib
import io
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PAGES = ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "pycograd-core/README.md")


def blocks() -> list[object]:
    """Each python block, under as many empty lines as stand above it: tracebacks name its line."""
    found = []
    for page in PAGES:
        text = (ROOT / page).read_text(encoding="utf-8")
        for match in re.finditer(r"^```python\n(.*?)^```", text, re.MULTILINE | re.DOTALL):
            above = text.count("\n", 0, match.start(1))
            code = "\n" * above + match[1]
            found.append(pytest.param(page, code, id=f"{page}:{above + 1}"))
    return found


@pytest.mark.parametrize("page, code", blocks())
def test_example(page: str, code: str) -> None:
    promised = re.findall(r"# -> (.*)$", code, re.MULTILINE)
    assert promised, "an example has to show something: print(...)  # -> what it prints"
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(compile(code, str(ROOT / page), "exec"), {"__name__": "__main__"})
    assert printed.getvalue().splitlines() == promised


def test_readme_names_the_two_commands() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert re.search(r"^make demo\b.*\nmake test\b", readme, re.MULTILINE)


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_somewhere(page: str) -> None:
    text = (ROOT / page).read_text(encoding="utf-8")
    headings = re.findall(r"^#+ (.*)$", (ROOT / "README.md").read_text("utf-8"), re.MULTILINE)
    anchors = {heading.lower().replace(" ", "-") for heading in headings}
    for target in re.findall(r"\]\(([^)]+)\)", text):
        if target.startswith("https://"):
            continue
        file, _, anchor = target.partition("#")
        assert (ROOT / page).parent.joinpath(file).exists(), target
        assert not anchor or anchor in anchors, target
