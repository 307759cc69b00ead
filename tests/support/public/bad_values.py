"""Bad values, and which of them each public parameter takes all the same.

Parameters are found by name, as in `tests.support.public.arguments`.
"""

from typing import Any

import numpy as np

BAD: dict[str, Any] = {
    "None": None,
    "object": object(),
    "text": "nonsense",
    "bytes": b"x",
    "-1": -1,
    "0": 0,
    "3": 3,
    "1.5": 1.5,
    "NumPy's 2.5": np.float64(2.5),
    "nan": float("nan"),
    "inf": float("inf"),
    "1j": 1j,
    "[]": [],
    "{}": {},
    "[object]": [object()],
    "0-d array": np.array(1),
    "True": True,
    "NumPy's True": np.True_,
    "class": int,
    "NUL": "\0",
}

_COUNT = {"3"}
_WHOLE = {"0", "3"}
_INTEGER = {"-1", "0", "3"}
_POSITIVE = {"3", "1.5", "NumPy's 2.5"}
_SHARE = {"0"}
_FLAG = {"True", "NumPy's True"}
_STEP = {"-1", "0", "3", "1.5", "NumPy's 2.5", "0-d array", "True", "NumPy's True", "inf"}
_ARRAY = _STEP | {"nan"}
_NOTHING: set[str] = set()
_OR_NONE = {"None"}
_CALLABLE = {"class"}

