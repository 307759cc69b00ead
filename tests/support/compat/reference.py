"""Runs tensorflow-model-optimization with legacy Keras, for test_compat_parity.

Importing that package redirects `tf.keras` for the whole process, so these functions are called in
a process of their own; arguments and results are plain Python and NumPy.
"""

import inspect

import numpy as np


def packages():
    import tensorflow_model_optimization as tfmot
    import tf_keras

    return tfmot.sparsity.keras, tf_keras


def run_script(code):
    """What the code of a whole script, which imports its own packages, calls `found`."""
    names = {"__name__": "script"}
    exec(compile(code, "script", "exec"), names)
    return names["found"]


def dense_model(keras, kernels):
    """A chain of Dense layers, for legacy Keras and Keras 3 alike."""
    model = keras.Sequential([keras.Input((len(kernels[0]),))])
    for kernel in kernels:
        model.add(keras.layers.Dense(kernel.shape[1], use_bias=False))
    model.set_weights(kernels)
    return model


def conv_model(keras, kernels):
    """A chain of Conv2D layers, for legacy Keras and Keras 3 alike."""
    model = keras.Sequential([keras.Input((6, 6, kernels[0].shape[2]))])
    for kernel in kernels:
        model.add(keras.layers.Conv2D(kernel.shape[3], kernel.shape[:2], use_bias=False))
    model.set_weights(kernels)
    return model


def first_convolution(keras, stride=2, padding=1):
    yield keras.layers.ZeroPadding2D(padding)
    yield keras.layers.Conv2D(8, 3, strides=stride, padding="valid", name="first")
    yield keras.layers.BatchNormalization()
    yield keras.layers.ReLU(6.0)


def separable(keras, size=3, stride=1, zeros=None, **options):
    if zeros is not None:
        yield keras.layers.ZeroPadding2D(zeros)
    padding = "same" if zeros is None else "valid"
    yield keras.layers.DepthwiseConv2D(size, strides=stride, padding=padding, **options)
    yield keras.layers.Conv2D(8, 1, name="pointwise")
    yield keras.layers.Activation("relu")


def image_models(keras):
    """Name -> model that the XNNPACK policy accepts or refuses."""
    layers = keras.layers

    def chain(*parts):
        x = inputs = keras.Input((32, 32, 3))
        for part in parts:
            for layer in part if not isinstance(part, layers.Layer) else [part]:
                x = layer(x)
        return keras.Model(inputs, x)

    def residual(last):
        x = inputs = keras.Input((32, 32, 3))
        for layer in first_convolution(keras):
            x = layer(x)
        branch = layers.Conv2D(8, 1, name="side")(x)
        x = layers.Add()([x, branch])
        if not last:
            return keras.Model(inputs, x)
        return keras.Model(inputs, layers.GlobalAveragePooling2D()(x))

    def first(**options):
        return first_convolution(keras, **options)

    def middle(**options):
        return separable(keras, **options)

    def end(**options):
        return layers.GlobalAveragePooling2D(**options)

    def sequential(*parts):
        listed = [layer for part in parts for layer in part]
        return keras.Sequential([keras.Input((32, 32, 3)), *listed])

    return {
        "plain": chain(first(), middle(), end()),
        "classifier": chain(first(), middle(), end(), layers.Dense(10), layers.Softmax()),
        "strided": chain(first(), middle(stride=2, zeros=1), end()),
        "wide": chain(first(), middle(size=5, stride=2, zeros=2), end()),
        "wide same": chain(first(), middle(size=5), end()),
        "residual": residual(True),
        "sequential": sequential(first(), middle(), [end(keepdims=True)]),
        "squeeze": chain(first(), end(keepdims=True), layers.Conv2D(4, 1, name="c"), end()),
        "bilinear": chain(first(), layers.UpSampling2D(2, interpolation="bilinear"), end()),
        "no end": residual(False),
        "no start": chain(middle(), end()),
        "first not strided": chain(first(stride=1), middle(), end()),
        "first padded by 2": chain(first(padding=2), middle(), end()),
        "padded by 2": chain(first(), middle(zeros=2), end()),
        "kernel of 4": chain(first(), middle(size=4), end()),
        "multiplier": chain(first(), middle(depth_multiplier=2), end()),
        "dilated": chain(first(), middle(dilation_rate=2), end()),
        "3x3 inside": chain(first(), layers.Conv2D(8, 3), end()),
        "pooling inside": chain(first(), layers.MaxPooling2D(), end()),
        "tanh inside": chain(first(), layers.Activation("tanh"), end()),
        "nearest": chain(first(), layers.UpSampling2D(2), end()),
        "batch norm of rows": chain(first(), layers.BatchNormalization(axis=1), end()),
        "flat squeeze": chain(first(), layers.Dropout(0.1), layers.Flatten(), layers.Dense(3)),
    }


def signatures(namespace=None):
    """Name -> list of (parameter, kind, default), schedules by their config."""
    namespace = namespace or packages()[0]
    found = {}
    for name in sorted(vars(namespace)):
        member = getattr(namespace, name)
        if not name.startswith("_") and callable(member):
            parameters = inspect.signature(member).parameters.values()
            found[name] = [(p.name, str(p.kind), plain_default(p)) for p in parameters]
    return found


def plain_default(parameter):
    if parameter.default is parameter.empty:
        return "none"
    config = getattr(parameter.default, "get_config", lambda: parameter.default)
    return (config(),)


def schedule_values(name, arguments, steps):
    schedule = getattr(packages()[0], name)(**arguments)
    return [(bool(prune), float(s)) for prune, s in map(schedule, steps)], schedule.get_config()


def training(kernels, x, y, schedule, options=None, batch_size=1, learning_rate=0.001):
    """Trains a pruned model; returns masks and weights, one list a batch, at the batch's end."""
    tfmot, keras = packages()
    name, arguments = schedule
    build = dense_model if kernels[0].ndim == 2 else conv_model
    original = build(keras, kernels)
    pruned = tfmot.prune_low_magnitude(
        original, pruning_schedule=getattr(tfmot, name)(**arguments), **(options or {})
    )
    record = {"masks": [], "weights": []}

    def take(batch, logs=None):
        pairs = [layer.pruning_vars[0][:2] for layer in pruned.layers]
        record["masks"].append([mask.numpy().astype(bool) for _, mask in pairs])
        record["weights"].append([weight.numpy() for weight, _ in pairs])

    pruned.compile(keras.optimizers.SGD(learning_rate), "mse")
    callbacks = [tfmot.UpdatePruningStep(), keras.callbacks.LambdaCallback(on_batch_end=take)]
    pruned.fit(x, y, batch_size=batch_size, shuffle=False, verbose=0, callbacks=callbacks)
    stripped = tfmot.strip_pruning(pruned)
    record["stripped"] = stripped.get_weights()
    record["original"] = original.get_weights()
    return record


def policy_verdicts():
    """Name of an image model -> names of the layers the XNNPACK policy prunes, or "refused"."""
    tfmot, keras = packages()
    policy = tfmot.PruneForLatencyOnXNNPack()
    found = {}
    for name, model in image_models(keras).items():
        try:
            pruned = tfmot.prune_low_magnitude(model, pruning_policy=policy)
        except ValueError:
            found[name] = "refused"
            continue
        found[name] = [
            layer.layer.name
            for layer in pruned.layers
            if type(layer).__name__ == "PruneLowMagnitude" and len(layer.pruning_vars)
        ]
    return found


def random_kernels(*shapes):
    rng = np.random.default_rng(0)
    return [rng.normal(size=shape).astype(np.float32) / np.sqrt(shape[-2]) for shape in shapes]
