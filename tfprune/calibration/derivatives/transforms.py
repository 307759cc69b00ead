"""Derivatives on JAX, whose functions are transformed: several samples at once by `jax.vmap`.

A compiled pass is given the values of all variables of the model, so that it sees weights and masks
as they are when it is called. Hessian-vector products are forward over reverse.
"""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import keras
import numpy as np
from jax.extend.core import Literal

from tfprune.calibration.derivatives.protocol import Arrays, Derivatives
from tfprune.calibration.examples import Examples

Values = dict[str, Any]
Given = tuple[Values, list[Any], Sequence[Any]]  # point, state of the model, leaves of a batch


class JaxDerivatives(Derivatives):
    """Those of JAX."""

    def __init__(self, *arguments: Any):
        super().__init__(*arguments)
        self._compiled: dict[tuple[str, str], Callable[..., Any]] = {}

    def _first_look(self, batch: Examples) -> tuple[float, list[str]]:
        loss, given = self._loss_on(batch), self._given(batch.leaves())
        traced = jax.make_jaxpr(jax.grad(loss))(*given)
        return float(loss(*given)), _constant(traced.jaxpr, sorted(given[0]))

    def _loss_of(self, batch: Examples) -> float:
        return float(self._jitted("loss", batch, lambda loss: loss)(*self._given(batch.leaves())))

    def _differentiated(
        self, examples: Examples, samples: list[np.ndarray]
    ) -> tuple[np.ndarray, Arrays]:
        def over_samples(loss: Callable[..., Any]) -> Callable[..., Any]:
            return jax.vmap(jax.value_and_grad(loss), (None, None, 0))

        losses, gradients = self._jitted("gradients", examples, over_samples)(*self._given(samples))
        return np.asarray(losses), _arrays(gradients)

    def _products(self, batch: Examples, vectors: Arrays) -> Arrays:
        found = self._jitted("hessian", batch, _products_of)(*self._given(batch.leaves()), vectors)
        return _arrays(found)

    def _diagonal_part(self, batch: Examples, vectors: Arrays) -> Arrays:
        def by_vectors(loss: Callable[..., Any]) -> Callable[..., Any]:
            products = _products_of(loss)

            def summed(*given: Any) -> Values:
                found = products(*given)
                return {name: (v * found[name]).sum(0) for name, v in given[-1].items()}

            return summed

        found = self._jitted("diagonal", batch, by_vectors)
        return _arrays(found(*self._given(batch.leaves()), vectors))

    def _given(self, leaves: Sequence[Any]) -> Given:
        return self.point(), [variable.value for variable in self.model.variables], leaves

    def _loss_on(self, examples: Examples) -> Callable[..., Any]:
        """Return (point, state, leaves) -> loss of leaves that are packed as these are."""

        def loss(point: Values, state: list[Any], leaves: Sequence[Any]) -> Any:
            x, y, sample_weight = examples.pack(leaves)
            present = [*zip(self.model.variables, state)]
            with keras.StatelessScope(state_mapping=present):
                replaced = self.substitute(point)
            with keras.StatelessScope(state_mapping=[*present, *replaced]):
                return self.objective(y, self.model(x, training=False), sample_weight, 1)

        return loss

    def _jitted(
        self,
        kind: str,
        examples: Examples,
        transform: Callable[[Callable[..., Any]], Callable[..., Any]],
    ) -> Callable[..., Any]:
        """Return what a transformation makes of the loss, compiled, once for a structure."""
        key = (kind, examples.structure)
        if key not in self._compiled:
            self._compiled[key] = jax.jit(transform(self._loss_on(examples)))
        return self._compiled[key]


def _products_of(loss: Callable[..., Any]) -> Callable[..., Any]:
    """Return (point, state, leaves, vectors) -> H v for each of the vectors."""

    def product(point: Values, state: list[Any], leaves: Sequence[Any], vector: Values) -> Values:
        along = {name: vector[name].astype(value.dtype) for name, value in point.items()}
        slope = jax.grad(loss)
        found: Values = jax.jvp(lambda at: slope(at, state, leaves), (point,), (along,))[1]
        return found

    return jax.vmap(product, (None, None, None, 0))


def _constant(traced: Any, names: Sequence[str]) -> list[str]:
    """Return which of the outputs of a traced function depend on none of its inputs.

    What JAX cannot differentiate has a gradient of zeros, made out of nothing.
    """
    reached = set(traced.invars)
    for equation in traced.eqns:
        if any(v in reached for v in equation.invars if not isinstance(v, Literal)):
            reached |= {*equation.outvars}
    return [
        name
        for name, found in zip(names, traced.outvars, strict=True)
        if isinstance(found, Literal) or found not in reached
    ]


def _arrays(found: Values) -> Arrays:
    return {name: np.asarray(value) for name, value in found.items()}
