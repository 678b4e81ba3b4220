"""Samples of `pycograd.scipy.special`; none where scipy is not installed."""

from __future__ import annotations

import importlib.util
from typing import Any

import numpy as np

from pycograd.testing.samples import Draw, Kink, Sample

SAMPLES: list[Sample] = []

if importlib.util.find_spec("scipy") is not None:
    import scipy.special as sc

    from pycograd.scipy import special as ours
    from pycograd.scipy.special import errorfunctions, gammafunctions, incomplete
    from pycograd.scipy.special.define import name_of

    draw = Draw("scipy_special")
    _ANY, _SMALL, _POSITIVE = draw.normal(2), draw.uniform(-0.8, 0.8, 2), draw.positive(2)
    _UNIT = draw.uniform(0.2, 0.8, 2)  # inside (0, 1)
    _OTHER, _LARGER = draw.positive(2), draw.positive(2) + 1.5
    _COMPLEX = draw.complex(2)

    # scipy 1.13 gives 1 for every hyp1f1 of a complex number.
    _REAL: dict[str, Any] = {"skip": {"complex": "not before scipy 1.14"}, "dtypes": ["float32"]}

    def _sample(
        function: Any, operands: Any, *kinks: Kink, f: Any = None, **options: Any
    ) -> Sample:
        """A ufunc of scipy at some operands; `f` calls it with others that are constants."""
        if any(np.iscomplexobj(x) for x in operands):
            options.setdefault("dtypes", ["complex64"])
        elif options.get("complex", True) and any("F" in loop[:-2] for loop in function.types):
            options.setdefault("dtypes", ["float32", "complex64"])
        options.setdefault("dtypes", ["float32"])
        return Sample(name_of(function), f or function, operands, kinks=kinks, **options)

    def _ordered(function: Any, orders: Any, x: Any, **options: Any) -> list[Sample]:
        """A ufunc of an order that is a constant, and of x."""
        return [
            _sample(function, [x], f=lambda x, n=n: function(n, x), name=f"order {n}", **options)
            for n in orders
        ]

    def _part(function: Any, i: int, name: str, x: Any, **options: Any) -> Sample:
        """Result `i` of a ufunc that has several."""
        primitive = f"{name_of(function)}_{name}"
        return Sample(primitive, lambda *xs: function(*xs)[i], x, dtypes=["float32"], **options)

    SAMPLES += [
        # -- elementary
        _sample(sc.expm1, [_ANY], Kink([np.array([0.0, -1e3])], [[1, 0]])),
        _sample(sc.log1p, [_POSITIVE]),
        _sample(sc.exp2, [_ANY]),
        _sample(sc.exp10, [_SMALL]),
        _sample(sc.cbrt, [_POSITIVE]),
        _sample(sc.cosm1, [_ANY]),
        _sample(sc.exprel, [_ANY], Kink([np.array([0.0, -1e3])])),
        _sample(sc.powm1, [_POSITIVE, _ANY]),
        _sample(sc.expit, [_ANY], Kink([np.array([-1e3, 0.0, 1e3])], [[0, 0.25, 0]])),
        _sample(sc.log_expit, [_ANY], Kink([np.array([-1e3, 0.0, 1e3])], [[1, 0.5, 0]])),
        _sample(sc.logit, [_UNIT]),
        _sample(
            sc.xlogy,
            [_ANY, _POSITIVE],
            Kink([np.array([0.0, 0.0, 2.0]), np.array([0.0, 1.0, 1.0])], [[0, 0, 0], [0, 0, 2]]),
        ),
        _sample(
            sc.xlog1py,
            [_ANY, _POSITIVE],
            Kink([np.array([0.0, 0.0, 2.0]), np.array([-1.0, 0.0, 0.0])], [[0, 0, 0], [0, 0, 2]]),
        ),
        _sample(sc.entr, [_POSITIVE]),
        _sample(sc.rel_entr, [_POSITIVE, _OTHER[:1]]),
        _sample(sc.kl_div, [_POSITIVE[:1], _OTHER]),
        _sample(
            sc.boxcox,
            [_POSITIVE, _ANY],
            Kink([np.array([1.0, np.e]), np.zeros(2)], [[1, np.exp(-1)], [0, 0.5]]),
        ),
        _sample(sc.boxcox1p, [_POSITIVE, _ANY], Kink([np.zeros(1), np.zeros(1)], [[1], [0]])),
        _sample(
            sc.inv_boxcox,
            [_POSITIVE, _UNIT],
            Kink([np.ones(1), np.zeros(1)], [[np.e], [-np.e / 2]]),
        ),
        _sample(sc.inv_boxcox1p, [_POSITIVE, _UNIT]),
        *[_sample(f, [_ANY * 30 + 5]) for f in (sc.sindg, sc.cosdg, sc.tandg, sc.cotdg)],
        _sample(sc.radian, [_ANY, _POSITIVE, _OTHER]),
        _sample(sc.round, [_ANY]),
        _sample(
            sc.huber,
            [np.array([0.6, 1.5]), np.array([1.2, -0.7])],
            Kink([np.ones(3), np.array([1.0, 0.0, -1.0])], [[0, 0, 0], [1, 0, -1]]),
        ),
        _sample(sc.pseudo_huber, [_POSITIVE, _ANY]),
        _sample(sc.tklmbda, [_SMALL], f=lambda x: sc.tklmbda(x, 0.3)),
        # -- error functions and the normal distribution
        *[_sample(f, [_ANY]) for f in (sc.erf, sc.erfc, sc.erfi, sc.erfcx, sc.dawsn, sc.ndtr)],
        _sample(sc.wofz, [_COMPLEX]),
        _sample(sc.wofz, [_ANY], name="real"),
        _sample(sc.log_ndtr, [_ANY], Kink([np.array([-40.0, 60.0])])),
        _sample(sc.erfinv, [_SMALL]),
        _sample(sc.erfcinv, [_UNIT]),
        _sample(sc.ndtri, [_UNIT]),
        _sample(sc.ndtri_exp, [-_POSITIVE]),
        _sample(sc.nrdtrimn, [_UNIT, _POSITIVE, _ANY]),
        _sample(sc.owens_t, [_ANY, _SMALL]),
        _sample(sc.voigt_profile, [_ANY, _POSITIVE, _OTHER]),
        *[
            Sample(
                f"{name}_derivative",
                lambda x, f=f: f(x, 2),
                [x],
                dtypes=["float32", "complex64"],
                rtol=1e-5,
            )
            for name, f, x in (
                ("erfcx", errorfunctions.erfcx_derivative, np.array([0.3, 7.5])),
                ("dawsn", errorfunctions.dawsn_derivative, np.array([-0.4, 8.0])),
            )
        ],
        Sample(
            "wofz_derivative",
            lambda x: errorfunctions.wofz_derivative(x, 1),
            [np.array([0.5 + 0.4j, 7.0 + 3.0j])],
            dtypes=["complex64"],
        ),
        # -- gamma functions
        _sample(sc.gamma, [_POSITIVE]),
        _sample(sc.gamma, [np.array([-0.5, -1.4])], name="negative"),
        _sample(sc.gammaln, [_POSITIVE]),
        _sample(sc.loggamma, [_POSITIVE]),
        _sample(sc.psi, [_POSITIVE]),
        _sample(sc.psi, [np.array([-0.5, -1.4])], name="negative"),
        _sample(sc.gammasgn, [_ANY]),
        _sample(
            sc.rgamma,
            [np.array([0.7, -1.4])],
            Kink([np.array([0.0, -1.0, -2.0, -3.0])], [[1, -1, 2, -6]]),
        ),
        Sample("polygamma", lambda x: ours.polygamma(2, x), [_POSITIVE], dtypes=["float32"]),
        Sample("polygamma", lambda x: gammafunctions.polygamma(1, x), [_COMPLEX], name="complex"),
        _sample(sc.beta, [_POSITIVE, _OTHER]),
        _sample(sc.betaln, [_POSITIVE, _OTHER]),
        _sample(sc.poch, [_POSITIVE, _OTHER]),
        _sample(sc.binom, [_LARGER, _UNIT]),
        Sample("zeta", lambda q: sc.zeta(2.5, q), [_POSITIVE], complex=False),
        Sample("riemann_zeta", sc.zeta, [_LARGER], wrt=()),
        _sample(sc.zetac, [_LARGER], wrt=()),
        # -- incomplete functions
        _sample(sc.gammainc, [_POSITIVE, _OTHER]),
        _sample(sc.gammaincc, [_POSITIVE, _OTHER[:1]]),
        _sample(sc.gammaincinv, [_POSITIVE, _UNIT]),
        _sample(sc.gammainccinv, [_POSITIVE, _UNIT]),
        _sample(sc.betainc, [_POSITIVE, _OTHER, _UNIT]),
        _sample(sc.betaincc, [_POSITIVE, _OTHER, _UNIT[:1]]),
        _sample(sc.betaincinv, [_POSITIVE, _OTHER, _UNIT]),
        _sample(sc.betainccinv, [_POSITIVE, _OTHER, _UNIT]),
        Sample(
            "gamma_density",
            incomplete.gamma_density,
            [_POSITIVE, _OTHER],
            complex=False,
            dtypes=["float32"],
        ),
        Sample(
            "beta_density",
            incomplete.beta_density,
            [_POSITIVE, _OTHER, _UNIT],
            complex=False,
            dtypes=["float32"],
        ),
        Sample(
            "gammainc_order",
            lambda a, x: incomplete.gammainc_order(a, x, 2),
            [_POSITIVE, _OTHER],
            complex=False,
            dtypes=["float32"],
        ),
        Sample(
            "betainc_order",
            lambda a, b, x: incomplete.betainc_order(a, b, x, 17),
            [_POSITIVE, _OTHER, _UNIT],
            complex=False,
            dtypes=["float32"],
        ),
        # -- distributions
        _sample(sc.chdtr, [_LARGER, _OTHER]),
        _sample(sc.chdtrc, [_LARGER, _OTHER]),
        _sample(sc.chdtri, [_LARGER, _UNIT]),
        _sample(sc.chdtriv, [_UNIT, _OTHER]),
        _sample(sc.gdtr, [_POSITIVE, _OTHER, _LARGER]),
        _sample(sc.gdtrc, [_POSITIVE, _OTHER, _LARGER]),
        _sample(sc.gdtrix, [_POSITIVE, _OTHER, _UNIT]),
        _sample(sc.gdtria, [_UNIT, _OTHER, _POSITIVE]),
        *[_sample(f, [_POSITIVE], f=lambda x, f=f: f(2, x)) for f in (sc.pdtr, sc.pdtrc)],
        _sample(sc.pdtri, [_UNIT], f=lambda x: sc.pdtri(2, x), dtypes=["float64"]),
        *[
            _sample(f, [_UNIT], f=lambda x, f=f: f(2, 5, x), dtypes=["float64"])
            for f in (sc.bdtr, sc.bdtrc, sc.bdtri, sc.nbdtr, sc.nbdtrc, sc.nbdtri)
        ],
        _sample(sc.fdtr, [_LARGER, _POSITIVE, _OTHER]),
        _sample(sc.fdtrc, [_LARGER, _POSITIVE, _OTHER]),
        _sample(sc.fdtri, [_LARGER, _POSITIVE, _UNIT]),
        _sample(sc.stdtr, [_LARGER, _ANY]),
        _sample(sc.stdtrit, [_LARGER, _UNIT]),
        # -- Bessel functions
        *[
            sample
            for f in (sc.jv, sc.yv, sc.iv, sc.kv, sc.jve, sc.yve, sc.ive, sc.kve)
            for sample in _ordered(f, (0, 1.5), _POSITIVE)
        ],
        *[
            sample
            for f in (sc.hankel1, sc.hankel2, sc.hankel1e, sc.hankel2e)
            for sample in _ordered(f, (1.5,), _COMPLEX)
        ],
        *_ordered(sc.yn, (0, 2), _POSITIVE, dtypes=["float64"]),
        *_ordered(sc.kn, (0, 2), _POSITIVE, dtypes=["float64"]),
        *[
            _sample(f, [_POSITIVE])
            for f in (
                sc.j0,
                sc.j1,
                sc.y0,
                sc.y1,
                sc.i0,
                sc.i1,
                sc.k0,
                sc.k1,
                sc.i0e,
                sc.i1e,
                sc.k0e,
                sc.k1e,
            )
        ],
        *[
            Sample(
                primitive,
                lambda x, f=f, d=d, n=n: f(n, x, d),
                [_POSITIVE],
                name=f"order {n}",
                dtypes=["float32"],
            )
            for f in (ours.spherical_jn, ours.spherical_yn, ours.spherical_in, ours.spherical_kn)
            for d, primitive in ((False, f.__name__), (True, f"{f.__name__}_d"))
            for n in (0, 2)
        ],
        *[_part(sc.airy, i, name, [_ANY]) for i, name in enumerate(("ai", "aip", "bi", "bip"))],
        *[
            _sample(f, [_POSITIVE])
            for f in (sc.ber, sc.bei, sc.ker, sc.kei, sc.berp, sc.beip, sc.kerp, sc.keip)
        ],
        _sample(sc.ber, [_POSITIVE], f=lambda x: sc.kelvin(x), name="kelvin"),
        *[
            Sample(
                f"{name_of(f)}_{name}", lambda x, f=f, i=i: f(0.7, x)[i], [_ANY], dtypes=["float32"]
            )
            for f in (sc.pbdv, sc.pbvv, sc.pbwa)
            for i, name in enumerate(("value", "slope"))
        ],
        *_ordered(sc.struve, (0.0, 1.5), _POSITIVE),
        *_ordered(sc.modstruve, (0.0, 1.5), _POSITIVE),
        *[
            _part(f, i, name, [_POSITIVE])
            for f, names in (
                (sc.itj0y0, "jy"),
                (sc.iti0k0, "ik"),
                (sc.it2j0y0, "jy"),
                (sc.it2i0k0, "ik"),
                (sc.itairy, ("ai", "bi", "ai_left", "bi_left")),
            )
            for i, name in enumerate(names)
        ],
        *[_sample(f, [_POSITIVE]) for f in (sc.itstruve0, sc.itmodstruve0, sc.it2struve0)],
        _sample(sc.wright_bessel, [_POSITIVE], f=lambda x: sc.wright_bessel(0.5, 1.2, x)),
        *(
            [
                _sample(
                    sc.log_wright_bessel, [_POSITIVE], f=lambda x: sc.log_wright_bessel(0.5, 1.2, x)
                )
            ]
            if hasattr(sc, "log_wright_bessel")
            else []
        ),
        _sample(sc.wrightomega, [_ANY]),
        # -- integrals
        _sample(sc.exp1, [_POSITIVE]),
        _sample(sc.expi, [_ANY]),
        *_ordered(sc.expn, (0, 1, 3), _POSITIVE, dtypes=["float64"]),
        _part(sc.sici, 0, "si", [_POSITIVE]),
        _part(sc.sici, 1, "ci", [_POSITIVE]),
        _part(sc.shichi, 0, "shi", [_POSITIVE]),
        _part(sc.shichi, 1, "chi", [_POSITIVE]),
        _part(sc.fresnel, 0, "s", [_ANY]),
        _part(sc.fresnel, 1, "c", [_ANY]),
        _sample(sc.spence, [_POSITIVE], Kink([np.array([1.0])], [[-1]])),
        Sample("lambertw", sc.lambertw, [_POSITIVE], kinks=[Kink([np.zeros(1)], [[1]])]),
        Sample("lambertw", lambda x: sc.lambertw(x, -1), [_COMPLEX], name="lower branch"),
        _sample(sc.ellipk, [_SMALL], Kink([np.zeros(1)], [[np.pi / 8]])),
        _sample(sc.ellipkm1, [_UNIT], Kink([np.ones(1)], [[-np.pi / 8]])),
        _sample(sc.ellipe, [_SMALL], Kink([np.zeros(1)], [[-np.pi / 8]])),
        _sample(sc.agm, [_POSITIVE, _OTHER], Kink([np.ones(1), np.ones(1)], [[0.5], [0.5]])),
        _sample(sc.elliprf, [_POSITIVE, _OTHER, _LARGER], complex=False),
        _sample(sc.elliprd, [_POSITIVE, _OTHER, _LARGER], complex=False),
        _sample(sc.elliprc, [_POSITIVE, _OTHER], complex=False),
        _sample(sc.ellipkinc, [np.array([0.6, -4.0]), _UNIT]),
        _sample(sc.ellipeinc, [np.array([0.6, 6.0]), _UNIT]),
        *[
            _part(sc.ellipj, i, name, [np.array([0.6, 4.0]), _UNIT])
            for i, name in enumerate(("sn", "cn", "dn", "ph"))
        ],
        # -- polynomials and hypergeometric functions
        *[
            sample
            for f, x in (
                (sc.eval_legendre, _SMALL),
                (sc.eval_chebyt, _SMALL),
                (sc.eval_chebyu, _SMALL),
                (sc.eval_chebyc, _SMALL),
                (sc.eval_chebys, _SMALL),
                (sc.eval_sh_legendre, _UNIT),
                (sc.eval_sh_chebyt, _UNIT),
                (sc.eval_sh_chebyu, _UNIT),
                (sc.eval_laguerre, _POSITIVE),
            )
            for sample in _ordered(f, (0, 3, 1.5), x, **_REAL if f is sc.eval_laguerre else {})
        ],
        *_ordered(sc.eval_hermite, (0, 3), _ANY, dtypes=["float64"]),
        *_ordered(sc.eval_hermitenorm, (0, 3), _ANY, dtypes=["float64"]),
        *[
            _sample(
                sc.eval_jacobi,
                [_SMALL],
                f=lambda x, n=n: sc.eval_jacobi(n, 0.5, 1.5, x),
                name=f"order {n}",
            )
            for n in (0, 3)
        ],
        *[
            _sample(
                sc.eval_sh_jacobi,
                [_UNIT],
                f=lambda x, n=n: sc.eval_sh_jacobi(n, 2.5, 1.5, x),
                name=f"order {n}",
            )
            for n in (0, 3)
        ],
        *[
            _sample(f, [x], f=lambda x, n=n, f=f: f(n, 0.7, x), name=f"order {n}")
            for f, x in ((sc.eval_gegenbauer, _SMALL), (sc.eval_genlaguerre, _POSITIVE))
            for n in (0, 3)
        ],
        _sample(sc.lpmv, [_SMALL], f=lambda x: sc.lpmv(1, 3, x)),
        _sample(sc.hyp0f1, [_ANY], f=lambda x: sc.hyp0f1(1.5, x)),
        _sample(sc.hyp1f1, [_ANY], f=lambda x: sc.hyp1f1(0.5, 1.5, x), **_REAL),
        _sample(sc.hyperu, [_POSITIVE], f=lambda x: sc.hyperu(0.5, 1.5, x)),
        _sample(sc.hyp2f1, [_SMALL], f=lambda x: sc.hyp2f1(0.5, 0.8, 1.5, x)),
        # -- functions written in Python
        Sample("softmax", ours.softmax, [draw.normal(2, 2)], name="scipy", complex=False),
        Sample(
            "log_softmax",
            lambda x: ours.log_softmax(x, 1),
            [draw.normal(2, 2)],
            name="scipy",
            complex=False,
        ),
        Sample(
            "logsumexp",
            lambda x: ours.logsumexp(x, 1, keepdims=True),
            [draw.normal(2, 2)],
            name="scipy",
            complex=False,
        ),
        Sample(
            "log",
            lambda a, b: ours.logsumexp(a, 0, b),
            [draw.normal(2, 2), _POSITIVE],
            name="scipy.logsumexp",
            dtypes=["float32"],
            complex=False,
        ),
        Sample(
            "log",
            lambda a: ours.logsumexp(a, b=np.array([2.0, -3.0]), return_sign=True),
            [_ANY],
            name="scipy.logsumexp sign",
            dtypes=["float32"],
            complex=False,
        ),
        Sample("gammaln", lambda a: ours.multigammaln(a, 3), [_LARGER], name="multigammaln"),
        Sample("gamma", ours.factorial, [_POSITIVE], name="factorial", complex=False),
        Sample("binom", ours.comb, [_LARGER, _UNIT], name="comb"),
        Sample("binom", lambda n: ours.comb(n, 2.0, repetition=True), [_LARGER], name="repetition"),
        Sample("poch", ours.perm, [_LARGER, _UNIT], name="perm"),
        Sample("jv", lambda z: sc.jvp(1.5, z, 2), [_POSITIVE], name="jvp", dtypes=["float64"]),
        Sample("kv", lambda z: sc.kvp(1, z, 1), [_POSITIVE], name="kvp", dtypes=["float64"]),
    ]
