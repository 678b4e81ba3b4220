"""Small realistic programs in plain NumPy: the corpus that transforms and backends are run on.

Each is a function of arrays and trees, smooth at its arguments (kinks are elsewhere), with the
spellings, closures, classes and loops that users write. `PROGRAMS` lists them. The programs call
`np` alone (the data come from `numpy`), so the same source runs over another library as an oracle.
"""

import functools
import math
from collections import namedtuple
from dataclasses import dataclass

import numpy
import numpy as np

from pycograd import grad, jvp, vmap


class Program:
    """A function and its arguments.

    Arguments:
        f: returns an array or a tree of arrays.
        args: its arguments, trees of float64 or complex128 arrays and of constants.
        branches: True if it branches in Python on values, which vmap and shapes refuse.
        writes: True if it assigns items, which a library of immutable arrays cannot run.
        nested: True if it uses transforms itself.
    """

    def __init__(self, f, args, branches=False, writes=False, nested=False):
        self.name, self.f, self.args = f.__name__, f, args
        self.branches, self.writes, self.nested = branches, writes, nested

    def __repr__(self):
        return self.name


PROGRAMS = []
_counter = [0]


def normal(*shape):
    """The next numbers of one fixed sequence, independent of the array library in use."""
    n = math.prod(shape)
    start = _counter[0]
    _counter[0] += n
    steps = numpy.arange(start, start + n)
    # The golden angle spreads the phases evenly: no two entries are equal.
    return (1.5 * numpy.sin(2.399963229728653 * steps + 0.1 * numpy.cos(steps))).reshape(shape)


def positive(*shape):
    return 1.75 + 0.5 * normal(*shape)


def constant(values):
    return numpy.array(values)


def program(*args, **options):
    def register(f):
        PROGRAMS.append(Program(f, args, **options))
        return f

    return register


# -- functions of one vector --------------------------------------------------------------------
@program(normal(5))
def rosenbrock(x):
    return np.sum(100.0 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2)


@program(normal(4))
def horner(x):
    total = 0.0
    for c in [0.5, -1.0, 2.0, 0.25]:
        total = total * x + c
    return total.sum()


@program(normal(3), normal(3))
def angle_between(a, b):
    cosine = a @ b / (np.sqrt(np.sum(a * a)) * np.sqrt((b**2).sum()))
    return np.arccos(0.9 * cosine)


@program(positive(6))
def entropy_of_frequencies(counts):
    p = counts / counts.sum()
    return -np.sum(p * np.log(p))


@program(normal(3), normal(4))
def quaternion_rotation(v, q):
    q = q / np.sqrt(np.sum(q * q))
    w, u = q[0], q[1:]
    rotated = v + 2.0 * np.cross(u, np.cross(u, v) + w * v)
    return rotated


@program(positive(5))
def product_of_experts(x):
    return np.log(np.prod(np.stack([x, x**2, np.sqrt(x)]), axis=0)).mean()


@program(normal(6) + 3.0)
def sorted_quantiles(x):
    ordered = np.sort(x)
    return 0.3 * ordered[1] + 0.7 * ordered[-2] ** 2 + ordered[2:4].mean()


@program(normal(8))
def drawdown(returns):
    wealth = np.cumsum(returns) + np.linspace(0.0, 0.1, 8)
    peak = np.maximum.accumulate(wealth)
    return np.sum((peak - wealth) ** 2)


@program(normal(4, 5))
def ising_energy(spins):
    s = np.tanh(spins)
    return -(s * np.roll(s, 1, axis=0)).sum() - (s * np.roll(s, -1, axis=1)).sum()


@program(normal(7))
def piecewise(x):
    huber = np.where(np.abs(x) < 0.7, 0.5 * x * x, 0.7 * (np.abs(x) - 0.35))
    return np.sum(huber) + np.sum(np.clip(x, -0.8, 0.9) ** 2)


# -- models -------------------------------------------------------------------------------------
@program(
    {"w1": normal(4, 6), "b1": normal(6), "w2": normal(6, 3), "b2": normal(3)},
    normal(5, 4),
    normal(5, 3),
)
def mlp(params, x, y):
    h = np.tanh(x @ params["w1"] + params["b1"])
    return np.mean((h @ params["w2"] + params["b2"] - y) ** 2)


@program(normal(4), normal(), normal(7, 4), constant([0, 1, 1, 0, 1, 0, 1]))
def logistic_regression(w, b, x, labels):
    logits = x @ w + b
    return np.mean(np.logaddexp(0.0, logits) - labels * logits) + 0.1 * np.sum(w**2)


