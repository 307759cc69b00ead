"""Experiments, benchmarks and the quickstart; run as `python -m scripts.FOLDER` in the checkout."""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # before any of them imports TensorFlow
