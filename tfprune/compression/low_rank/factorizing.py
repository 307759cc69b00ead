"""factorize: layers of a model replaced by products of smaller ones."""

from collections.abc import Callable, Mapping

import keras
import numpy as np

from tfprune.calibration.evidence import MEMORY_BUDGET
from tfprune.calibration.examples import AnyExamples
from tfprune.calibration.source import EvidenceOptions
from tfprune.channels.coupling.reading import Reading, read
from tfprune.channels.kept import Cost as Whole
from tfprune.channels.kept import Costs
from tfprune.compression.low_rank.convolution_forms import METHODS
from tfprune.compression.low_rank.factorizable import forms_of
from tfprune.compression.low_rank.forms import Cost, Form, Fresh
from tfprune.compression.low_rank.matrices import Split
from tfprune.compression.low_rank.moments import as_matrix, moments_of, taken_from
from tfprune.compression.low_rank.report import FactorizationReport, LayerFactors
from tfprune.compression.low_rank.wishes import RankRules, Wish, choose, ruled
from tfprune.keras_graph.chains import Chain
from tfprune.keras_graph.compiling import compile_like
from tfprune.keras_graph.replacing import replace_layers, require_replaceable
from tfprune.layer_classes.prunable import flatten, prunable_weights
from tfprune.support.by_identity import ByIdentity
from tfprune.support.tensors import Data
from tfprune.support.validation import require_one_of, require_seed

_TOLD = 3  # reasons in an error


def factorize(
    model: keras.Model,
    *,
    rank: int | float | None = None,
    energy: float | None = None,
    macs: float | None = None,
    parameters: float | None = None,
    convolutions: str = "spatial",
    data: Data | None = None,
    rules: RankRules | None = None,
    round_to: int = 1,
    examples: int | None = 1000,
    seed: int = 0,
    memory_budget: float = MEMORY_BUDGET,
    verbose: bool = True,
) -> tuple[keras.Model, FactorizationReport]:
    """Return a copy of a model with products of smaller layers in the places of its layers.

    A kernel W becomes factors of rank r, each a plain Keras layer: Dense and EinsumDense two of
    them, Embedding a narrower one and a Dense, the input kernel of LSTM, GRU and SimpleRNN a Dense
    before the layer (recurrent kernels stay), a convolution two or three. Layers of other classes,
    1x1 and depthwise convolutions, those with groups, shared weights or constraints, and those that
    would have no fewer weights stay as they are, and the report says why. Exactly one of `rank`,
    `energy`, `macs` and `parameters` is given.

    Args:
        model: Sequential or Functional, built, plain; it is not changed.
        rank: of every layer, an integer >= 1, or a fraction in (0, 1) of each layer's full rank.
            Layers of a smaller full rank stay.
        energy: share in (0, 1] of the squared singular values that every layer keeps at least.
        macs: multiply-adds that are left, as a fraction in (0, 1] of the model's. All layers lose
            the same share of their squared outputs then.
        parameters: the same of the parameters.
        convolutions: "spatial", h x 1 and 1 x w (spatial SVD); "channel", fewer filters and 1x1
            (channel SVD); or "tucker", 1x1, fewer filters of fewer channels, and 1x1 (Tucker-2).
        data: inputs to keep the outputs on, as in `tfprune.one_shot`, without targets; factors are
            then the best for the outputs of each layer instead of for its weights.
        rules: list of (regex, value) for paths of kernels; None leaves them, a value is their rank
            as of `rank`, whatever the others get. The first match wins.
        round_to: ranks that `energy` or a budget chooses are multiples of it, where they are not
            full: many runtimes compute eight channels as fast as five.
        examples: most examples used, >= 2; None uses all there are.
        seed: of the choice of examples; an integer in [0, 2^32).
        memory_budget: bytes, a number > 0; moments of layers' inputs beyond it are measured one
            part of the layers after another.
        verbose: show progress.

    Returns:
        The model, compiled as `model` is with a fresh optimizer, and what became of each layer.
        It computes what the original does but for the error of the report; a few epochs of training
        bring most of it back.

    Raises:
        TypeError: if an argument is of the wrong kind.
        ValueError: if an argument is out of its range, no budget or several are given, a rule
            matches nothing, a rank is above the full one, the budget cannot be met within 3 % (the
            message says how far it can go), no layer can be factorized, the data does not fit the
            model, or the model has no graph or pruned layers.

    Example:
        >>> model = keras.Sequential([keras.Input((64,)), keras.layers.Dense(32, name="a")])
        >>> small, told = factorize(model, rank=4)
        >>> [layer.name for layer in small.layers], told.layers[0].after.parameters
        (['a_in', 'a'], 384)
    """
    known = require_replaceable(model, "be factorized")
    wish = Wish.given(round_to, rank=rank, energy=energy, macs=macs, parameters=parameters)
    require_one_of("convolutions", convolutions, tuple(METHODS))
    require_seed("seed", seed)
    options = EvidenceOptions(data, None, examples, memory_budget, verbose)
    found = forms_of(known, convolutions)
    given, left = ruled(known, found, rules)
    forms = {
        layer: form for layer, form in found.items() if isinstance(form, Form) and layer not in left
    }
    taken = None if data is None else taken_from(known, data, examples, seed)
    split_of: Callable[[Form], Split] = (
        _plain_split if taken is None else _Weighed(known, forms, taken, options)
    )
    reading = read(known)
    whole = _whole(reading)
    chosen = choose(known, forms, given, wish, split_of, whole)
    reasons = {layer: form for layer, form in found.items() if isinstance(form, str)}
    reasons |= left | chosen.reasons
    if not chosen.ranks:
        first = {**chosen.reasons, **reasons}  # what is due to the wish tells most
        told = [f"'{layer.name}': {reason}" for layer, reason in first.items()][:_TOLD]
        raise ValueError(
            f"At least one layer of '{known.name}' must become factors. Received: `{wish.of}`, "
            f"{wish.text}; {'; '.join(told) or 'it has no layer with kernels'}."
        )
    fresh = _names(known)
    products: ByIdentity[keras.Variable, int] = ByIdentity()
    for product in reading.book.products:
        if product.kernel is not None:
            products[product.kernel] = products.get(product.kernel, 0) + product.places
    chains: dict[keras.layers.Layer, Chain] = {}
    rows = []
    for layer in found:
        if layer in chosen.ranks:
            form, ranks = forms[layer], chosen.ranks[layer]
            factors, error = split_of(form).factors(ranks)
            chains[layer] = form.chain(ranks, factors, fresh)
            costs = form.original, form.cost(ranks)
            rows.append(
                LayerFactors(layer.name, form.method, ranks, form.full, *costs, error, form.remark)
            )
        else:
            cost = _cost(layer, products)
            full = forms[layer].full if layer in forms else None
            rows.append(
                LayerFactors(layer.name, None, None, full, cost, cost, None, reasons[layer])
            )
    small = replace_layers(known, chains)
    compile_like(known, small, "The factorized model")
    count = 0 if taken is None else taken.count
    return small, FactorizationReport(known.name, tuple(rows), whole, _whole(read(small)), count)