@program(normal(5, 4), constant([0, 3, 1, 2, 2]))
def cross_entropy(logits, labels):
    shifted = logits - np.max(logits, axis=1, keepdims=True)
    log_p = shifted - np.log(np.sum(np.exp(shifted), axis=1, keepdims=True))
    picked = np.take_along_axis(log_p, labels[:, None], axis=1)
    return -picked.mean()


Line = namedtuple("Line", ["slope", "intercept"])


@program(Line(normal(), normal()), normal(6), normal(6))
def line_fit(line, x, y):
    return np.sum((line.slope * x + line.intercept - y) ** 2)


@dataclass
class Gauss:
    mean: object
    log_scale: object


@program([Gauss(normal(2), normal(2)), Gauss(normal(2), normal(2))], normal(6, 2))
def gaussian_mixture(components, x):
    logs = []
    for c in components:
        z = (x - c.mean) * np.exp(-c.log_scale)
        logs.append(np.sum(-0.5 * z * z - c.log_scale, axis=1))
    stacked = np.stack(logs)
    top = np.max(stacked, axis=0)
    return np.sum(top + np.log(np.sum(np.exp(stacked - top), axis=0)))


@program(normal(3, 4), normal(4, 4), normal(4, 4), normal(4, 4))
def attention(x, wq, wk, wv):
    q, k, v = x @ wq, x @ wk, x @ wv
    scores = q @ k.T / np.sqrt(4.0)
    scores = np.exp(scores - scores.max(axis=-1, keepdims=True))
    return scores / scores.sum(axis=-1, keepdims=True) @ v


@program(normal(3, 5), positive(5), normal(5))
def layer_norm(x, gain, bias):
    centred = x - x.mean(axis=-1, keepdims=True)
    return centred / np.sqrt(centred.var(axis=-1, keepdims=True) + 1e-5) * gain + bias


@program(normal(4, 2), normal(2, 3), normal(3, 3), normal(3))
def recurrent_net(xs, wx, wh, h):
    states = []
    for x in xs:
        h = np.tanh(x @ wx + h @ wh)
        states.append(h)
    return np.stack(states)


@program(normal(3, 2), [normal(2, 4), normal(4, 4)], [normal(2, 4), normal(4, 4)], normal(4))
def gated_cell(xs, update, candidate, h):
    def sigmoid(v):
        return 1 / (1 + np.exp(-v))

    for t in range(len(xs)):
        z = sigmoid(xs[t] @ update[0] + h @ update[1])
        h = (1 - z) * h + z * np.tanh(xs[t] @ candidate[0] + h @ candidate[1])
    return np.sum(h**2)


@program(normal(9), normal(3), normal())
def convolution_by_slices(signal, kernel, bias):
    out = sum(kernel[k] * signal[k : k + 7] for k in range(3))
    return np.sum(np.tanh(out + bias))


@program(normal(6, 6))
def blur_and_pool(image):
    padded = np.pad(image, 1)
    blurred = sum(padded[i : i + 6, j : j + 6] for i in range(3) for j in range(3)) / 9.0
    return blurred.reshape(3, 2, 3, 2).max(axis=(1, 3))


@program(normal(5, 3), constant([4, 0, 4, 2]), normal(3))
def embedding(table, tokens, w):
    return np.mean(np.tanh(table[tokens]) @ w)


@program(normal(4, 2), normal(2, 5), constant([[1, 0, 1, 1, 0]] * 4))
def matrix_factorisation(u, v, seen):
    ratings = np.einsum("ik,kj->ij", u, v)
    return np.sum(np.where(seen == 1, (ratings - 1.0) ** 2, 0.0)) + 0.01 * (u**2).sum()


@program(normal(6, 2), normal(3, 2))
def soft_clusters(points, centres):
    distances = ((points[:, None, :] - centres[None, :, :]) ** 2).sum(-1)
    weights = np.exp(-distances)
    return np.sum(distances * (weights / weights.sum(axis=1, keepdims=True)))


@program(normal(2, 4), constant([True, False, True, True]))
def masked_loss(x, keep):
    return np.sum(x[:, keep] ** 3) + np.sum(np.where(keep, x, 0.0) * np.arange(4.0))


# -- loops, scans and recursion -----------------------------------------------------------------
@program(positive())
def newton_square_root(a):
    x = a
    for _ in range(6):
        x = 0.5 * (x + a / x)
    return x


