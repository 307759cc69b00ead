"""What the kept weights should become when others are removed, and what that should cost.

A block of B unmasked weights has the local model of the loss

    dL(delta) = t g^T delta + 1/2 delta^T F delta,    F = lambda I + G^T G / N,  g = G^T 1 / N,

with t = 0 in WoodFisher and 0 < t <= 1 in WoodTaylor. Its minimum under delta_Q = -w_Q is

    delta_K = F_KK^-1 (F_KQ w_Q - t g_K) = G_K^T (N lambda I + G_K G_K^T)^-1 (G_Q w_Q - t 1),

the joint update, since F_KQ = G_K^T G_Q / N. The paper adds up the updates for each q of Q alone,

    delta = -t f - F^-1 sum_q e_q (w_q - t f_q) / [F^-1]_qq,    f = F^-1 g,

which is exact for a single q. For groups that go together q is the group and the quotient is
([F^-1]_QQ)^-1 (w_Q - t f_Q).

The trust region. f grows like 1 / lambda along directions without curvature. t is the largest
number <= 1 for which the first-order step is no longer than a share `trust_region` of the weights:
|t f_b| <= trust_region |w_b| in each block, f_K and the weights of the block for the joint update.
Replacing g by t g leaves all of the above exact for the damped gradient.

Source: Singh & Alistarh, arXiv 2004.14340, sections 3.2 and B; the joint update is the optimal
brain surgeon's for several weights at once.
Deviations: the trust region is not in the paper, which takes t = 1.
"""

from collections.abc import Iterable, Mapping

import numpy as np

from tfprune.scorers.woodfisher import factor as blocks
from tfprune.scorers.woodfisher.saliency import group_multipliers
from tfprune.scorers.woodfisher.sections import Section


def first_order_step(factor: blocks.Factor, limit: float) -> tuple[np.ndarray, float]:
    """Return (t f, t) of a block with t <= 1 such that |t f| <= limit.

    Args:
        factor: the block.
        limit: longest step, >= 0.
    """
    step = factor.pull(np.ones(factor.columns.shape[0]))
    length = float(np.linalg.norm(step))
    scale = 1.0 if length <= limit else limit / length
    return scale * step, scale


def joint_update(
    section: Section, w: np.ndarray, removed: np.ndarray, damping: float, share: float | None
) -> np.ndarray:
    """Return delta (size,) of the joint update, -w on the removed weights.

    Args:
        section: its weights.
        w: (size,), their values.
        removed: (size,) boolean, Q.
        damping: lambda > 0.
        share: the trust region, or None without a first-order term.
    """
    delta = np.where(removed, -w, 0.0)
    kept_columns = section.columns(~removed)
    kept_before = np.concatenate([[0], np.cumsum(~removed)])
    gradients = section.columns()
    for start, stop in section.blocks:
        low, high = int(kept_before[start]), int(kept_before[stop])
        if low == high or high - low == stop - start:
            continue
        pull = -project(gradients, start, stop, delta[start:stop])
        factor = blocks.factorise(kept_columns, low, high, damping)
        if share is not None:
            pull -= first_order_step(factor, share * float(np.linalg.norm(w[start:stop])))[1]
        delta[start:stop][~removed[start:stop]] = factor.pull(pull)
    return delta


def sum_update(
    section: Section, w: np.ndarray, removed: np.ndarray, damping: float, share: float | None
) -> np.ndarray:
    """Return delta (size,) of the paper's sum, -w on the removed weights; as `joint_update`."""
    delta = np.zeros(w.size)
    gradients = section.columns()
    for start, stop in section.blocks:
        gone = removed[start:stop]
        if not gone.any():
            continue
        factor = blocks.factorise(gradients, start, stop, damping)
        u, step = w[start:stop], np.zeros(stop - start)
        if share is not None:
            step, _ = first_order_step(factor, share * float(np.linalg.norm(u)))
            u = u - step
        if section.elementwise:
            z = np.where(gone, u / factor.diagonal(), 0.0)
        else:
            z = group_multipliers(factor, section.groups_of(start, stop)[0], gone, u)
        delta[start:stop] = -step - factor.solve(z)
    return np.where(removed, -w, delta)


def project(
    columns: blocks.ExampleGradients, start: int, stop: int, delta: np.ndarray
) -> np.ndarray:
    """Return G delta (N,) for columns `start:stop`."""
    found = np.zeros(columns.shape[0])
    for low, high in blocks.pieces(start, stop, found.size):
        part = delta[low - start : high - start]
        if part.any():
            found += blocks.read(columns, low, high) @ part
    return found


def predicted_change(
    sections: Iterable[Section],
    before: Mapping[str, np.ndarray],
    after: Mapping[str, np.ndarray],
    linear: bool,
) -> float:
    """Return 1/2 mean((G delta)^2), plus mean(G delta) if `linear`, delta = after - before.

    This is the local model without its damping, over all weights together: the empirical Fisher
    between blocks counts here, although the updates ignore it.

    Args:
        sections: all `Section`s of the weights.
        before, after: name -> weights; masked elements do not count.
        linear: whether the gradient counts.
    """
    total: np.ndarray | float = 0.0
    for section in sections:
        delta = section.gather(after) - section.gather(before)
        total = total + project(section.columns(), 0, section.size, delta)
        section.release()
    change = 0.5 * np.mean(np.square(total))
    return float(change + np.mean(total) if linear else change)
