"""JAX for pycograd, which finds it by name: `device("jax")`, `backend="jax"`."""
