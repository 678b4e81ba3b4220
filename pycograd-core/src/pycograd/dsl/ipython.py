"""`%load_ext pycograd`: the DSL in the cells of IPython and Jupyter.

A cell reaches the compiler of the shell as it was typed. That compiler's `ast_parse` is where the
DSL is read, so that tracebacks, `inspect.getsource`, `%time` and `%timeit` see the cell itself, and
a cell without DSL is parsed as ever. Nothing watches the code that runs.

Where pipescript's own extension is loaded too, pipelines are its: it rewrites cells before they are
parsed, and watches them run. `params{...}` is ours all the same.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from pycograd.dsl.source import NAMES, legal_text, parse
from pycograd.dsl.words import BRACED

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

_KEPT: Final = "_pycograd_extension"  # the attribute of a shell that has what was changed about it


def load_ipython_extension(shell: InteractiveShell) -> None:
    """Teaches a shell the DSL, and lends it `params` and its kin; what `%load_ext pycograd` calls.

    A name that the user has already is left alone, and said to be. Loading twice is loading once.

    Arguments:
        shell: IPython's.

    >>> load_ipython_extension(get_ipython())  # doctest: +SKIP
    """
    if _KEPT not in vars(shell):
        setattr(shell, _KEPT, _Extension(shell))
    getattr(shell, _KEPT).lend_names()


def unload_ipython_extension(shell: InteractiveShell) -> None:
    """Undoes `load_ipython_extension`; functions that cells have defined stay what they are.

    Arguments:
        shell: IPython's.

    >>> unload_ipython_extension(get_ipython())  # doctest: +SKIP
    """
    extension = vars(shell).pop(_KEPT, None)
    if extension is not None:
        extension.unload()


class _Extension:
    """What is changed about one shell."""

    def __init__(self, shell: Any) -> None:
        self._shell = shell
        self._lent: dict[str, Any] = {}
        self._undo = [
            _wrap(shell.compile, "ast_parse", self._ast_parse),
            _wrap(shell.input_transformer_manager, "check_complete", _check_complete),
            _wrap(shell, "should_run_async", _should_run_async),
        ]

    def lend_names(self) -> None:
        """Gives the user the names that are not there, as they are not after `%reset`."""
        from pycograd import parameters

        namespace, every = self._shell.user_ns, {name: getattr(parameters, name) for name in NAMES}
        kept = [name for name in NAMES if namespace.get(name, every[name]) is not every[name]]
        new = {name: value for name, value in every.items() if name not in namespace}
        self._shell.push(new, interactive=False)
        self._lent |= new
        if kept:
            print(f"pycograd: {', '.join(kept)}: left as you have defined it")

    def unload(self) -> None:
        for undo in self._undo:
            undo()
        for name, value in self._lent.items():
            if self._shell.user_ns.get(name) is value:
                del self._shell.user_ns[name]

    def _ast_parse(self, parser: Callable[..., Any], source: str, *args: Any, **kwargs: Any) -> Any:
        filename = args[0] if args else kwargs.get("filename", "<unknown>")
        symbol = args[1] if len(args) > 1 else kwargs.get("symbol", "exec")
        if symbol != "exec":
            return parser(source, *args, **kwargs)
        return parse(source, filename, self._taken(), lambda text, name: parser(text, name, symbol))

    def _taken(self) -> set[str]:
        """The names of macros to which the user has given something that can be indexed."""
        if "pipescript" in self._shell.extension_manager.loaded:
            return {*BRACED}
        namespace = self._shell.user_ns
        return {n for n in BRACED if hasattr(type(namespace.get(n)), "__getitem__")}


def _wrap(owner: Any, name: str, around: Callable[..., Any]) -> Callable[[], None]:
    """Lets `around(method, ...)` stand for a method of one object; returns what undoes it."""
    original, own = getattr(owner, name), vars(owner).get(name)
    active = True

    def method(*args: Any, **kwargs: Any) -> Any:
        return around(original, *args, **kwargs) if active else original(*args, **kwargs)

    def undo() -> None:
        nonlocal active
        active = False
        if vars(owner).get(name) is not method:
            return  # somebody has wrapped this one, who goes on to call it
        if own is None:
            delattr(owner, name)
        else:
            setattr(owner, name, own)

    setattr(owner, name, method)
    return undo


def _check_complete(original: Callable[..., Any], code: str) -> Any:
    """Whether the lines that were typed want more, asked of their legal text."""
    try:
        return original(legal_text(code))
    except SyntaxError:
        return original(code)


def _should_run_async(original: Callable[..., Any], raw_cell: str, **kwargs: Any) -> Any:
    """Whether a cell awaits something at its top level, asked of its legal text."""
    cell = kwargs.get("transformed_cell")
    if cell is not None:
        try:
            kwargs["transformed_cell"] = legal_text(cell)
        except SyntaxError:
            return False
    return original(raw_cell, **kwargs)
