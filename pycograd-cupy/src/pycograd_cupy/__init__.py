"""CuPy for pycograd, which finds it by name: `device("cupy")`."""
