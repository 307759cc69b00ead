"""README.md of layer_classes: its example runs, and one entry is indeed all that is needed."""

import re
from pathlib import Path

import keras
import numpy as np
import pytest
from keras import layers

import tfprune
from tests.support.layer_watching import explicit, gram, gram_of_outputs, only, watch
from tfprune.compression.output_channels import channel_axes
from tfprune.keras_graph.coupling import batch_norm_of, coupled_kernels
from tfprune.layer_classes import axes, prunable
from tfprune.layer_classes.axes import axes_of, register_axes
from tfprune.layer_classes.prunable import prunable_weights
from tfprune.layer_classes.weight_axes import WeightAxes, matrix

FOLDER = Path(axes.__file__).parent
GUIDE = (FOLDER / "README.md").read_text(encoding="utf-8")


@pytest.fixture
def scratch(monkeypatch):
    """The tables are as before afterwards."""
    monkeypatch.setattr(axes, "_TABLE", dict(axes._TABLE))
    monkeypatch.setattr(prunable, "_REGISTERED", dict(prunable._REGISTERED))


@pytest.fixture
def projection(scratch):
    """The layer class of the guide's example."""
    names = {}
    for block in re.findall(r"```python\n(.*?)```", GUIDE, re.DOTALL):
        exec(block, names)
    return names["Projection"]


def test_the_guide_names_every_module_of_the_folder():
    named = set(re.findall(r"^\| `(\w+\.py)`", GUIDE, re.MULTILINE))
    assert named == {path.name for path in FOLDER.glob("*.py")} - {"__init__.py"}


def test_one_entry_tells_everything_about_a_layer(projection):
    inputs = keras.Input((6,))
    one, other = projection(4, name="one")(inputs), projection(4, name="other")(inputs)
    model = keras.Model(inputs, one + layers.BatchNormalization(name="norm")(other))
    kernels = [model.get_layer(name).matrix for name in ("one", "other")]
    paths = [kernel.path for kernel in kernels]
    assert {weight.path for weight in prunable_weights(model)} == set(paths)
    (group,) = coupled_kernels(model)
    assert {kernel.path for kernel in group} == set(paths)
    norms = batch_norm_of(model)
    assert {kernel.path: norm.name for kernel, norm in norms.items()} == {paths[1]: "norm"}
    assert channel_axes(model.get_layer("one"), kernels[0]) == (1,)
    x = np.random.default_rng(0).normal(size=(5, 6)).astype("float32")
    assert np.allclose(watch(model, x)[paths[0]].moments[0], explicit(x))
    coarse = tfprune.Block(3, 2)
    with pytest.warns(UserWarning, match="2 of 4 of 'one/matrix'"):
        tfprune.prune(model, tfprune.OneShot(0.8), structure=coarse)


def test_an_entry_of_a_subclass_replaces_that_of_its_parent(scratch):
    class Turned(layers.Dense):
        """The kernel is multiplied from the other side."""

        def build(self, input_shape):
            self.turned = self.add_weight(shape=(self.units, input_shape[-1]), name="turned")
            self.built = True

        def call(self, inputs):
            return keras.ops.matmul(inputs, keras.ops.transpose(self.turned))

    def turned(layer, weight):
        return WeightAxes(
            inputs=(1,),
            outputs=(0,),
            operand=matrix().operand,
            product=axes.Equation.parse("...a,ba->...b"),
            reads=((1, -1),),
            writes=((0, -1),),
        )

    register_axes(Turned, kernels={"turned": turned})
    model = keras.Sequential([keras.Input((5,)), Turned(3)])
    x = np.random.default_rng(0).normal(size=(4, 5)).astype("float32")
    found = only(watch(model, x))
    weight = model.layers[0].turned
    np.testing.assert_allclose(gram(found, weight), gram_of_outputs(model(x), 1), rtol=1e-5)
    assert channel_axes(model.layers[0], weight) == (0,)
    structure = tfprune.structures_for("x86").for_weight(model.layers[0], weight)
    assert structure == tfprune.Unstructured()


def test_a_class_without_axes_is_elementwise(scratch):
    class Scaled(layers.Layer):
        def build(self, input_shape):
            self.scale = self.add_weight(shape=(4, input_shape[-1]), name="scale")

        def call(self, inputs):
            return inputs * self.scale[0]

    tfprune.register_prunable(Scaled, "scale")
    model = keras.Sequential([keras.Input((8,)), Scaled(name="scaled"), layers.Dense(8)])
    layer = model.get_layer("scaled")
    assert axes_of(layer, layer.scale) == WeightAxes()
    assert prunable_weights(layer)[0] is layer.scale
    assert tfprune.structures_for("x86").for_weight(layer, layer.scale) == tfprune.Unstructured()
    assert channel_axes(layer, layer.scale) == (1,)
    assert coupled_kernels(model) == []
    with pytest.raises(ValueError, match=r"'scaled' \(Scaled\) cannot be reconstructed"):
        watch(model, np.ones((2, 8), "float32"))


def test_only_layer_classes_are_registered():
    with pytest.raises(TypeError, match="`layer_class` must be a subclass.*Received"):
        register_axes(dict, kernels={"kernel": matrix()})
