"""Distillation: the loss by hand, what Keras's own leaves out, and pruned students."""

import keras
import numpy as np
import pytest
from keras import layers

import tfprune
from tests.support.helpers import loss_of_keras
from tests.support.jax_session import run_on_jax

LOSS = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
DRAWS = np.random.default_rng(0)
X = DRAWS.normal(size=(16, 5)).astype("float32")
Y = DRAWS.integers(0, 3, 16)


def network(width=6, end=None, **options):
    hidden = layers.Dense(width, "relu", name="hidden", **options)
    return keras.Sequential([keras.Input((5,)), hidden, layers.Dense(3, end, name="logits")])


def loss_of(distilled, weights=None, loss=LOSS):
    distilled.compile("sgd", loss)
    predictions = distilled(X, training=True)
    return float(distilled.compute_loss(X, Y, predictions, weights, training=True))


def softmax(z):
    e = np.exp(z - z.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


def divergence(student, teacher, temperature):
    p, q = (softmax(np.asarray(model(X)) / temperature) for model in (teacher, student))
    return temperature**2 * (p * np.log(p / q)).sum(axis=-1)


@pytest.mark.parametrize(("temperature", "alpha"), [(2.0, 0.5), (4.0, 0.9), (1.0, 0.0)])
def test_the_loss_is_the_formula(temperature, alpha):
    student, teacher = network(), network(9)
    task = float(LOSS(Y, student(X)))
    by_hand = (1 - alpha) * task + alpha * divergence(student, teacher, temperature).mean()
    found = loss_of(tfprune.distill(student, teacher, temperature=temperature, alpha=alpha))
    assert found == pytest.approx(by_hand, rel=1e-4)


def test_without_weights_and_added_losses_it_is_the_loss_of_keras():
    student, teacher = network(), network(9)
    wanted = loss_of_keras(student, teacher, (X, Y), LOSS, temperature=3.0, alpha=0.7)
    found = loss_of(tfprune.distill(student, teacher, temperature=3.0, alpha=0.7))
    assert found == pytest.approx(wanted, rel=1e-4)


def test_examples_are_weighted_in_both_parts():
    student, teacher = network(), network(9)
    weights = DRAWS.uniform(0, 2, 16).astype("float32")
    task = float(LOSS(Y, student(X), sample_weight=weights))
    taught = (weights * divergence(student, teacher, 2.0)).mean()
    found = loss_of(tfprune.distill(student, teacher), weights)
    assert found == pytest.approx(0.5 * task + 0.5 * taught, rel=1e-4)


def test_losses_of_layers_count_in_full():
    student, teacher = network(kernel_regularizer=keras.regularizers.L2(0.1)), network(9)
    plain = network()
    plain.set_weights(student.get_weights())
    added = 0.1 * float(np.square(student.layers[0].kernel.numpy()).sum())
    both = [loss_of(tfprune.distill(model, teacher, alpha=0.8)) for model in (student, plain)]
    assert both[0] - both[1] == pytest.approx(added, rel=1e-3)


def test_a_softmax_at_the_end_is_not_taken_twice():
    logits, probabilities = network(), network(end="softmax")
    probabilities.set_weights(logits.get_weights())
    teachers = network(9), network(9, end="softmax")
    teachers[1].set_weights(teachers[0].get_weights())
    wanted = loss_of(tfprune.distill(logits, teachers[0]))
    for teacher in teachers:
        distilled = tfprune.distill(probabilities, teacher)
        assert loss_of(distilled, loss="sparse_categorical_crossentropy") == pytest.approx(
            wanted, rel=1e-3
        )


def test_a_softmax_inside_a_nested_model_is_found():
    inner = network(9, end="softmax")
    nested = keras.Sequential([keras.Input((5,)), inner])
    student = network()
    both = [loss_of(tfprune.distill(student, teacher)) for teacher in (inner, nested)]
    assert both[0] == pytest.approx(both[1], rel=1e-5)


def test_outputs_of_a_regression_are_compared_as_they_are():
    student, teacher = network(), network(9)
    target = np.zeros((16, 3), "float32")
    distilled = tfprune.distill(student, teacher, alpha=1.0)
    distilled.compile("sgd", "mse")
    found = distilled.compute_loss(X, target, distilled(X, training=True), None, training=True)
    assert float(found) == pytest.approx(
        float(np.square(np.asarray(student(X)) - np.asarray(teacher(X))).mean()), rel=1e-4
    )


def test_the_teacher_stays_as_it_was_and_evaluation_is_the_students():
    student, teacher = network(), network(9)
    teacher.get_layer("hidden").trainable = False
    before = [weight.numpy() for weight in teacher.weights]
    distilled = tfprune.distill(student, teacher)
    distilled.compile("adam", LOSS, metrics=["accuracy"])
    distilled.fit(X, Y, epochs=2, class_weight={0: 1.0, 1: 2.0, 2: 0.5}, verbose=0)
    assert teacher.trainable and not teacher.get_layer("hidden").trainable
    assert all(np.array_equal(a, b.numpy()) for a, b in zip(before, teacher.weights))
    student.compile("adam", LOSS, metrics=["accuracy"])
    assert distilled.evaluate(X, Y, verbose=0) == pytest.approx(student.evaluate(X, Y, verbose=0))
    assert len(distilled.trainable_variables) == len(student.trainable_variables)


def test_hints_of_another_width_get_a_regressor_that_is_trained():
    student, teacher = network(4), network(9)
    distilled = tfprune.distill(student, teacher, alpha=1.0, hints=[("hidden", "hidden")])
    (regressor,) = distilled.regressors
    assert tuple(regressor.kernel.shape) == (4, 9)
    before, first = regressor.kernel.numpy(), loss_of(distilled)
    distilled.compile("adam", LOSS)
    distilled.optimizer.learning_rate = 0.02
    distilled.fit(X, Y, epochs=20, verbose=0)
    assert not np.array_equal(before, regressor.kernel.numpy())
    assert loss_of(distilled) < 0.7 * first


def test_attention_maps_are_those_by_hand():
    student, teacher = (
        keras.Sequential(
            [
                keras.Input((4, 4, 2)),
                layers.Conv2D(width, 1, name="c"),
                layers.GlobalAveragePooling2D(),
                layers.Dense(3),
            ]
        )
        for width in (3, 5)
    )
    images = DRAWS.normal(size=(6, 4, 4, 2)).astype("float32")
    distilled = tfprune.distill(student, teacher, alpha=1.0, attention=[("c", "c")])
    distilled.compile("sgd", LOSS)
    found = distilled.compute_loss(
        images, Y[:6], distilled(images, training=True), None, training=True
    )
    maps = []
    for model in (student, teacher):
        squares = np.square(np.asarray(model.get_layer("c")(images))).sum(axis=-1).reshape(6, -1)
        maps.append(squares / np.linalg.norm(squares, axis=-1, keepdims=True))
    p, q = (softmax(np.asarray(model(images)) / 2) for model in (teacher, student))
    logits = 4 * (p * np.log(p / q)).sum(axis=-1).mean()
    assert float(found) == pytest.approx(logits + np.square(maps[0] - maps[1]).mean(), rel=1e-3)


def test_a_pruned_student_is_pruned_while_it_learns():
    teacher = network(9)
    student = tfprune.prune(network(), tfprune.PolynomialDecay(0.0, 0.5, 0, 6, 2))
    distilled = tfprune.distill(student, teacher)
    distilled.compile("adam", LOSS)
    distilled.fit(X, Y, epochs=4, batch_size=8, verbose=0, callbacks=[tfprune.UpdatePruningStep()])
    with pytest.raises(ValueError, match="a student in training: take its `student`"):
        tfprune.strip_pruning(distilled)
    plain = tfprune.strip_pruning(distilled.student)
    assert [float((layer.kernel.numpy() == 0).mean()) for layer in plain.layers] == [0.5, 0.5]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"temperature": 0}, "temperature=0"),
        ({"alpha": 1.5}, "alpha=1.5"),
        ({"hints": [("hidden", "nothing")]}, "'nothing', which is no layer of"),
        ({"attention": [("nothing", "hidden")]}, "'nothing', which is no layer of"),
    ],
    ids=str,
)
def test_bad_input_is_refused_in_one_line(options, message):
    with pytest.raises(ValueError, match=message):
        tfprune.distill(network(), network(9), **options)


