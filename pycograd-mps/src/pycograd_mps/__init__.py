"""Apple's GPUs for pycograd, which finds it by name: `device("mps")`."""