@program(positive(), branches=True)
def bisection_like(a):
    x, steps = a * 1.0, 0
    while abs(x * x - a) > 1e-13 and steps < 50:
        x = x - (x * x - a) / (2 * x)
        steps += 1
    return x * (1.0 if steps else 2.0)


@program(positive(2), positive(4))
def predator_and_prey(state, rates):
    a, b, c, d = rates
    history = [state]
    for _ in range(8):
        x, y = history[-1][0], history[-1][1]
        change = np.stack([a * x - b * x * y, c * x * y - d * y])
        history.append(history[-1] + 0.05 * change)
    return np.stack(history)


@program(normal(2), positive())
def pendulum_by_runge_kutta(state, length):
    def slope(s):
        return np.array([1.0, 0.0]) * s[1] - np.array([0.0, 1.0]) * np.sin(s[0]) * 9.81 / length

    h = 0.02
    for _ in range(5):
        k1 = slope(state)
        k2 = slope(state + 0.5 * h * k1)
        k3 = slope(state + 0.5 * h * k2)
        k4 = slope(state + h * k3)
        state = state + h / 6 * (k1 + 2 * k2 + 2 * k3 + k4)
    return state


@program(normal(5), positive(3))
def kalman_filter(observations, noise):
    mean, variance, loss = 0.0, 1.0, 0.0
    for y in observations:
        variance = variance + noise[0]
        innovation = y - mean
        total = variance + noise[1]
        gain = variance / total
        loss = loss + innovation**2 / total + np.log(total)
        mean, variance = mean + gain * innovation, (1 - gain) * variance
    return loss * noise[2]


@program(normal(3, 3), normal(3), constant([0, 2, 1, 1]))
def hidden_markov_chain(transitions, start, symbols):
    def logsumexp(x, axis):
        top = np.max(x, axis=axis, keepdims=True)
        return np.squeeze(top, axis) + np.log(np.sum(np.exp(x - top), axis=axis))

    log_t = transitions - logsumexp(transitions, 1)[:, None]
    alpha = start
    for s in symbols[1:]:
        alpha = logsumexp(alpha[:, None] + log_t, 0) + log_t[:, s]
    return logsumexp(alpha, 0)


@program(normal(4, 4), normal(4))
def power_iteration(m, v):
    a = m @ m.T
    for _ in range(4):
        v = a @ v
        v = v / np.sqrt(v @ v)
    return v @ a @ v


@program(normal(4, 4), normal(4))
def conjugate_gradients(m, b):
    a = m.T @ m + 4.0 * np.eye(4)
    x, r = b * 0.0, b
    p, rr = r, r @ r
    for _ in range(3):
        ap = a @ p
        step = rr / (p @ ap)
        x, r = x + step * p, r - step * ap
        rr, old = r @ r, rr
        p = r + (rr / old) * p
    return x


def branch(left=None, right=None):
    return {"value": normal(2), "left": left, "right": right}


@program(branch(branch(), branch(right=branch())))
def tree_recursion(node):
    if node is None:
        return np.zeros(2)
    return np.tanh(
        node["value"] + tree_recursion(node["left"]) - 0.5 * tree_recursion(node["right"])
    )


@program(positive(), positive(), positive())
def option_price(spot, strike, volatility):
    steps = 6
    up = np.exp(volatility * 0.3)
    powers = np.arange(steps, -steps - 1, -2)
    values = np.logaddexp(0.0, (spot * up**powers - strike) * 4.0) / 4.0
    for _ in range(steps):
        values = 0.99 * (0.52 * values[:-1] + 0.48 * values[1:])
    return values[0]


# -- arrays that are written to -----------------------------------------------------------------
@program(positive(5) + 3.0, normal(5), writes=True)
def tridiagonal_solver(diagonal, right):
    n = 5
    both = diagonal * right
    c, d, x = np.zeros(n, like=both), np.zeros(n, like=both), np.zeros(n, like=both)
    c[0], d[0] = 1.0 / diagonal[0], right[0] / diagonal[0]
    for i in range(1, n):
        scale = diagonal[i] - c[i - 1]
        c[i] = 1.0 / scale
        d[i] = (right[i] - d[i - 1]) / scale
    x[-1] = d[-1]
    for i in range(n - 2, -1, -1):
        x[i] = d[i] - c[i] * x[i + 1]
    return x


@program(normal(6), writes=True)
def soft_histogram(x):
    bins = np.zeros(4, like=x)
    for i in range(6):
        bins[i % 4] += np.exp(-(x[i] ** 2))
    bins[1:3] *= 2.0
    return bins