def test_hints_need_graphs_and_layers_with_one_output():
    class Mine(keras.Model):
        def __init__(self):
            super().__init__()
            self.hidden = layers.Dense(3, name="hidden")

        def call(self, inputs):
            return self.hidden(inputs)

    mine = Mine()
    mine(X)
    with pytest.raises(ValueError, match="`hints` needs Sequential or Functional models"):
        tfprune.distill(mine, network(9), hints=[("hidden", "hidden")])
    inputs = keras.Input((4, 5))
    states, *_ = layers.LSTM(3, return_state=True, name="several")(inputs)
    model = keras.Model(inputs, states)
    with pytest.raises(ValueError, match="layers with one output. Received: 'several'"):
        tfprune.distill(model, keras.models.clone_model(model), hints=[("several", "several")])


def test_a_model_does_not_teach_itself():
    model = network()
    with pytest.raises(ValueError, match="`teacher` must be another model than the student"):
        tfprune.distill(model, model)


def test_a_teacher_that_would_be_trained_with_the_student_is_refused():
    student = network()
    wrapped = keras.Sequential([keras.Input((5,)), student])
    shared = keras.Sequential([keras.Input((5,)), student.layers[0], layers.Dense(3)])
    for teacher in (wrapped, shared):
        with pytest.raises(ValueError, match="not have weights that are trained.*hidden/kernel"):
            tfprune.distill(student, teacher)
    student.layers[0].trainable = False
    assert tfprune.distill(student, shared)


