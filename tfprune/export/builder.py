"""From the converter's dense file to the one that is written.

dense ──rewrites──▶ dense, for sparse kernels ──encoding──▶ sparse ──lint──▶ what runs sparsely
"""

import dataclasses

from tfprune.export import rewriting
from tfprune.export.encode.micro import insertion
from tfprune.export.encode.sparse import EncodedTensor, encode_model
from tfprune.export.file import flatbuffer
from tfprune.export.file.tables import Model
from tfprune.export.predict import delegation
from tfprune.export.predict.linting import Coverage, coverage
from tfprune.export.rewrites import recurrence
from tfprune.targets.target import FLOAT_ARITHMETIC, LINTED, MACHINES, TARGETS, Target

_NO_GAIN = "The operators are as the converter made them: nothing would be faster by this."
_NO_DENSIFY = "Weights are not expanded by DENSIFY, which would switch on XNNPACK's sparse kernels:"


@dataclasses.dataclass(frozen=True)
class Built:
    """A file that is ready to be verified.

    Attributes:
        content: The file.
        encodings: One entry per encoded constant.
        coverage: Which layers run on sparse kernels.
        rewrites: What was done to the subgraph, one sentence each.
        notes: What was tried and left, one sentence each.
    """

    content: bytes
    encodings: tuple[EncodedTensor, ...]
    coverage: Coverage
    rewrites: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def build(
    file: flatbuffer.File,
    *,
    target: Target = TARGETS["auto"],
    quantize: str | None = None,
    lower_conv3x3: bool = False,
    sparse: bool = True,
) -> Built:
    """Rewrites and encodes a file for a target.

    Args:
        file: The converter's dense file, which stays as it is.
        target: Where it will run.
        quantize: As in `to_tflite`; "dynamic" and "int8" describe what it holds already.
        lower_conv3x3: Whether to turn larger convolutions into sparse 1x1 ones.
        sparse: Whether to do anything at all.

    Returns:
        The new file. Convolutions are rewritten only if they run on sparse kernels by that, loops
        always, of dense layers too, but where only bytes count.
    """
    if not sparse:
        return Built(file.content, (), _coverage(file.model, target))
    if target.in_tflite_micro:
        model, encodings = insertion.encode_model(file.model)
        return Built(flatbuffer.pack(model), encodings, _coverage(file.model, target))
    own = _build(file, target, quantize, lower_conv3x3)
    if quantize in FLOAT_ARITHMETIC[1:]:  # where little is saved, fewer bits may cost bytes
        own = min(own, _build(file, target, None, lower_conv3x3), key=_size)
    if target.costs is not None:
        return own
    others = [_build(file, machine, quantize, False) for machine in MACHINES.values()]
    smallest = min([own, *others], key=_size)
    if smallest is own:
        return own
    model = flatbuffer.parse(smallest.content, "the smallest file")
    return dataclasses.replace(smallest, coverage=_coverage(model, target))


def _size(built: Built) -> int:
    return len(built.content)


def _build(
    file: flatbuffer.File, target: Target, quantize: str | None, lower_conv3x3: bool
) -> Built:
    # Where only bytes count, loops stay as small as they are.
    source, looped = file.model, tuple[str, ...]()
    if target.costs is not None:
        source, looped = recurrence.apply(file.model)
    notes: tuple[str, ...] = ()
    if target.sparse_convolutions and quantize in FLOAT_ARITHMETIC:
        tried = rewriting.candidates(source, target, lower_conv3x3=lower_conv3x3)
        for rewritten, done in tried:
            model, encodings = _encoded(rewritten, target, quantize)
            covered = _coverage(model, target)
            if covered.sparse_convolutions and not _defects(_on_machines(model, covered)):
                return Built(flatbuffer.pack(model), encodings, covered, (*looped, *done))
            if done and not notes:
                notes = (" ".join([_NO_GAIN, *done]),)
    for densify in (True, False):
        model, encodings = _encoded(source, target, quantize, densify=densify)
        seen = _on_machines(model)
        defects = _defects(seen)
        if not defects:
            break
        notes += (f"{_NO_DENSIFY} {defects[0]}.",)
    plain = flatbuffer.pack(source) if looped else file.content
    content = flatbuffer.pack(model) if encodings else plain
    if len(content) >= len(plain):
        return Built(plain, (), _coverage(source, target), looped, notes)
    covered = seen.get(target.kernels_of) or _coverage(model, target)
    return Built(content, encodings, covered, looped, notes)


def _encoded(
    model: Model, target: Target, quantize: str | None, *, densify: bool = True
) -> tuple[Model, tuple[EncodedTensor, ...]]:
    return encode_model(
        model,
        target=target,
        quantize=quantize,
        densify=densify,
        delegated=delegation.delegated(model),
    )


def _coverage(model: Model, target: Target) -> Coverage:
    return coverage(model, "the file", LINTED[target.kernels_of])


def _on_machines(model: Model, *known: Coverage) -> dict[str, Coverage]:
    """Machine -> what runs sparsely, for those where XNNPACK has sparse kernels.

    Args:
        model: The model.
        known: What has been found of it before.
    """
    found = {each.target: each for each in known}
    return {
        name: found.get(name) or coverage(model, "the file", machine)
        for name, machine in MACHINES.items()
        if machine.sparse_convolutions
    }


def _defects(found: dict[str, Coverage]) -> tuple[str, ...]:
    """What would go wrong on any of the machines, whatever the file is meant for."""
    return tuple(defect for each in found.values() for defect in each.defects)
