"""Reference models in plain Keras 3 and the data they are trained on.

What this package exports is imported where it is asked for: TensorFlow, which reads the images,
is not needed for a language model that JAX trains.
"""

import importlib
from typing import Any

_HOMES = {
    "models.data.arrays": ("Dataset", "load"),
    "models.data.imagenet": ("imagenet_batches",),
    "models.images.all_convolutional": ("all_cnn_c", "network_in_network"),
    "models.images.augment": ("augmented",),
    "models.images.batches": ("training_batches",),
    "models.images.classic": ("alexnet", "lenet_300_100", "lenet_5", "vgg_16"),
    "models.images.digits": ("digits_cnn",),
    "models.images.imagenet": ("inception_v3", "mobilenet_v1", "resnet_50"),
    "models.images.mobilenet": ("load_imagenet_sample", "load_mobilenet"),
    "models.images.resnet": ("load_resnet20", "resnet20", "small_image_resnet"),
    "models.registry": ("build", "names"),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}
__all__ = sorted(_HOME_OF)


def __getattr__(name: str) -> Any:
    if name not in _HOME_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_HOME_OF[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
