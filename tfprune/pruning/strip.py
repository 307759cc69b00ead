"""strip_pruning: from a pruned model back to a plain one, with the zeros in its weights."""

import warnings

import keras

from tfprune.channels.channel_plan import ChannelPlan
from tfprune.channels.masked_slices import listed, zero_slices
from tfprune.channels.shrinking import prune as prune_channels
from tfprune.channels.zeros import plan_zeros
from tfprune.keras_graph.calls import graph_of
from tfprune.keras_graph.compiling import compile_like
from tfprune.keras_graph.rebuilding import outer_layers, rebuild
from tfprune.layer_classes.prunable import prunable_weights
from tfprune.pruning.coupled_weights import coupling_of
from tfprune.scorers.protocol import Evidence, needs_of
from tfprune.support.arrays import host_array
from tfprune.support.by_identity import ByIdentity, each_once
from tfprune.support.tensors import Tensor
from tfprune.support.validation import require_flag, require_model
from tfprune.wrapping.added_state import NOT_BEGUN
from tfprune.wrapping.cohorts import Cohort, cohorts_of
from tfprune.wrapping.keep_zeros import keep_zeros_of
from tfprune.wrapping.mask_update import LiveVariables, UpdateOptions, run_update
from tfprune.wrapping.other_transforms import refuse_averages
from tfprune.wrapping.pruned_layer import PrunedLayer, pruned_layers
from tfprune.wrapping.shortfall import is_short, tell_shortfall

_REMEDY = "tfprune.channels.plan finds the whole units of such layers that can go."


def strip_pruning(
    model: keras.Model, *, keep_masks: bool = False, shrink: bool = False, compile: bool = True
) -> keras.Model:
    """Return a plain Keras model with exact zeros where the masks are, of the same class and names.

    Of a model that nobody has trained, masks that are complete at step 0 and need no data, such as
    those of `OneShot` by magnitude, are made for the copy.

    Args:
        model: a model with `PrunedLayer`s, from `tfprune.prune` or built with them.
        keep_masks: keep the zeros in further training: every pruned weight gets a constraint that
            sets them again after each optimizer step. The constraint is not saved with the model.
        shrink: remove the channels that are zero in all layers that make them, as masks of
            `structure=tfprune.Channel()` leave them, with what depends on them. The model must have
            a graph (Sequential or Functional). Slices along the last axis of a kernel are no
            channels in LSTM and GRU layers, whose gates lie side by side there, and in transposed
            convolutions, whose inputs do: prune these with `tfprune.channels.plan`.
        compile: compile the model as `model` is, with a fresh optimizer of the same settings. False
            does not, and a .keras file of it is smaller by the optimizer's state.

    Returns:
        A model that shares no variable with `model` and needs no tfprune to be loaded.

    Raises:
        TypeError: if `model` is not a `keras.Model` or a flag no bool.
        ValueError: if it has no `PrunedLayer` or cannot be copied; with `shrink`, if no channel is
            zero, naming the masked slices that are none.

    Warns:
        UserWarning: once, with numbers, if the model has fewer zeros than its schedule asks for at
            its end; if its compile settings cannot be written down; with `shrink`, naming the
            layers that cannot take over what the bias or the normalization of a removed channel
            leaves behind, so that outputs differ a little; and, with numbers, the weights in which
            masked slices stay, because they are no channels or something keeps them.

    Example:
        >>> import tfprune
        >>> model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3)])
        >>> plain = strip_pruning(tfprune.prune(model, tfprune.OneShot(0.5)))
        >>> [type(layer).__name__ for layer in plain.layers]
        ['Dense']
        >>> int((plain.layers[0].kernel.numpy() == 0).sum())
        6
    """
    require_model("model", model, built=False)
    require_flag("keep_masks", keep_masks)
    require_flag("shrink", shrink)
    require_flag("compile", compile)
    wrappers = pruned_layers(model)
    if not wrappers:
        raise ValueError(f"Model '{model.name}' has no pruned layers: it is plain already.")
    masked = _masked_values(model, wrappers)
    stripped = rebuild(model, lambda layer, copy: copy, substitutes=masked)
    if shrink:
        stripped = _shrunk(model, stripped)
    if compile:
        compile_like(model, stripped, "The stripped model")
    if keep_masks:
        for layer in outer_layers(stripped):
            for weight in prunable_weights(layer):
                keep_zeros_of(weight)
        refuse_averages(stripped)
    return stripped


def _masked_values(
    model: keras.Model, layers: list[PrunedLayer]
) -> ByIdentity[keras.Variable, Tensor]:
    """Return each pruned weight -> its value with zeros; nothing about the model changes."""
    owned = [own for layer in layers for own in layer.pruned]
    with keras.StatelessScope():
        _make_due_masks(model, [layer for layer in layers if layer.built])
        tell_shortfall(layers, "Train it longer, or have the schedule end earlier.")
        # 0 * negative is -0.0, which compresses worse than 0.0; adding 0.0 turns it into 0.0.
        return ByIdentity((own.weight, own.masked_value() + 0.0) for own in owned)


def _make_due_masks(model: keras.Model, layers: list[PrunedLayer]) -> None:
    """Make the masks that are complete at step 0 and need no data, if pruning has not begun."""
    if any(int(host_array(layer.pruning_step.value)) != NOT_BEGUN for layer in layers):
        return
    cohorts = [cohort for cohort in cohorts_of(layers) if _is_complete_at_once(cohort)]
    options = UpdateOptions(coupled=coupling_of(model, cohorts))
    run_update([(cohort, 0) for cohort in cohorts], _no_evidence, LiveVariables(), options)
    made = each_once(weight for cohort in cohorts for weight in cohort.trainable().values())
    for layer in layers:
        if all(own.weight in made for own in layer.pruned):
            layer.pruning_step.assign(0)


def _is_complete_at_once(cohort: Cohort) -> bool:
    begins = cohort.schedule.next_update(NOT_BEGUN) == 0
    return begins and not needs_of(cohort.scorer) and not is_short(cohort.schedule, 0)


def _no_evidence(step: int) -> Evidence:
    raise ValueError(f"`data` must be given to prune at step {step}. Received: no examples.")


def _shrunk(pruned: keras.Model, model: keras.Model) -> keras.Model:
    plan = _plan(pruned, model)
    if not plan.exact:
        names = ", ".join(plan.left_behind) or "layer normalizations"
        warnings.warn(
            f"Outputs of the smaller model of '{model.name}' differ a little: {names} cannot take "
            "over everywhere what the removed channels left behind (a bias or a normalization "
            "beside padding). A few steps of training make up for it.",
            stacklevel=3,
        )
    small = prune_channels(model, plan)
    left = zero_slices(pruned, small)
    if left:
        warnings.warn(
            f"Slices that are masked stay in the smaller model of '{model.name}', at zero: "
            f"{listed(left)}. {_REMEDY}",
            stacklevel=3,
        )
    return small


def _plan(pruned: keras.Model, model: keras.Model) -> ChannelPlan:
    found = zero_slices(pruned, model)
    if not found or graph_of(model) is None:
        return plan_zeros(model)
    try:
        return plan_zeros(model)
    except ValueError as error:
        raise ValueError(
            f"Model '{model.name}' must have channels to remove: such as are zero in all layers "
            "that make them, and that nothing keeps. Received: zero slices that are none, "
            f"{listed(found)}. {_REMEDY}"
        ) from error
