"""Transforms in many threads at once, and in threads started inside a transform."""

import asyncio
import contextvars
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from pycograd import grad, jvp, no_grad, vmap

THREADS = 16


def in_threads(work):
    """The results of `work(i)` for 16 threads that start together."""
    barrier = threading.Barrier(THREADS)

    def run(i):
        barrier.wait()
        return [work(i) for _ in range(40)]

    with ThreadPoolExecutor(THREADS) as pool:
        return list(pool.map(run, range(THREADS)))


def third_derivative(x):
    return grad(lambda x: grad(lambda x: grad(lambda x: x**4 * np.sin(x))(x)[0])(x)[0])(x)[0]


def expected_third(x):
    return (24 * x - 12 * x**3) * np.sin(x) + (36 * x**2 - x**4) * np.cos(x)


def test_nested_gradients_in_sixteen_threads():
    results = in_threads(lambda i: third_derivative(0.1 * (i + 1)))
    for i, values in enumerate(results):
        np.testing.assert_allclose(values, expected_third(0.1 * (i + 1)), rtol=1e-12)


def test_mixed_transforms_in_sixteen_threads():
    def work(i):
        xs = np.linspace(0.0, 1.0, 5) + i
        rows = vmap(lambda x: grad(lambda x: np.sin(x) * x)(x)[0])(xs)
        _, tangent = jvp(lambda x: grad(lambda x: np.sum(x**3))(x)[0], (xs,), (np.ones(5),))
        return np.stack([rows, tangent])

    for i, values in enumerate(in_threads(work)):
        xs = np.linspace(0.0, 1.0, 5) + i
        expected = np.stack([np.cos(xs) * xs + np.sin(xs), 6 * xs])
        np.testing.assert_allclose(values, [expected] * len(values), rtol=1e-12)


def test_gradient_in_a_worker_thread_inside_an_outer_gradient():
    """The worker's tape is an inner one, whatever context the thread runs in."""

    def inner(x):
        return grad(lambda y: y**3 * x)(x)[0]

    def outer(x):
        with ThreadPoolExecutor(1) as pool:
            return pool.submit(inner, x).result()

    x = 1.3
    # inner(x) = 3 y^2 x at y = x = 3 x^3
    np.testing.assert_allclose(outer(x), 3 * x**3)
    np.testing.assert_allclose(grad(outer)(x)[0], 9 * x**2)
    np.testing.assert_allclose(grad(lambda x: grad(outer)(x)[0])(x)[0], 18 * x)


def test_worker_that_was_started_before_the_outer_gradient():
    with ThreadPoolExecutor(1) as pool:
        pool.submit(grad(np.sin), 1.0).result()  # the thread and its context exist now

        def outer(x):
            return pool.submit(lambda: grad(lambda y: y * y * x)(x)[0]).result()

        np.testing.assert_allclose(grad(outer)(3.0)[0], 12.0)


def test_gradients_in_threads_that_share_a_copied_context():
    context = contextvars.copy_context()

    def outer(x):
        with ThreadPoolExecutor(2) as pool:
            runs = [context.copy().run for _ in range(2)]
            parts = [pool.submit(run, grad(lambda y: y**3), x) for run in runs]
            return sum(part.result()[0] for part in parts)

    np.testing.assert_allclose(grad(outer)(2.0)[0], 24.0)


def test_gradients_in_interleaved_tasks():
    async def one(x):
        def loss(y):
            return y**3

        first = grad(loss)(x)[0]
        await asyncio.sleep(0)
        return grad(lambda z: grad(loss)(z)[0])(first)[0]

    async def every():
        return await asyncio.gather(*[one(0.5 * i) for i in range(10)])

    expected = [18 * (0.5 * i) ** 2 for i in range(10)]
    np.testing.assert_allclose(asyncio.run(every()), expected)


def test_no_grad_holds_for_its_own_thread_alone():
    entered, leave = threading.Event(), threading.Event()

    def held(x):
        with no_grad():
            entered.set()
            leave.wait()
            y = x * x
        return y * x

    with ThreadPoolExecutor(1) as pool:
        result = pool.submit(lambda: grad(held)(3.0)[0])
        entered.wait()
        assert grad(lambda x: x * x * x)(3.0)[0] == 27.0
        leave.set()
        assert result.result() == 9.0
    assert grad(lambda x: x * x)(3.0)[0] == 6.0


def test_threads_may_share_one_tape():
    """Four threads compute with the same differentiated value."""

    def f(x):
        def work(k):
            s = x * 1.0
            for _ in range(2000):
                s = s + x[::1] * k
            return np.sum(s)

        with ThreadPoolExecutor(4) as pool:
            return sum(pool.map(work, [1.0, 2.0, 3.0, 4.0]))

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        for _ in range(3):
            assert grad(f)(np.array([1.0]))[0] == 4 + 2000 * 10
    finally:
        sys.setswitchinterval(interval)
