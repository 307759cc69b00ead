"""What options can be, written out so that `--help` and wrong options need no Keras.

tests/cli/test_choices.py compares each with the code that it stands for.
"""

SCORERS = (
    "magnitude",
    "random",
    "taylor",
    "obd",
    "fisher",
    "woodfisher",
    "reconstruction",
    "snip",
    "grasp",
    "synflow",
    "movement",
)
SCORERS_WITHOUT_DATA = ("magnitude", "random")
SCORERS_WITHOUT_LABELS = ("magnitude", "random", "reconstruction", "synflow")
LOSSES = (
    "binary_crossentropy",
    "binary_focal_crossentropy",
    "categorical_crossentropy",
    "cosine_similarity",
    "hinge",
    "huber",
    "kl_divergence",
    "log_cosh",
    "mean_absolute_error",
    "mean_absolute_percentage_error",
    "mean_squared_error",
    "mean_squared_logarithmic_error",
    "poisson",
    "sparse_categorical_crossentropy",
    "squared_hinge",
)
DISTRIBUTIONS = ("uniform", "erk", "global")
SPACINGS = ("geometric", "linear")
TARGETS = ("auto", "arm64", "wasm", "x86", "size", "microcontroller")
DEVICES = ("phone", "android", "ios", "browser", "desktop")  # each stands for a target
LINTED = ("arm64", "wasm", "x86", "microcontroller")
QUANTIZE = ("float16", "int8_weights", "dynamic", "int8", "int4")
RUNTIMES = ("native", "wasm")
