from pycograd.plugins.hub import HUB

HUB.backend("cycle")
