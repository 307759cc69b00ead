"""What a file is run on before it is written, with Keras's predictions."""

import keras
import numpy as np

from tfprune.export.file import signature
from tfprune.export.run import verify

_CHECKED_EXAMPLES = 8


def samples_of(
    model: keras.Model, signed: signature.Signature, given: dict[str, list[np.ndarray]]
) -> list[verify.Sample]:
    """What to run a file on, with Keras's predictions, which must be numbers.

    Random inputs may lie outside a model's domain; they are dropped if the user gave some. Files
    that were calibrated on data of a user are compared with Keras on that, not on random inputs.
    """
    calibrated = "representative_data" in given
    samples = []
    example = given.get("verify_inputs") or given.get("representative_data")
    for name, arrays in {"": verify.random_inputs(model, signed, like=example), **given}.items():
        kind = f"`{name}`" if name else "random inputs"
        if name == "representative_data":
            count = -(-_CHECKED_EXAMPLES // signed.batch) * signed.batch
            arrays = [array[:count] for array in arrays]
        outputs = verify.predict(model, signed, arrays)
        if not any(np.isnan(output).any() for output in outputs):
            samples.append(verify.Sample(kind, arrays, outputs, bool(name) or not calibrated))
        elif name or not given:
            raise ValueError(
                "`model` must predict numbers; if random inputs are outside its domain, pass "
                f"`verify_inputs`. Received: model={model.name!r}, which gives NaN for {kind}."
            )
    return samples
