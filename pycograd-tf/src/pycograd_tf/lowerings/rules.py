"""The primitives whose derivative is pycograd's under TensorFlow's automatic differentiation.

Those of which it has none, or another one: at kinks and ties, of one triangle of a matrix, of equal
eigenvalues, near overflow.
"""

from __future__ import annotations

from pycograd_tf.lowerings import special

_KINDS = """
    sign copysign angle sqrt cbrt power float_power logaddexp logaddexp2 arctan2 hypot maximum
    minimum fmax fmin clip remainder fmod heaviside ldexp over_gap deviation prod fmax_reduce
    fmin_reduce logaddexp_reduce logaddexp2_reduce hypot_reduce logsumexp cumprod
    logaddexp_accumulate logaddexp2_accumulate standardize det slogdet inv solve pinv cholesky qr lu
    svd svdvals eigh eigvalsh eig eigvals expm sinc sinc_derivative i0 bessel_i leaky_relu elu gelu
    normal_cdf bce_with_logits index_update conv conv_input conv_kernel max_pool
"""
OWN_RULES = frozenset(_KINDS.split()) | frozenset(special.TABLE)
