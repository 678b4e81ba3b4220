raise RuntimeError("the shared library cannot be loaded")
