"""Samples of `pycograd.ops.fft`."""

from __future__ import annotations

from typing import Any

import numpy as np

from pycograd.testing.samples import Draw, Sample

draw = Draw("fft")
_REAL, _COMPLEX = draw.normal(2, 5), draw.complex(2, 3)
_CUBE, _COMPLEX_CUBE = draw.normal(2, 3, 4), draw.complex(2, 3, 2)
_FIXED: dict[str, Any] = {"symbolic": False}  # where symbolic sizes would be cropped or padded


def _buffered(x: Any) -> Any:
    out = np.zeros(x.shape, np.result_type(x.dtype, np.complex64), like=x)
    np.fft.fft(x, out=out)
    return out


SAMPLES = [
    # -- along one axis
    Sample("fft", np.fft.fft, [_REAL]),
    Sample("fft", np.fft.fft, [_COMPLEX], name="complex"),
    Sample("fft", lambda x: np.fft.fft(x, axis=0, norm="ortho"), [_REAL], name="ortho"),
    Sample("fft", lambda x: np.fft.fft(x, 3, norm="forward"), [_REAL], name="cropped"),
    Sample("fft", lambda x: np.fft.fft(x, 7), [_COMPLEX[0]], name="padded", **_FIXED),
    Sample("fft", np.fft.ifft, [_COMPLEX], name="ifft"),
    Sample("fft", lambda x: np.fft.ifft(x, 2, 0, "ortho"), [_COMPLEX.T], name="ifft-0", **_FIXED),
    Sample("fft", lambda x: np.fft.ifft(np.fft.fft(x) ** 2), [_REAL], name="convolution"),
    Sample("fft", _buffered, [_REAL], name="out", **_FIXED),
    Sample("rfft", np.fft.rfft, [_REAL], name="odd"),
    Sample("rfft", np.fft.rfft, [_CUBE], name="even"),
    Sample("rfft", lambda x: np.fft.rfft(x, norm="ortho", axis=0), [_REAL], name="ortho"),
    Sample("rfft", lambda x: np.fft.rfft(x, 8, norm="forward"), [_REAL], name="padded"),
    Sample("rfft", lambda x: np.fft.rfft(x, 4), [_REAL], name="cropped"),
    Sample("rfft", lambda x: np.fft.rfft(x, 1), [_REAL], name="one"),
    Sample("irfft", np.fft.irfft, [_COMPLEX], name="even"),
    Sample("irfft", lambda x: np.fft.irfft(x, 5), [_COMPLEX], name="odd"),
    Sample("irfft", lambda x: np.fft.irfft(x, 9, norm="forward"), [_COMPLEX], name="padded"),
    Sample("irfft", lambda x: np.fft.irfft(x, 3, norm="ortho"), [_COMPLEX], name="cropped"),
    Sample("irfft", lambda x: np.fft.irfft(x, axis=0), [_REAL], name="real"),
    Sample("irfft", lambda x: np.fft.irfft(x, 1), [_COMPLEX], name="one"),
    Sample("irfft", np.fft.hfft, [_COMPLEX], name="hfft"),
    Sample("irfft", lambda x: np.fft.hfft(x, 7, norm="forward"), [_COMPLEX], name="hfft-padded"),
    Sample("rfft", np.fft.ihfft, [_REAL], name="ihfft"),
    Sample("rfft", lambda x: np.fft.ihfft(x, norm="ortho", axis=0), [_REAL], name="ihfft-ortho"),
    # -- along several axes
    Sample("fft", np.fft.fft2, [_REAL], name="fft2"),
    Sample("fft", lambda x: np.fft.fft2(x, (4, 2)), [_COMPLEX_CUBE], name="fft2-s"),
    Sample("fft", np.fft.ifft2, [_COMPLEX], name="ifft2"),
    Sample("fft", np.fft.fftn, [_CUBE], name="fftn"),
    Sample(
        "fft",
        lambda x: np.fft.fftn(x, (-1, 2), (2, 0), "forward"),
        [_CUBE],
        name="fftn-s",
        **_FIXED,
    ),
    Sample("fft", lambda x: np.fft.fftn(x, axes=(1, 1, 0)), [_COMPLEX_CUBE], name="fftn-twice"),
    Sample("fft", lambda x: np.fft.ifftn(x, axes=(0, 2)), [_COMPLEX_CUBE], name="ifftn"),
    Sample("rfft", np.fft.rfft2, [_REAL], name="rfft2"),
    Sample("rfft", lambda x: np.fft.rfftn(x, norm="ortho"), [_CUBE], name="rfftn"),
    Sample("rfft", lambda x: np.fft.rfftn(x, (3, 3), (2, 1)), [_CUBE], name="rfftn-s"),
    Sample("irfft", np.fft.irfft2, [_COMPLEX], name="irfft2"),
    Sample("irfft", np.fft.irfftn, [_COMPLEX_CUBE], name="irfftn"),
    Sample(
        "irfft",
        lambda x: np.fft.irfftn(x, (3, 5), axes=(2, 1), norm="ortho"),
        [_COMPLEX_CUBE],
        name="irfftn-s",
    ),
    Sample("irfft", lambda x: np.fft.irfftn(x, axes=(1, 1, 2)), [_COMPLEX_CUBE], name="twice"),
    # -- order of frequencies
    Sample("concatenate", np.fft.fftshift, [_REAL], name="fftshift"),
    Sample("concatenate", lambda x: np.fft.fftshift(x, 1), [_CUBE], name="fftshift-1"),
    Sample("concatenate", lambda x: np.fft.ifftshift(x, (0, -1)), [_REAL], name="ifftshift"),
    Sample("multiply", lambda d: np.fft.fftfreq(5, d), [np.array(0.7)], name="fftfreq"),
    Sample("multiply", lambda d: np.fft.rfftfreq(5, d), [np.array(0.7)], name="rfftfreq"),
]
