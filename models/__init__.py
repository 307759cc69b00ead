"""Reference models in plain Keras 3 and the data they are trained on."""

from models.data.arrays import Dataset, load
from models.data.imagenet import imagenet_batches
from models.images.all_convolutional import all_cnn_c, network_in_network
from models.images.augment import augmented, training_batches
from models.images.classic import alexnet, lenet_5, lenet_300_100, vgg_16
from models.images.digits import digits_cnn
from models.images.imagenet import inception_v3, mobilenet_v1, resnet_50
from models.images.mobilenet import load_imagenet_sample, load_mobilenet
from models.images.resnet import load_resnet20, resnet20, small_image_resnet
from models.registry import build, names

__all__ = [
    "Dataset",
    "alexnet",
    "all_cnn_c",
    "augmented",
    "build",
    "digits_cnn",
    "imagenet_batches",
    "inception_v3",
    "lenet_300_100",
    "lenet_5",
    "load",
    "load_imagenet_sample",
    "load_mobilenet",
    "load_resnet20",
    "mobilenet_v1",
    "names",
    "network_in_network",
    "resnet20",
    "resnet_50",
    "small_image_resnet",
    "training_batches",
    "vgg_16",
]
