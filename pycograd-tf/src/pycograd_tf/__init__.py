"""TensorFlow for pycograd, which finds it by name: `device("tf")`, `backend="tf"`."""
