"""The recurrence of an LSTM, with a gradient in few, large products.

Hochreiter & Schmidhuber, "Long short-term memory", Neural Computation 9(8), 1997; gates in Keras's
order (input i, forget f, candidate g, output o):

    i, f, g, o = sigmoid, sigmoid, tanh, sigmoid (z_t + h_{t-1} W)
    c_t = f c_{t-1} + i g,    h_t = o tanh(c_t)

What can be done for all steps at once is: the caller projects the inputs of all steps by one
product, and so are here the gradient of W (one product of T B rows instead of T products of B rows
that are added up) and tanh(c_t). Automatic differentiation of a loop does neither. The values are
those of the loop; sums over steps are taken in another order.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

from keras import ops


class Products(NamedTuple):
    """How the product of inputs and weights, y = x w, and its gradients are computed.

    Attributes:
        forward: (n, k) x, (k, m) w -> (n, m) y.
        to_inputs: (n, m) gradient of y, w -> gradient of x.
        to_weights: x, gradient of y -> gradient of w.
        factor: w -> what the others take for it, made once where many products have it.
    """

    forward: Callable[[Any, Any], Any]
    to_inputs: Callable[[Any, Any], Any]
    to_weights: Callable[[Any, Any], Any]
    factor: Callable[[Any], Any] = lambda w: w


FLOAT32 = Products(
    forward=ops.matmul,
    to_inputs=lambda dy, w: ops.matmul(dy, ops.transpose(w)),
    to_weights=lambda x, dy: ops.matmul(ops.transpose(x), dy),
)


def recurrence(z: Any, w: Any, h: Any, c: Any, products: Products = FLOAT32) -> Any:
    """Return the outputs and the cell states of every step.

    Args:
        z: (T, B, 4 u) projected inputs, biases included.
        w: (u, 4 u) recurrent kernel.
        h: (B, u) output of the step before the first one.
        c: (B, u) cell state of that step.
        products: how products with the recurrent kernel are computed.

    Returns:
        (2, T, B, u): h_t and c_t of the steps 1 ... T.

    Example:
        >>> z, w = ops.zeros((3, 2, 8)), ops.ones((2, 8))
        >>> found = recurrence(z, w, ops.zeros((2, 2)), ops.ones((2, 2)))
        >>> found.shape, float(found[1, 0, 0, 0])
        (TensorShape([2, 3, 2, 2]), 0.5)
    """

    @ops.custom_gradient
    def steps(z, w, h, c):
        return _steps(z, products.factor(w), h, c, products)

    return steps(z, w, h, c)


def _steps(z: Any, w: Any, h: Any, c: Any, products: Products) -> Any:
    """Return outputs and cell states, and what makes the gradients of z, w, h and c."""

    def forward(state, z_t):
        # Keras's scan emits on TensorFlow as many values as it carries, of their shapes.
        h, c, *_ = state
        i, f, g, o = ops.split(z_t + products.forward(h, w), 4, axis=-1)
        i, f, g, o = ops.sigmoid(i), ops.sigmoid(f), ops.tanh(g), ops.sigmoid(o)
        c = f * c + i * g
        state = (o * ops.tanh(c), c, i, f, g, o)
        return state, state

    _, (hs, cs, i, f, g, o) = ops.scan(forward, (h, c, h, h, h, h), z)

    def gradient(*results, upstream=None):
        upstream = results[-1] if upstream is None else upstream
        tanh_c = ops.tanh(cs)
        before = ops.concatenate([c[None], cs[:-1]])
        to_c = o * (1 - tanh_c * tanh_c)
        # d z_t / d gate's input, times what it multiplies.
        slopes = (g * i * (1 - i), before * f * (1 - f), i * (1 - g * g), tanh_c * o * (1 - o))

        def backward(state, step):
            dh, dc, *_ = state
            dh_t, dc_t, f_t, to_c_t, *slopes_t = step
            dh = dh + dh_t
            dc = dc + dc_t + dh * to_c_t
            dz = [d * slope for d, slope in zip((dc, dc, dc, dh), slopes_t)]
            dh = products.to_inputs(ops.concatenate(dz, axis=-1), w)
            state = (dh, dc * f_t, *dz)
            return state, state

        none = ops.zeros_like(h)
        (dh, dc, *_), (_, _, *dz) = ops.scan(
            backward, (none,) * 6, (upstream[0], upstream[1], f, to_c, *slopes), reverse=True
        )
        dz = ops.concatenate(dz, axis=-1)
        hs_before = ops.concatenate([h[None], hs[:-1]])
        dw = products.to_weights(
            ops.reshape(hs_before, (-1, w.shape[0])), ops.reshape(dz, (-1, w.shape[1]))
        )
        return dz, dw, dh, dc

    return ops.stack([hs, cs]), gradient
