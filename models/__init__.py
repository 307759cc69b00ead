"""Reference models in plain Keras 3 and the data they are trained on."""

from models.cnn import digits_cnn
from models.data import Dataset, load
from models.mobilenet import load_imagenet_sample, load_mobilenet
from models.resnet import load_resnet20, resnet20

__all__ = [
    "Dataset",
    "digits_cnn",
    "load",
    "load_imagenet_sample",
    "load_mobilenet",
    "load_resnet20",
    "resnet20",
]