@program(normal(4, 3), writes=True)
def normalised_in_place(x):
    rows = x * 1.0
    rows -= rows.mean(axis=0)
    view = rows[1:]
    view /= np.sqrt(1.0 + (view**2).sum(axis=1, keepdims=True))
    return rows


# -- complex numbers ----------------------------------------------------------------------------
@program(normal(5))
def power_spectrum(x):
    n = np.arange(5)
    waves = np.exp(-2j * np.pi * n[:, None] * n / 5)
    return np.abs(waves @ x) ** 2


@program(normal(3) + 1j * normal(3), normal(3, 3) + 1j * normal(3, 3))
def quantum_expectation(state, m):
    hamiltonian = m + np.conj(m.T)
    state = state / np.sqrt(np.sum(np.abs(state) ** 2))
    for _ in range(2):
        state = state - 0.1j * (hamiltonian @ state)
    return np.real(np.sum(np.conj(state) * (hamiltonian @ state)))


@program(normal() + 1j * normal(), normal() + 1j * normal())
def moebius_orbit(z, c):
    for _ in range(4):
        z = (z * c + 1.0) / (z + 2.0 * c)
    return np.angle(z) + z.real * np.imag(z)


# -- functions, classes and closures ------------------------------------------------------------
class Network:
    def __init__(self, sizes):
        self.sizes = sizes

    def layers(self, params):
        return zip(params[::2], params[1::2])

    def __call__(self, params, x):
        for w, b in self.layers(params):
            x = self.activation(x @ w + b)
        return x

    @staticmethod
    def activation(x):
        return x / (1.0 + np.exp(-x))


network = Network((3, 4, 2))


@program([normal(3, 4), normal(4), normal(4, 2), normal(2)], normal(5, 3))
def method_of_a_class(params, x):
    return network(params, x)


def scaled(factor):
    def decorate(f):
        @functools.wraps(f)
        def wrapper(*args):
            return factor * f(*args)

        return wrapper

    return decorate


@program(normal(4))
@scaled(0.5)
@scaled(3.0)
def decorated_twice(x):
    return np.sum(np.sin(x) ** 2)


def weighted(power, x, *, weight=1.0):
    return weight * np.sum(np.abs(x) ** power)


@program(positive(4))
def partial_and_map(x):
    norms = map(functools.partial(weighted, x=x, weight=0.5), (1, 2, 3))
    return functools.reduce(lambda a, b: a + b * b, norms)


@program(normal(3))
def closures_over_differentiated_values(x):
    def make(scale):
        return lambda v: v * scale + np.sum(x)

    functions = [make(x[i]) for i in range(3)]
    value = x[0]
    for f in functions:
        value = f(value)
    return value


@program(normal(3, 2), normal(2))
def two_outputs(x, w):
    y = np.sin(x @ w)
    return {"sum": y.sum(), "parts": (y * 2.0, x.T)}


@program(positive(3), normal(3))
def statistics(x, y):
    joint = np.concatenate([x, y, x * y])
    spread = np.std(joint) + np.var(y, ddof=1) + np.ptp(x)
    return spread + np.outer(x, y).trace() + np.dot(x, y) / np.sqrt(np.vdot(x, x))


# -- transforms inside --------------------------------------------------------------------------
@program(normal(3), normal(5, 3), normal(5), nested=True)
def loss_after_a_step(w, x, y):
    def loss(w):
        return np.mean((np.tanh(x @ w) - y) ** 2)

    return loss(w - 0.3 * grad(loss)(w)[0])


@program(normal(2), normal(2), nested=True)
def hamiltonian_flow(q, p):
    def energy(q, p):
        return np.sum(p * p) / 2 + np.sum(np.cos(q)) * np.sum(q * p)

    for _ in range(3):
        dq, dp = grad(energy)(q, p)
        q, p = q + 0.1 * dp, p - 0.1 * dq
    return energy(q, p)


@program(normal(4, 3), normal(3), nested=True)
def gradient_penalty(xs, w):
    slopes = vmap(grad(lambda x: np.sum(np.tanh(x * w))))(xs)[0]
    return np.mean((np.sum(slopes**2, axis=1) - 1.0) ** 2)


@program(normal(3), nested=True)
def directional_derivative(x):
    value, slope = jvp(lambda v: np.sum(np.sin(v) * v[::-1]), (x,), (x * x,))
    return value * slope
