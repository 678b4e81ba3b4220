"""The hub: which plugins there are, and how a name becomes a backend that works.

A name is looked up in the entry points of what is installed, read once, when the first name is
asked for. Only what is asked for is loaded; what fails, fails for who asked.
"""

from __future__ import annotations

import importlib
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import replace
from typing import Any, Final

from pycograd.core.backend import Backend, Probe
from pycograd.core.errors import (
    AmbiguousBackendError,
    BackendUnavailableError,
    PluginError,
    UnknownBackendError,
)
from pycograd.plugins import discovery, messages
from pycograd.plugins.loading import instance, load, missing_library
from pycograd.plugins.records import (
    ALIASES,
    BACKENDS,
    EXPORTERS,
    KNOWN,
    NOUNS,
    PLUGINS,
    Name,
    Record,
    normalized,
    parse,
)

_loading: ContextVar[tuple[str, ...]] = ContextVar("loading", default=())


class Hub:
    """The plugins of this process."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._found: discovery.Found | None = None
        self._registered: dict[tuple[str, str], Record] = {}  # by the program: first in rank
        self._hooks: Any = None
        self._running: list[tuple[Backend, Probe]] = []  # in the order of their first uses

    @property
    def hooks(self) -> Any:
        """The active plugins of hooks; pluggy is imported when this is first asked for."""
        if self._hooks is None:
            from pycograd.plugins.hooks import Hooks

            self._hooks = Hooks()
            for backend, probe in self._running:
                self._hooks.connect(backend, probe)
        return self._hooks

    # -- what there is -------------------------------------------------------------------------
    def _scanned(self) -> discovery.Found:
        with self._lock:
            if self._found is None:
                self._found = discovery.scan()
            return self._found

    def refresh(self) -> None:
        """Reads the installed distributions again; what is active stays so."""
        importlib.invalidate_caches()
        with self._lock:
            before = {r.key: r for r in self._found.records} if self._found else {}
            records, problems = discovery.scan()
            active = {k: r for k, r in before.items() if r.state == "active"}
            kept = [active.get(r.key, r) for r in records]
            self._found = discovery.Found(kept, problems)

    @property
    def problems(self) -> list[str]:
        """Metadata that cannot be read, or that hides behind other metadata."""
        return list(self._scanned().problems)

    def _all(self, group: str) -> list[Record]:
        registered = [r for (of, _), r in self._registered.items() if of == group]
        return registered + [r for r in self._scanned().records if r.group == group]

    def records(self, group: str = BACKENDS) -> list[Record]:
        """Every name of a group as things are now, without loading anything."""
        return [self._seen(record) for record in self._all(group)]

    def _seen(self, record: Record) -> Record:
        """A copy of a record, with what the environment and other records make of it."""
        seen = replace(record)
        qualified = f'"{record.name}@{record.distribution}"'
        if _disabled(record):
            seen.state, seen.reason = "disabled", f"{_DISABLE} names it"
            seen.fix = f"unset {_DISABLE}"
            return seen
        try:
            chosen = self._chosen(record.group, record.name)
        except UnknownBackendError as error:
            seen.state, seen.reason = "disabled", str(error).partition("\n")[0]
            seen.fix = f"unset {_PREFER}, or ask for {qualified}"
            return seen
        others = " and ".join(r.source for r in chosen if r is not record)
        if all(r is not record for r in chosen):
            if record.state != "active":
                seen.state, seen.reason = "disabled", f"{others} is preferred"
                seen.fix = f"ask for {qualified}"
        elif others:
            seen.state, seen.reason = "ambiguous", f"{others} provides it too"
            seen.fix = f"{qualified} or {_PREFER}"
        return seen

    def _chosen(self, group: str, name: str) -> list[Record]:
        """The providers of a name that come into question: one, if all is well."""
        registered = self._registered.get((group, name))
        if registered is not None:
            return [registered]
        found = [r for r in self._all(group) if r.name == name and not _disabled(r)]
        wanted = _preferred(name)
        if wanted and found:
            preferred = [r for r in found if r.distribution == wanted]
            if not preferred:
                raise UnknownBackendError(
                    messages.no_provider(NOUNS[group], name, wanted, found, _PREFER)
                )
            return preferred
        return found

    def find(self, text: str, group: str = BACKENDS) -> Record:
        """The record that a name means.

        Raises:
            UnknownBackendError: there is none.
            AmbiguousBackendError: there are several.
            BackendUnavailableError: it is disabled.
        """
        noun = NOUNS[group]
        asked = parse(text)
        everything = self._all(group)
        name = asked.name
        if name not in {r.name for r in everything}:
            name = ALIASES.get(name.lower(), name)
        providers = [r for r in everything if r.name == name]
        if not providers:
            raise UnknownBackendError(messages.unknown(noun, name, everything, KNOWN[group]))
        if asked.distribution:
            chosen = [r for r in providers if r.distribution == asked.distribution]
            if not chosen:
                raise UnknownBackendError(
                    messages.no_provider(noun, name, asked.distribution, providers)
                )
            chosen = [r for r in chosen if not _disabled(r)]
        else:
            chosen = self._chosen(group, name)
        if not chosen:
            raise BackendUnavailableError(
                f"{noun} {name!r} ({providers[0].source}) is disabled.\n"
                f"  why: {_DISABLE}={os.environ.get(_DISABLE, '')}\n"
                f"  fix: unset {_DISABLE}"
            )
        if len(chosen) > 1:
            raise AmbiguousBackendError(messages.ambiguous(noun, name, chosen))
        return chosen[0]

    # -- making them work ----------------------------------------------------------------------
    def backend(self, text: str) -> Backend:
        """The backend of a name, which can run here."""
        return self.use(self.find(text))  # type: ignore[no-any-return]

    def exporter(self, text: str) -> Any:
        """The exporter of a name."""
        return self.use(self.find(text, EXPORTERS))

    def activate(self, text: str) -> None:
        """Loads the backend, the plugin of hooks, or both, that a name means."""
        name = parse(text).name
        plugins = [r for r in self._all(PLUGINS) if r.name == name]
        backends = [r for r in self._all(BACKENDS) if r.name in (name, ALIASES.get(name.lower()))]
        if backends or not plugins:
            self.backend(text)
        if plugins:
            self.use(self.find(text, PLUGINS))

    def use(self, record: Record) -> Any:
        """What a record stands for, loaded if that is still to be done."""
        if record.state != "active":
            self._activate(record)
        return record.loaded

    def _activate(self, record: Record) -> None:
        with _asking(record):
            if record.group == EXPORTERS and record.framework:  # it has no probe to ask
                discovery.examine(record)
                if record.state == "missing-framework":
                    raise BackendUnavailableError(messages.unavailable(record, []))
            # Modules are imported outside of our lock, as Python has locks of its own for that.
            thing = self._load(record)
            if record.group == BACKENDS and record.distribution:
                for sibling in self._all(PLUGINS):  # the hooks that it brings with it
                    if sibling.distribution == record.distribution and not _disabled(sibling):
                        self.use(sibling)
            with self._lock:
                if record.state == "active":  # another thread was faster
                    return
                if record.group == BACKENDS:
                    record.loaded = self._usable(record, thing)
                elif record.group == PLUGINS:
                    record.loaded = self._hooked(record, thing)
                else:
                    record.loaded = self._instance(record, thing)
                record.state, record.reason, record.fix = "active", "", ""

    def _load(self, record: Record) -> Any:
        """The class or object of a record, which is written for this version of the interface."""
        try:
            return load(record)
        except PluginError:
            raise
        except BaseException as error:
            raise self._failed(record, error) from error

    def _instance(self, record: Record, thing: Any) -> Any:
        try:
            return instance(record, thing)
        except PluginError:
            raise
        except BaseException as error:
            raise self._failed(record, error) from error

    def _hooked(self, record: Record, thing: Any) -> Any:
        """A plugin of hooks, registered; nothing of it is left if that fails."""
        plugin = self._instance(record, thing)
        try:
            self.hooks.add(record.owner, plugin)
        except BaseException as error:
            raise self._failed(record, error) from error
        return plugin

    def _usable(self, record: Record, thing: Any) -> Backend:
        made: Backend = self._instance(record, thing)
        try:
            probe = made.probe()
            if not isinstance(probe, Probe):
                raise TypeError(f"probe() returned {probe!r}, which is no Probe")
        except BaseException as error:
            library = missing_library(record, error)
            if library is None:
                raise self._failed(record, error) from error
            fix = f"pip install {library}"
            probe = Probe(False, f"there is no module {library!r}", fix)
        record.framework_version = probe.framework_version or record.framework_version
        record.devices = tuple(probe.devices)
        if not probe.ok:
            record.state = "unavailable" if probe.framework_version else "missing-framework"
            record.reason, record.fix = probe.reason, probe.fix
            raise BackendUnavailableError(messages.unavailable(record, self._others(record)))
        if self._hooks is not None:
            self._connect(made, probe)
        self._running.append((made, probe))
        return made

    def _connect(self, backend: Backend, probe: Probe) -> None:
        """Lets every active plugin add to a backend that is about to be used."""
        from pycograd.plugins.hooks import HookFailure

        try:
            self.hooks.connect(backend, probe)
        except HookFailure as failure:
            error = failure.__cause__
            assert error is not None
            (culprit,) = [r for r in self._all(PLUGINS) if r.owner == str(failure)]
            culprit.loaded = None
            said = self._failed(culprit, error)
            text = f"{said}\n  it failed for backend {backend.name!r} and is active no longer"
            raise type(said)(text) from error

    def _failed(self, record: Record, error: BaseException) -> PluginError:
        """What to raise for a plugin that raised; the state of the record says so too."""
        if isinstance(error, (KeyboardInterrupt, GeneratorExit)):
            raise error
        record.state, record.reason = "broken", messages.one_line(error)
        record.fix = record.fix or messages.mend(record)
        text = messages.unavailable(record, self._others(record))
        return PluginError(text) if record.group == PLUGINS else BackendUnavailableError(text)

    def _others(self, record: Record) -> list[str]:
        """Names that may be asked for in its place."""
        if record.group != BACKENDS:
            return []
        fine = ("discovered", "active")
        found = {r.name for r in self.records() if r.state in fine and r.name != record.name}
        return sorted(found)

    # -- by the program ------------------------------------------------------------------------
    def register(self, group: str, name: str, factory: Any) -> None:
        """A provider that outranks those of entry points."""
        record = Record(group, name, "", "", getattr(factory, "__qualname__", repr(factory)))
        record.load = lambda: factory
        with self._lock:
            self._registered[group, name] = record

    def unregister(self, group: str, name: str) -> None:
        """Takes back `register`."""
        with self._lock:
            record = self._registered.pop((group, name), None)
            if record is not None and group == PLUGINS and record.state == "active":
                self.hooks.remove(record.owner)


@contextmanager
def _asking(record: Record) -> Iterator[None]:
    """A block in which a record is being loaded: to ask for it in there is a cycle."""
    me = f"{NOUNS[record.group]} {record.name!r}"
    asked = _loading.get()
    if me in asked:
        raise PluginError(f"{me} asks for itself while it is loaded: {' -> '.join([*asked, me])}")
    token = _loading.set((*asked, me))
    try:
        yield
    finally:
        _loading.reset(token)


_DISABLE: Final = "PYCOGRAD_DISABLE_PLUGINS"
_PREFER: Final = "PYCOGRAD_PREFER"
_DEFAULT: Final = "PYCOGRAD_BACKEND"


def _listed(variable: str) -> list[str]:
    return [part.strip() for part in os.environ.get(variable, "").split(",") if part.strip()]


def _disabled(record: Record) -> bool:
    """True if PYCOGRAD_DISABLE_PLUGINS names it, its distribution, or `*`; NumPy is never meant."""
    named = _listed(_DISABLE)
    if not named or not record.distribution or record.distribution == discovery.CORE:
        return False
    return bool({"*", record.name, f"{record.name}@{record.distribution}"} & set(named)) or (
        record.distribution in map(normalized, named)
    )


def _preferred(name: str) -> str:
    """The distribution that PYCOGRAD_PREFER gives a name to."""
    for part in _listed(_PREFER):
        key, _, distribution = part.partition("=")
        if key.strip() == name:
            return normalized(distribution)
    return ""


HUB: Final = Hub()


def get_backend(name: str | Backend) -> Backend:
    """The backend of a name, loaded and able to run here.

    Arguments:
        name: `"torch"`, `"torch:cuda:1"` (the device is left aside), `"torch@acme-torch"` to choose
            a provider, an alias (`"pytorch"`, `"tensorflow"`, `"metal"`, `"gpu"`, `"cuda"`); a
            `Backend` is returned as it is.

    Returns:
        The one instance of that backend.

    Raises:
        UnknownBackendError: no installed distribution provides the name.
        AmbiguousBackendError: several do.
        TypeError: it is neither a string nor a `Backend`.
        IncompatiblePluginError: it was written for another version of the plugin interface.
        BackendUnavailableError: it cannot run here, is disabled or broken; the message says why.

    >>> get_backend("numpy").name
    'numpy'
    """
    return name if isinstance(name, Backend) else HUB.backend(name)


def resolve(name: str | Backend) -> tuple[Backend, str | None]:
    """The backend of a name, and the device after its colon, if there is one.

    Raises:
        BackendUnavailableError: it has no such device; and as `get_backend`.
    """
    if isinstance(name, Backend):
        return name, None
    backend, asked = HUB.backend(name), parse(name)
    return backend, device_of(backend, asked) if asked.device else None


def device_of(backend: Backend, asked: Name) -> str:
    """The device that a name asks for, in the backend's own words: `"cuda"` may mean `"cuda:0"`,
    and `"cpu:0"` what it calls `"cpu"`."""
    devices = list(backend.devices())
    name = asked.device
    for device in (name, f"{name}:0", name.removesuffix(":0"), f"{backend.name}:{name}"):
        if device in devices:
            return device
    raise BackendUnavailableError(
        f"backend {backend.name!r} has no device {asked.device!r} here.\n"
        f"  why: its devices are {', '.join(devices)}\n"
        f"  fix: choose one of: {', '.join(f'{backend.name}:{d}' for d in devices)}"
    )


def misnamed(hub: Hub) -> dict[str, list[str]]:
    """Variables of the environment -> what they say that nothing can come of.

    A name that is none, a part of a list that is not written as it must be. What could be installed
    may be named before it is.
    """
    said: dict[str, list[str]] = {_DEFAULT: [], _PREFER: [], _DISABLE: []}
    if os.environ.get(_DEFAULT, "").strip():
        try:
            hub.find(default_name())
        except PluginError as error:
            said[_DEFAULT].append(str(error).partition("\n")[0])
    providers: dict[str, set[str]] = {}
    for record in [r for group in NOUNS for r in hub.records(group)]:
        providers.setdefault(record.name, set()).add(record.distribution)
    names = {*providers, *[name for known in KNOWN.values() for name in known]}
    for part in _listed(_PREFER):
        name, _, distribution = (word.strip() for word in part.partition("="))
        if not distribution:
            said[_PREFER].append(f"{part!r} names no provider: write name=distribution")
        elif name not in names:
            said[_PREFER].append(f"there is no plugin {name!r}")
        elif name in providers and normalized(distribution) not in providers[name]:
            there = ", ".join(sorted(providers[name]))
            said[_PREFER].append(f"{distribution!r} provides no {name!r}; there is {there}")
    everybody = {"*", *names, *[d for some in providers.values() for d in some]}
    for part in _listed(_DISABLE):
        named = part.partition("@")[0]
        if named not in everybody and normalized(part) not in everybody:
            said[_DISABLE].append(f"there is no plugin {part!r}")
    return {variable: found for variable, found in said.items() if found}


def default_name() -> str:
    """What PYCOGRAD_BACKEND says, NumPy if it says nothing."""
    return os.environ.get(_DEFAULT, "").strip() or "numpy"


def get_exporter(name: str) -> Any:
    """The exporter of a file format, `"onnx"`.

    Raises:
        UnknownBackendError: no installed distribution provides it.
        BackendUnavailableError: it cannot be loaded.
    """
    return HUB.exporter(name)


def register_backend(name: str, factory: Callable[[], Backend]) -> None:
    """Makes a backend known by name in this process; it outranks what is installed.

    Arguments:
        name: what users will write.
        factory: called at the first use, without arguments: a subclass of `Backend`, or a function
            that returns one of its instances. A second registration of a name replaces the first.

    Raises:
        TypeError: the name is not one, or the factory cannot be called.

    >>> from pycograd.plugins.api import Backend, Probe
    >>> class Mine(Backend):
    ...     name = "mine"
    ...     def probe(self):
    ...         return Probe(True, devices=("cpu",))
    >>> register_backend("mine", Mine)
    >>> get_backend("mine").devices()
    ('cpu',)
    """
    if not _is_name(name):
        raise TypeError(f"register_backend: {name!r} is no name; write letters and digits")
    if not callable(factory):
        raise TypeError(f"register_backend: the factory of {name!r} is {factory!r}; pass a class")
    HUB.register(BACKENDS, name, factory)


def _is_name(x: object) -> bool:
    return isinstance(x, str) and x != "" and not set(x) & set(":@, =")


def refresh() -> None:
    """Looks again for installed plugins, after `pip install` in a notebook.

    What is in use stays as it is.

    >>> refresh()
    """
    HUB.refresh()


def activate(name: str) -> None:
    """Loads a backend, or a plugin of hooks, before it is used for the first time.

    A backend is activated by its first use anyway, and with it the hooks that its distribution
    brings; what other distributions add with hooks comes with this call.

    Arguments:
        name: of a backend, as for `get_backend`, or of a plugin.

    Raises:
        UnknownBackendError: there is neither; and all that `get_backend` raises.
        PluginError: the plugin failed. Nothing of it stays registered.

    >>> activate("numpy")
    """
    HUB.activate(name)


def register_plugin(name: str, plugin: Any) -> None:
    """Activates hooks that the program itself has.

    Arguments:
        name: tells it from other plugins; a second plugin of a name replaces the first.
        plugin: a `PluginBase`, a subclass of it, or an object with methods marked `@hookimpl`.

    Raises:
        PluginError: it failed. Nothing of it stays registered.
    """
    HUB.unregister(PLUGINS, name)
    HUB.register(PLUGINS, name, plugin)
    HUB.activate(name)
