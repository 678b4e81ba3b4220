"""Who runs, and on what: the contestants and the workloads, by name."""

from __future__ import annotations

from typing import Final, NamedTuple


class Contestant(NamedTuple):
    key: str
    heading: str
    module: str  # in contestants/
    own: bool = False  # is measured as it stands in this repository
    peer: bool = False  # lives in the second environment, for it owns our module's name
    traced: bool = True  # allocates through Python, so that tracemalloc sees its memory


class Workload(NamedTuple):
    key: str
    title: str
    function: str  # in each contestant's module
    size: int = 0
    peak: bool = False  # its peak memory is measured too
    of: tuple[str, ...] = ()  # the contestants that have it, where not all do

    @property
    def letter(self) -> str:
        return self.key[0]


CONTESTANTS: Final = (
    Contestant("ours", "pycograd", "ours", own=True),
    Contestant("jit", "its jit", "ours_jit", own=True),
    Contestant("hand", "by hand", "by_hand"),
    Contestant("hips", "HIPS", "hips"),
    Contestant("mygrad", "MyGrad", "mygrad_tensors"),
    Contestant("older", "0.0.5", "pycograd_0_0_5", peer=True),
    Contestant("torch", "torch", "torch_eager", traced=False),
    Contestant("jax", "jax.jit", "jax_jit", traced=False),
)

OWN: Final = ("ours", "hand")  # of the transparent mode, which the others have not

RACES: Final = (
    Workload("a", "chain: 150 on 10 elements", "chain"),
    Workload("b", "MLP 784-256-10, batch 128", "mlp", peak=True),
    Workload("c", "attention, T=128, d=64", "attention"),
    Workload("d", "RNN: 100 steps of 16 x 64", "rnn", peak=True),
    Workload("e1000", "loop over 1,000 x[i]", "loop", 1_000),
    Workload("e10000", "loop over 10,000 x[i]", "loop", 10_000),
    Workload("f", "per-sample, batch 256", "per_sample"),
    Workload("g", "Hessian, 100 variables", "hessian", 100),
    Workload("tnumpy", "helper, 50 x np.sin", "helper_numpy", of=OWN),
    Workload("tmath", "helper, 50 x math.sin", "helper_math", of=OWN),
    Workload("tfill10000", "filling 10,000 entries", "fill", 10_000, of=OWN),
    Workload("tfill100000", "filling 100,000 entries", "fill", 100_000, of=OWN),
    Workload("tlook", "a look at ten functions", "look", of=OWN),
)

TAPES: Final = (
    Workload("h100000", "tape of 100,000", "tape", 100_000, peak=True),
    Workload("h1000000", "tape of 1,000,000", "tape", 1_000_000, peak=True),
)

LETTERS: Final = "abcdefght"
