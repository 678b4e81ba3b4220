"""Backends that each get one thing wrong."""

from chaos_good import Good

from pycograd.plugins.api import Probe


class InProbe(Good):
    name = "probe"

    def probe(self):
        raise OSError("the driver does not answer")


class ProbeType(Good):
    name = "type"

    def probe(self):
        return {"ok": True}


class InInit(Good):
    name = "init"

    def __init__(self):
        raise ValueError("no licence was found")


class NewMajor(Good):
    name = "major"
    api = (2, 0)


class NewMinor(Good):
    name = "minor"
    api = (1, 7)


class ApiType(Good):
    name = "api"
    api = "1.0"


class OtherName(Good):
    name = "another"


class NoLibrary(Good):
    name = "library"

    def probe(self):
        import a_library_that_nobody_has  # noqa: F401

        return Probe(True)


class Quiet(Good):
    name = "quiet"

    def probe(self):
        return Probe(False)


NOT_A_CLASS = "Backend"


class NotABackend:
    name = "other"