# What is taken of BAD, by parameter; the rest must be refused. These are not called: whether they
# are right may depend on other arguments, and a path that is right would be written.
TAKEN: dict[str, set[str]] = {
    "activations": _FLAG,
    "alpha": _SHARE,
    "attention": {"None", "[]"},
    "attributes": {"text", "NUL"},
    "axis": _INTEGER,
    "backup": {"None", "text"},
    "arena_bytes": _COUNT | _OR_NONE,
    "batch_size": _COUNT | _OR_NONE,
    "begin": _SHARE | _OR_NONE,
    "begin_step": _WHOLE,
    "bits": _COUNT,
    "block_pooling_type": _NOTHING,
    "block_size": _NOTHING,
    "budget": _NOTHING,
    "compare": {"None"},
    "completed": _WHOLE | _OR_NONE,
    "blocks": _COUNT,
    "config": {"{}"},
    "convolutions": _NOTHING,
    "damping": _POSITIVE,
    "data": _OR_NONE,
    "distribution": _OR_NONE,
    "end": _OR_NONE,
    "energy": _OR_NONE,
    "end_step": _WHOLE | _OR_NONE,
    "evidence": _NOTHING,
    "examples": _COUNT | _OR_NONE,
    "filters": _NOTHING,
    "final_sparsity": _SHARE,
    "first_order": _FLAG,
    "frequency": _COUNT,
    "function": _CALLABLE,
    "gradient": _NOTHING,
    "groups": _NOTHING,
    "height": _COUNT,
    "history": {"None", "{}"},
    "hints": {"None", "[]"},
    "inexact": _FLAG,
    "init": _NOTHING,
    "initial_sparsity": _SHARE,
    "inputs": _OR_NONE,
    "keep_masks": _FLAG,
    "keep_ends": _FLAG,
    "kept": _COUNT,
    "kind": _NOTHING,
    "latency_ms": _OR_NONE,
    "layer": _NOTHING,
    "layer_class": _NOTHING,
    "layers": {"None", "[]"},
    "levels": _COUNT,
    "log_dir": {"text"},
    "loss": _OR_NONE,
    "lower_conv3x3": _FLAG,
    "m": _COUNT,
    "macs": _OR_NONE,
    "masks": {"{}"},
    "memory_budget": _POSITIVE,
    "metric": _OR_NONE,
    "micro_batch": _COUNT,
    "min_kept": _COUNT,
    "model": _NOTHING,
    "momentum": _SHARE,
    "multiplier": _COUNT,
    "name": {"None", "text", "NUL"},
    "normalize": _FLAG,
    "on": _NOTHING,
    "on_stage": _OR_NONE,
    "optimizer": _OR_NONE,
    "order": _NOTHING,
    "parameters": _OR_NONE,
    "path": {"text"},
    "paths": {"text"},  # the name of a file
    "plan": _NOTHING,
    "per": _OR_NONE,
    "per_update": _COUNT | _OR_NONE,
    "pooling": _NOTHING,
    "power": _POSITIVE,
    "preserve_levels": _FLAG,
    "preserve_zeros": _FLAG,
    "previous": {"{}"},
    "probes": _COUNT | _OR_NONE,
    "pruned": _NOTHING,
    "pruning_policy": _OR_NONE,
    "pruning_schedule": _NOTHING,
    "quantize": _OR_NONE,
    "quantizer": _OR_NONE,
    "rank": _NOTHING,  # 3 is none of fewer weights for so small a model
    "refresh_batch_norm": _FLAG,
    "representative_data": _OR_NONE,
    "round_to": _COUNT,
    "rows": _NOTHING,
    "rules": {"None", "[]"},
    "methods": _NOTHING,
    "runs": _COUNT,
    "runtime": _NOTHING,
    "scale": _NOTHING,
    "scale_free": _FLAG,
    "schedule": _SHARE,
    "scope": _NOTHING,
    "scorer": _NOTHING,
    "binarize.per": _NOTHING,
    "ternarize.per": _NOTHING,
    "compress.measure": _NOTHING,
    "compress.scorer": _OR_NONE,
    "compress.target": _OR_NONE,
    "one_shot.scorer": _OR_NONE,
    "scores": {"{}"},
    "seed": _WHOLE,
    "shape": {"[]"},
    "shrink": _FLAG,
    "compile": _FLAG,
    "size": _COUNT,
    "spacing": _NOTHING,
    "small": _NOTHING,
    "sparse": _FLAG,
    "sparsities": _NOTHING,
    "sparsity": _SHARE,
    "sparsity_m_by_n": _OR_NONE,
    "stages": _COUNT,
    "step": _STEP,
    "steps": _COUNT | _OR_NONE,
    "student": _NOTHING,
    "structure": _NOTHING,
    "structures": {"{}"},
    "target": _NOTHING,
    "target_sparsity": _SHARE,
    "teacher": _NOTHING,
    "temperature": _POSITIVE,
    "threads": _COUNT,
    "to_prune": {"[]"},
    "tolerance": _POSITIVE | {"0"},
    "training": _COUNT,
    "trust_region": _POSITIVE,
    "unroll": _FLAG,
    "update": _OR_NONE,
    "update_freq": _COUNT,
    "update_rule": _NOTHING,
    "update_weights": _FLAG,
    "variables": _OR_NONE,
    "verbose": _FLAG,
    "verify_inputs": _OR_NONE,
    "warmup": _WHOLE,
    "weights": {"{}"},
    "width": _COUNT,
    "PolynomialDecay.begin": _OR_NONE,  # beside steps
    "PolynomialDecay.frequency": _COUNT | _OR_NONE,
    "OneShot.step": _WHOLE,
    "prune.sparsity": _OR_NONE,  # beside a schedule
    "PruningUpdater.data": {"None", "[]", "{}", "[object]"},  # not read if no scorer asks
    "UpdatePruningStep.data": {"None", "[]", "{}", "[object]"},
    "Block.group_scores.scores": _ARRAY,
    "Block.mask.scores": _ARRAY,
    "Channel.group_scores.scores": _ARRAY,
    "Channel.mask.scores": _ARRAY,
    "NofM.mask.scores": _ARRAY,
    "Unstructured.group_scores.scores": _ARRAY,
    "Unstructured.mask.scores": _ARRAY,
    "channels.plan.data": {"None", "[]", "{}", "[object]"},
    "channels.IterativeTaylor.sparsity": _OR_NONE,
    "channels.plan.sparsity": _OR_NONE,
    "masks.make_mask.name": {"text", "NUL"},
    "masks.make_mask.scores": _ARRAY,
    "scorers.Magnitude.__call__.evidence": set(BAD),  # is not looked at
    "scorers.Random.__call__.evidence": set(BAD),
    "scorers.WoodFisher.block_size": _COUNT,
    "compat.tfmot.ConstantSparsity.end_step": {"-1", "0", "3"},
}


def numpy_numbers(name: str, parameter: str) -> list[np.generic]:
    """NumPy's numbers that a parameter takes; none if it takes no number."""
    taken = taken_by(name, parameter) or set()
    if taken in (_ARRAY, set(BAD)) or not taken & {"0", "3"}:
        return []
    if taken - _OR_NONE == _SHARE:
        return [np.float32(0.5), np.float64(0.5)]
    found: list[np.generic] = [np.int64(3), np.uint8(3)]
    return [*found, np.float32(3.5)] if "1.5" in taken else found


def taken_by(name: str, parameter: str) -> set[str] | None:
    """Labels of the bad values that a parameter takes; None if nobody has said."""
    return TAKEN.get(f"{name}.{parameter}", TAKEN.get(parameter))