def test_models_of_other_outputs_are_refused():
    other = keras.Sequential([keras.Input((5,)), layers.Dense(4)])
    with pytest.raises(ValueError, match="`teacher` must have the outputs of the student"):
        tfprune.distill(network(), other)
    with pytest.raises(TypeError, match="`teacher` must be a keras.Model"):
        tfprune.distill(network(), None)


def test_on_jax_the_loss_is_the_formula_and_pruned_students_learn():
    code = """
        import keras
        import numpy as np
        import tfprune
        from keras import layers, ops

        keras.utils.set_random_seed(0)
        draws = np.random.default_rng(0)
        x, y = draws.normal(size=(16, 5)).astype("float32"), draws.integers(0, 3, 16)
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)

        def network(width):
            parts = [layers.Dense(width, "relu", name="hidden"), layers.BatchNormalization()]
            return keras.Sequential([keras.Input((5,)), *parts, layers.Dense(3, name="logits")])

        def softmax(model):
            z = ops.convert_to_numpy(model(x)) / 2.0
            return np.exp(z) / np.exp(z).sum(axis=-1, keepdims=True)

        student, teacher = network(6), network(9)
        weights = draws.uniform(0, 2, 16).astype("float32")
        p, q = softmax(teacher), softmax(student)
        taught = 4 * (weights * (p * np.log(p / q)).sum(axis=-1)).mean()
        wanted = 0.5 * float(loss(y, student(x), sample_weight=weights)) + 0.5 * taught
        distilled = tfprune.distill(student, teacher)
        distilled.compile("sgd", loss)
        found = distilled.compute_loss(x, y, student(x), weights, training=True)
        print(abs(float(found) - wanted) < 1e-4 * wanted)

        before = [ops.convert_to_numpy(weight) for weight in teacher.weights]
        pruned = tfprune.prune(network(6), tfprune.PolynomialDecay(0.0, 0.5, 0, 6, 2))
        distilled = tfprune.distill(pruned, teacher, hints=[("hidden", "hidden")])
        distilled.compile("adam", loss)
        start = ops.convert_to_numpy(distilled.regressors[0].kernel)
        callbacks = [tfprune.UpdatePruningStep()]
        options = {"epochs": 8, "batch_size": 8, "verbose": 0, "callbacks": callbacks}
        history = distilled.fit(x, y, class_weight={0: 1.0, 1: 2.0, 2: 0.5}, **options).history
        print(history["loss"][-1] < history["loss"][0])
        print(not np.array_equal(start, ops.convert_to_numpy(distilled.regressors[0].kernel)))
        after = [ops.convert_to_numpy(weight) for weight in teacher.weights]
        print(all(map(np.array_equal, before, after)))
        kernels = [tfprune.strip_pruning(pruned).get_layer(n).kernel for n in ("hidden", "logits")]
        print([float((ops.convert_to_numpy(kernel) == 0).mean()) for kernel in kernels])
    """
    shown = run_on_jax(code).splitlines()
    assert shown == ["True", "True", "True", "True", "[0.5, 0.5]"]
