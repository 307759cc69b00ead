"""The tests, in folders as the package has them."""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # before any of them imports TensorFlow
