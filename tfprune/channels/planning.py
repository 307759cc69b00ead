"""plan: decide which channels of a model go, by any scorer, down to a budget."""

import warnings

import keras
import numpy as np

from tfprune import scorers
from tfprune.calibration.source import EvidenceOptions
from tfprune.channels.channel_plan import ChannelPlan, GroupPlan, made_plan
from tfprune.channels.choosing.budgets import TOLD, Choice, budget_of, require_one_given
from tfprune.channels.choosing.latency import Latency, meet_latency
from tfprune.channels.choosing.scoring import ChannelScorer, score_groups
from tfprune.channels.choosing.selection import Candidates, Limits
from tfprune.channels.choosing.wishes import less_than_asked, require_plain, ruled_groups
from tfprune.channels.coupling.groups import Group
from tfprune.channels.coupling.ledger import Settled
from tfprune.channels.coupling.reading import Reading, read
from tfprune.channels.kept import Costs, Kept
from tfprune.channels.left_behind import constants
from tfprune.channels.surgery import cut
from tfprune.export.convert.requirements import check_model
from tfprune.scorers.protocol import Scorer, ScorerName
from tfprune.sparsity.rules import Rules
from tfprune.support.tensors import Data, Loss
from tfprune.support.validation import (
    require_flag,
    require_integer,
    require_model,
    require_number,
    require_one_of,
    require_seed,
)