class _Weighed:
    """How weights split for what they see of some examples."""

    def __init__(
        self,
        model: keras.Model,
        forms: Mapping[keras.layers.Layer, Form],
        taken: AnyExamples,
        options: EvidenceOptions,
    ):
        self._names: ByIdentity[keras.Variable, str] = ByIdentity()
        weights: dict[str, keras.Variable] = {}
        for form in forms.values():
            path = form.weight.path  # not the only one of its name, where models are nested
            name = path if path not in weights else f"{path} ({len(weights)})"
            weights[name], self._names[form.weight] = form.weight, name
        self._seen = moments_of(
            model,
            weights,
            taken,
            memory_budget=options.memory_budget,
            quiet=not options.verbose,
        )

    def __call__(self, form: Form) -> Split:
        return form.split(as_matrix(self._seen[self._names[form.weight]]))


def _plain_split(form: Form) -> Split:
    return form.split(None)


def _whole(reading: Reading) -> Whole:
    return Costs(reading, reading.book.ledger.settle()).of(np.zeros(0, int))


def _cost(layer: keras.layers.Layer, products: Mapping[keras.Variable, int]) -> Cost:
    """Return what the kernels of a layer cost that stays."""
    sizes = [(weight, int(np.prod(weight.shape))) for weight in prunable_weights(layer)]
    macs = sum(size * products.get(weight, 0) for weight, size in sizes)
    return Cost(sum(size for _, size in sizes), macs)


def _names(model: keras.Model) -> Fresh:
    """Return wanted name -> one that no layer has yet."""
    taken = {layer.name for layer in flatten(model)}

    def fresh(wanted: str) -> str:
        name, number = wanted, 1
        while name in taken:
            name, number = f"{wanted}_{number}", number + 1
        taken.add(name)
        return name

    return fresh
