"""What JAX does not run, and why."""

from __future__ import annotations

from pycograd.plugins.api import LoweringNotFoundError

_SPECIAL = """
    jv yv hankel1 hankel2 iv kv yn kn kve hankel1e hankel2e jve yve ive j0 j1 y0 y1 k0 k1 k0e
    k1e spherical_jn spherical_jn_d spherical_yn spherical_yn_d spherical_in spherical_in_d
    spherical_kn spherical_kn_d airy_ai airy_aip airy_bi airy_bip ber bei ker kei berp beip kerp
    keip pbdv_value pbdv_slope pbvv_value pbvv_slope pbwa_value pbwa_slope struve modstruve
    itj0y0_j itj0y0_y iti0k0_i iti0k0_k it2j0y0_j it2j0y0_y it2i0k0_i it2i0k0_k itairy_ai
    itairy_bi itairy_ai_left itairy_bi_left itstruve0 itmodstruve0 it2struve0 wright_bessel
    log_wright_bessel wrightomega gammainc_order gammaincinv gammainccinv betainc_order
    betaincinv betainccinv chdtri chdtriv gdtrix gdtria pdtri bdtri nbdtri fdtri stdtrit tklmbda
    erfcx_derivative dawsn_derivative wofz_derivative erfi erfcinv ndtri_exp voigt_profile
    shichi_shi shichi_chi lambertw elliprf elliprd elliprc ellipkinc ellipeinc ellipj_sn
    ellipj_cn ellipj_dn ellipj_ph eval_sh_jacobi lpmv hyp0f1 hyp2f1 hyperu
"""
_SOLVERS = """
    implicit ode integral structured_solve sparse_matmul all_pole
"""
_MATRICES = """
    expm logm sqrtm cosm sinm coshm sinhm solve_sylvester eigh_turn lu
"""

REFUSED: dict[str, str] = {
    "while_loop_replay": "XLA has no memory for the values of a number of steps that is not known:"
    " write scan or fori_loop with a fixed number, or run it on device('jax')",
    **dict.fromkeys(_SPECIAL.split(), "JAX has no such special function in double precision"),
    **dict.fromkeys(_SOLVERS.split(), "scipy's solver runs on the host alone"),
    **dict.fromkeys(_MATRICES.split(), "it is written in LAPACK's and scipy's own algorithms"),
}


def of_data(operation: str, why: str) -> LoweringNotFoundError:
    """The error for a result whose shape is in the data, inside a compiled function."""
    return LoweringNotFoundError(
        f"{operation}: {why}, and XLA compiles for fixed shapes only. Write np.where(mask, x, 0),"
        " or run this part on device('jax')"
    )
