"""What torch cannot spell, and why: using one of these raises `LoweringNotFoundError`."""

from __future__ import annotations

_NO_FUNCTION = "torch has no such special function"
_HOST_SOLVER = "the solver is scipy's, which runs Python functions on the host"
_SEVEN_DIGITS = "torch's has seven digits beyond 5, in whatever dtype"
_NO_FACTORIZATION = "torch has no such matrix function"

# fmt: off
_SPECIAL = (
    # gamma functions and distributions
    "riemann_zeta", "gammainc_order", "gammaincinv", "gammainccinv", "beta_density",
    "betainc_order", "betainc", "betaincc", "betaincinv", "betainccinv", "chdtri", "chdtriv",
    "gdtrix", "gdtria", "pdtri", "bdtr", "bdtrc", "bdtri", "nbdtr", "nbdtrc", "nbdtri", "fdtr",
    "fdtrc", "fdtri", "stdtr", "stdtrit", "tklmbda", "ndtri_exp", "nrdtrimn", "owens_t",
    "voigt_profile",
    # Bessel functions and their kin
    "jv", "yv", "hankel1", "hankel2", "iv", "kv", "yn", "kn", "kve", "hankel1e", "hankel2e", "jve",
    "yve", "ive", "spherical_jn", "spherical_jn_d", "spherical_yn", "spherical_yn_d",
    "spherical_in", "spherical_in_d", "spherical_kn", "spherical_kn_d", "airy_ai", "airy_aip",
    "airy_bi", "airy_bip", "ber", "bei", "ker", "kei", "berp", "beip", "kerp", "keip", "pbdv_value",
    "pbdv_slope", "pbvv_value", "pbvv_slope", "pbwa_value", "pbwa_slope", "struve", "modstruve",
    "itj0y0_j", "itj0y0_y", "iti0k0_i", "iti0k0_k", "it2j0y0_j", "it2j0y0_y", "it2i0k0_i",
    "it2i0k0_k", "itairy_ai", "itairy_bi", "itairy_ai_left", "itairy_bi_left", "itstruve0",
    "itmodstruve0", "it2struve0", "wright_bessel", "log_wright_bessel", "wrightomega",
    # error functions, integrals
    "erfcx_derivative", "dawsn_derivative", "wofz_derivative", "erfi", "dawsn", "wofz", "exp1",
    "expi", "expn", "sici_si", "sici_ci", "shichi_shi", "shichi_chi", "fresnel_s", "fresnel_c",
    "spence", "lambertw",
    # elliptic and hypergeometric functions
    "ellipk", "ellipkm1", "ellipe", "agm", "elliprf", "elliprd", "elliprc", "ellipkinc",
    "ellipeinc", "ellipj_sn", "ellipj_cn", "ellipj_dn", "ellipj_ph", "hyp0f1", "hyp1f1", "hyperu",
    "hyp2f1",
    # polynomials, whose orders may be any numbers in scipy
    "eval_jacobi", "eval_sh_jacobi", "eval_gegenbauer", "eval_legendre", "eval_chebyt",
    "eval_chebyu", "eval_chebyc", "eval_chebys", "eval_sh_legendre", "eval_sh_chebyt",
    "eval_sh_chebyu", "eval_hermite", "eval_hermitenorm", "eval_laguerre", "eval_genlaguerre",
    "lpmv",
)
# fmt: on

REFUSED: dict[str, str] = {
    **dict.fromkeys(_SPECIAL, _NO_FUNCTION),
    **dict.fromkeys(("implicit", "ode", "integral"), _HOST_SOLVER),
    **dict.fromkeys(("logm", "sqrtm", "cosm", "sinm", "coshm", "sinhm"), _NO_FACTORIZATION),
    **dict.fromkeys(("solve_sylvester", "structured_solve", "eigh_turn"), _NO_FACTORIZATION),
    "all_pole": "torch has no recursive filter",
    **dict.fromkeys(("j0", "j1", "y0", "y1"), _SEVEN_DIGITS),
}
