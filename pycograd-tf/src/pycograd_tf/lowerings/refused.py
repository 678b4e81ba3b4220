"""What TensorFlow does not run, and why: using one of these raises `LoweringNotFoundError`."""

from __future__ import annotations

_SPECIAL = """
    jv yv hankel1 hankel2 iv kv yn kn kve hankel1e hankel2e jve yve ive spherical_jn spherical_jn_d
    spherical_yn spherical_yn_d spherical_in spherical_in_d spherical_kn spherical_kn_d airy_ai
    airy_aip airy_bi airy_bip ber bei ker kei berp beip kerp keip pbdv_value pbdv_slope pbvv_value
    pbvv_slope pbwa_value pbwa_slope struve modstruve itj0y0_j itj0y0_y iti0k0_i iti0k0_k it2j0y0_j
    it2j0y0_y it2i0k0_i it2i0k0_k itairy_ai itairy_bi itairy_ai_left itairy_bi_left itstruve0
    itmodstruve0 it2struve0 wright_bessel log_wright_bessel wrightomega gammaincinv
    gammainccinv betainc_order betaincinv betainccinv chdtri chdtriv gdtrix gdtria pdtri bdtri
    nbdtri fdtri stdtrit tklmbda erfcx erfcx_derivative dawsn_derivative wofz wofz_derivative erfi
    ndtri_exp voigt_profile owens_t expn sici_si sici_ci shichi_shi shichi_chi lambertw elliprf
    elliprd elliprc ellipkinc ellipeinc ellipj_sn ellipj_cn ellipj_dn ellipj_ph eval_sh_jacobi lpmv
    hyp0f1 hyp1f1 hyp2f1 hyperu
"""
_SOLVERS = """
    implicit ode integral structured_solve all_pole
"""
_MATRICES = """
    logm sqrtm cosm sinm coshm sinhm solve_sylvester eigh_turn
"""

REFUSED: dict[str, str] = {
    **dict.fromkeys(_SPECIAL.split(), "TensorFlow has no such special function"),
    **dict.fromkeys(_SOLVERS.split(), "scipy's solver runs on the host alone"),
    **dict.fromkeys(_MATRICES.split(), "it is written in LAPACK's and scipy's own algorithms"),
}
