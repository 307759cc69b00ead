"""Teachers whose outputs are known: computed once for all students that see the same batches."""

import keras


def with_known_teacher(student: keras.Model) -> tuple[keras.Model, keras.Model]:
    """Return a student and a teacher for `tfprune.distill` that take the teacher's outputs as data.

    Both have two inputs, what the student takes and what its teacher made of it. The student looks
    at the first alone and the teacher passes the second on, so that a step costs what it costs
    without a teacher.

    Args:
        student: built model with one input and one output; it shares its weights.

    Example:
        >>> student = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3)])
        >>> pupil, teacher = with_known_teacher(student)
        >>> [tuple(each.shape) for each in pupil.inputs], pupil.count_params()
        ([(None, 4), (None, 3)], 15)
        >>> known = keras.ops.convert_to_tensor([[1.0, 2.0, 3.0]])
        >>> bool(keras.ops.all(teacher([keras.ops.zeros((1, 4)), known]) == known))
        True
    """
    seen, known = (keras.Input(shape[1:]) for shape in (student.input_shape, student.output_shape))
    passed_on = keras.layers.Identity()(known)
    return keras.Model([seen, known], student(seen)), keras.Model([seen, known], passed_on)
