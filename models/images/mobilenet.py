"""MobileNetV1 with ImageNet weights, and a sample of ImageNet images to measure it on.

Howard et al., "MobileNets", arXiv 1704.04861.
"""

import io
import os
import zipfile
import zlib

import keras
import numpy as np

from models.images import pretrained

_FIRST_KERNEL = "conv1/kernel"
_CHANNELS = 32  # of the first convolution at width 1
_CLASSES = 1000


def load_mobilenet(path: str | os.PathLike[str], *, size: int = 224) -> keras.Model:
    """MobileNetV1 of `keras.applications` with the weights of an .npz file.

    Args:
        path: file with one array a variable, named `<layer>/<variable>` as in Keras
            ("conv1/kernel", "conv_dw_1/depthwise_kernel", ...). The width is taken from it.
        size: height and width of the images.

    Returns:
        The model: images (n, size, size, 3) in [-1, 1] -> probabilities (n, 1000).

    Raises:
        ValueError: if the file cannot be read, or lacks an array or has one that does not fit.
    """

    def build(arrays: dict[str, np.ndarray]) -> keras.Model:
        return keras.applications.MobileNet(
            alpha=arrays[_FIRST_KERNEL].shape[-1] / _CHANNELS,
            weights=None,
            input_shape=(size, size, 3),
        )

    return pretrained.load(path, "a MobileNetV1", build)


def load_imagenet_sample(path: str | os.PathLike[str]) -> tuple[np.ndarray, np.ndarray]:
    """Images and labels of a zip file of JPEGs.

    Args:
        path: zip file; every member is called `<class>_<anything>.jpg`, the class in [0, 1000).
            All images have one size.

    Returns:
        x: (n, height, width, 3) float32 in [-1, 1], as MobileNet takes them.
        y: (n,) int64, the classes.

    Raises:
        ValueError: if the file cannot be read, or a member is no image or names no class.
    """
    images, classes = [], []
    name = "the archive"
    try:
        with zipfile.ZipFile(path) as archive:
            for name in sorted(archive.namelist()):
                classes.append(_class_of(name))
                picture = keras.utils.load_img(io.BytesIO(archive.read(name)))
                images.append(np.asarray(picture, np.uint8))
        x = np.stack(images)
    except (OSError, ValueError, zipfile.BadZipFile, zlib.error) as error:
        raise ValueError(
            "`path` must be a zip of JPEG images of one size, named <class>_<anything>.jpg. "
            f"Received: {path} ({name}: {' '.join(str(error).split())})"
        ) from error
    return x.astype(np.float32) / 127.5 - 1, np.array(classes, np.int64)


def _class_of(name: str) -> int:
    found = int(name.split("_")[0])
    if not 0 <= found < _CLASSES:
        raise ValueError(f"the class {found} is not in [0, {_CLASSES})")
    return found