def plan(
    model: keras.Model,
    sparsity: float | None = None,
    *,
    scorer: ScorerName | Scorer = "magnitude",
    data: Data | None = None,
    loss: Loss = None,
    scope: str = "global",
    round_to: int = 1,
    min_kept: int = 1,
    rules: Rules | None = None,
    macs: float | None = None,
    parameters: float | None = None,
    latency_ms: float | None = None,
    normalize: bool = True,
    inexact: bool = False,
    examples: int | None = 1000,
    seed: int = 0,
) -> ChannelPlan:
    """Return which channels, units and heads to remove from a model; `prune` removes them.

    What is coupled is read off the model's graph: filters that a skip connection adds up, the
    entries of biases and normalizations, the rows of the layers that read them. What a channel is
    used for is known of all layers of Keras, or it stays, with the reason in the plan. Exactly one
    of `sparsity`, `macs`, `parameters` and `latency_ms` is given.

    Args:
        model: built, plain Sequential or Functional model; it is not changed.
        sparsity: fraction of the removable channels that go, in (0, 1).
        scorer: name or object of `tfprune.scorers`, or `tfprune.channels.BatchNormScale()`.
        data: as in `tfprune.one_shot`, where the scorer needs it.
        loss: as in `tfprune.one_shot`.
        scope: "global": the lowest scores of all groups go; "layer": the same share of each.
        round_to: kept filters (units, heads) of every layer that loses any are a multiple of it.
            Channels of which several layers make parts (a concatenation that something is added to)
            stay then.
        min_kept: channels of every group, and of every layer, kept at least, >= 1.
        rules: list of (regex, value) for paths of kernels; None keeps their channels, a fraction in
            [0, 1) is removed of their group, whatever the others lose. The first match wins. Where
            less than a rule asks can go, the plan and a warning say so.
        macs: multiply-adds that are left, as a fraction in (0, 1) of the model's.
        parameters: the same of the parameters.
        latency_ms: milliseconds of one inference of the exported file, > 0, in LiteRT on one thread
            of this machine. Plans are exported and timed, in turns with the original, until one
            fits, which takes a few seconds a plan; the plan says what was measured. On TensorFlow.
        normalize: divide scores by their group's mean before groups are compared, so that no layer
            loses nearly all of its channels. False compares them as they are, which estimates of
            the loss allow, but which measures worse (see scripts/results).
        inexact: remove channels that a layer normalization sees, too: what it computes from the
            others changes. They stay by default.
        examples: most examples used, >= 2; None uses all there are.
        seed: of the choice of examples; an integer in [0, 2^32).

    Raises:
        TypeError: if an argument is of the wrong kind.
        ValueError: if the model has no graph or is pruned, an argument is out of its range, no
            budget or several are given, a rule matches nothing,
            or rules keep and prune channels that are coupled, the budget cannot be met within 3 %
            (the message says how far it can go), nothing would change, or a model cannot be
            exported whose latency is asked for.

    Example:
        >>> model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(8, name="a"),
        ...     keras.layers.Dense(2, name="b")])
        >>> found = plan(model, 0.5)
        >>> found.groups[0].kept, found.after.parameters
        (4, 26)
    """
    require_model("model", model)
    require_plain(model)
    require_one_of("scope", scope, ("global", "layer"))
    limits = Limits(
        require_integer("round_to", round_to, minimum=1),
        require_integer("min_kept", min_kept, minimum=1),
    )
    require_flag("inexact", inexact)
    require_seed("seed", seed)
    require_flag("normalize", normalize)
    fractions = {"sparsity": sparsity, "macs": macs, "parameters": parameters}
    require_one_given(**fractions, latency_ms=latency_ms)
    if latency_ms is not None:
        require_number("latency_ms", latency_ms, above=0.0)
        check_model(model)  # before scores are computed
    budget = budget_of(fractions) if latency_ms is None else None
    if isinstance(scorer, type) or not isinstance(scorer, ChannelScorer):
        scorer = scorers.get(scorer)
    reading = read(model)
    settled = reading.book.ledger.settle()
    groups, shares = ruled_groups(reading, settled, rules, limits, inexact=inexact)
    options = EvidenceOptions(data, loss, examples, verbose=False)
    scores = score_groups(reading, settled, groups, scorer, options, seed)
    compared = [
        _normalized(found, group) if normalize else found for found, group in zip(scores, groups)
    ]
    candidates = [
        Candidates(found, group.may_go(found, min_kept), group.unit, share)
        for found, group, share in zip(compared, groups, shares)
    ]
    costs = Costs(reading, settled)
    together = scope == "global"
    choice = Choice(model.name, groups, candidates, limits, costs, together=together)
    latency = None
    if budget is not None:
        widths = budget.meet(choice)
    else:
        assert latency_ms is not None
        widths, latency = _timed(reading, settled, choice, latency_ms)
    removed = choice.removed(widths)
    if not any(part.any() for part in removed):
        text = f"latency_ms={latency_ms!r}" if budget is None else budget.text
        raise ValueError(
            f"The plan must remove at least one channel. Received: {text}, which leaves every "
            f"channel of '{model.name}': {_why(reading, choice)}."
        )
    short = less_than_asked(groups, candidates, widths, limits)
    for text in short:
        warnings.warn(f"Less sparse than asked: {text}.", stacklevel=2)
    parts = list(map(GroupPlan, groups, scores, removed))
    return made_plan(reading, settled, parts, costs, type(scorer).__name__, latency, short)


def _why(reading: Reading, choice: Choice) -> str:
    """Return why all channels stay: too little is asked for, or at most three reasons."""
    if choice.most:
        return f"of {choice.most} that may go, less than one would"
    reasons = choice.reasons + [f"'{name}': {why}" for name, why in reading.book.unknown.items()]
    return "; ".join(reasons[:TOLD]) or "it makes none that could go"


def _timed(
    reading: Reading, settled: Settled, choice: Choice, latency_ms: float
) -> tuple[list[int], Latency]:
    """Return widths whose exported model takes so long, and what was measured of it."""
    from tfprune.channels.choosing.stopwatch import Stopwatch  # all else goes without LiteRT

    with Stopwatch(reading.model) as stopwatch:

        def timed(widths: list[int]) -> Latency:
            kept = Kept(settled, choice.roots(widths))
            return stopwatch(cut(reading, kept, constants(reading, kept).values))

        return meet_latency(choice, latency_ms, timed)


def _normalized(scores: np.ndarray, group: Group) -> np.ndarray:
    """Return scores divided by their mean; infinite ones, of what is never to go, are not in it."""
    known = np.abs(scores[group.removable & np.isfinite(scores)])
    mean = float(np.mean(known)) if known.size else 0.0
    return scores / mean if mean > 0 else scores
