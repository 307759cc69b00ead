import itertools

import numpy as np
import pytest

import tfprune
from tests.support.scorers.fisher_problems import STRUCTURES, fisher_of, problem
from tfprune.scorers.woodfisher import sections
from tfprune.scorers.woodfisher.saliency import best_subset, block_saliency
from tfprune.scorers.woodfisher.scorer import WoodFisher
from tfprune.sparsity.patterns import pattern_winners


@pytest.mark.parametrize("examples", [20, 200])
@pytest.mark.parametrize("structure", STRUCTURES, ids=str)
def test_groups_score_by_their_joint_saliency_spread_evenly(structure, examples):
    weights, gradients = problem({"w": (7, 10)}, examples, structures={"w": structure})
    found = WoodFisher(block_size="layer", damping=0.01)(weights, gradients)["w"]
    inverse, w = np.linalg.inv(fisher_of(gradients, 0.01)), weights["w"].ravel()
    labels = structure.labels((7, 10)).ravel()
    for label in range(labels.max() + 1):
        members = np.flatnonzero(labels == label)
        saliency = 0.5 * w[members] @ np.linalg.solve(inverse[np.ix_(members, members)], w[members])
        assert np.allclose(found.ravel()[members], saliency / members.size, rtol=1e-7)


@pytest.mark.parametrize("structure", [*STRUCTURES, tfprune.NofM(2, 4), tfprune.NofM(1, 3, -1)])
def test_blocks_of_the_fisher_do_not_split_groups(structure):
    shape = (3, 3, 6, 10)
    _, gradients = problem({"w": shape}, structures={"w": structure}, examples=2)
    weights = {"w": np.ones(shape)}
    found = list(sections.sections_of(weights, gradients, 250))
    assert [section.size for section in found] == [540]
    section = found[0]
    assert sorted(section.orders[0]) == list(range(540)) and not section.elementwise
    assert {stop for _, stop in section.blocks} <= set(section.ends)
    starts = [0, *(stop for _, stop in section.blocks)]
    assert [start for start, _ in section.blocks] == starts[:-1] and starts[-1] == 540
    largest = max(np.diff(section.ends, prepend=0))
    assert all(250 - largest < stop - start <= 250 for start, stop in section.blocks[:-1])


def test_blocks_hold_the_weights_of_whole_output_units():
    shape = (3, 3, 4, 10)
    for structure in (tfprune.Unstructured(), tfprune.Block(4, 1), tfprune.NofM(2, 4)):
        _, gradients = problem({"w": shape}, structures={"w": structure}, examples=2)
        section = next(iter(sections.sections_of({"w": np.ones(shape)}, gradients, 72)))
        outputs = np.unravel_index(section.orders[0], shape)[-1]
        assert [outputs[start:stop].tolist() for start, stop in section.blocks] == [
            [first] * 36 + [first + 1] * 36 for first in range(0, 10, 2)
        ]


def test_channels_that_do_not_fit_a_block_score_the_sum_of_their_elements():
    weights, gradients = problem({"w": (30, 4)}, structures={"w": tfprune.Channel(-1)})
    found = WoodFisher(block_size=25, damping=0.1)(weights, gradients)["w"]
    gradients.structures = {"w": tfprune.Unstructured()}
    assert np.array_equal(found, WoodFisher(block_size=25, damping=0.1)(weights, gradients)["w"])


@pytest.mark.parametrize("block_size", [24, "layer"])
@pytest.mark.parametrize("structure", [tfprune.NofM(2, 4), tfprune.NofM(1, 4), tfprune.NofM(3, 5)])
def test_patterns_remove_exactly_the_best_subset(structure, block_size):
    weights, gradients = problem({"w": (10, 6)}, structures={"w": structure}, examples=40)
    # Members of a group that move together cost least when they go together.
    gradients.per_example()["w"] += np.random.default_rng(1).normal(size=(40, 1, 6))
    scorer = WoodFisher(block_size=block_size, damping=0.01)
    scores = scorer(weights, gradients)["w"]
    removed = ~pattern_winners(scores, structure.kept, structure.m, structure.axis)
    section = next(iter(sections.sections_of(weights, gradients, block_size)))
    fisher, w = fisher_of(gradients, 0.01), weights["w"].ravel()
    differs_from_single_scores = 0
    for start, stop in section.blocks:
        block = section.orders[0][start:stop]
        inverse = np.linalg.inv(fisher[np.ix_(block, block)])
        for members in np.split(np.arange(block.size), section.groups_of(start, stop)[0][:-1]):
            gone = members.size - structure.kept
            found = removed.ravel()[block[members]]
            if gone <= 0:
                assert not found.any()
                continue
            cost = {
                subset: 0.5
                * w[block][list(subset)]
                @ np.linalg.solve(inverse[np.ix_(subset, subset)], w[block][list(subset)])
                for subset in itertools.combinations(members, gone)
            }
            best = min(cost, key=cost.get)
            assert found.tolist() == np.isin(members, best).tolist()
            shares = scores.ravel()[block[list(best)]]
            assert np.allclose(shares, cost[best] / gone, rtol=1e-7)
            single = (w[block] ** 2 / np.diagonal(inverse))[members]
            differs_from_single_scores += set(members[np.argsort(single)[:gone]]) != set(best)
    assert differs_from_single_scores > 0


def test_patterns_in_progress_remove_the_cheapest_groups_and_stay_consistent():
    structure = tfprune.NofM(2, 4)
    weights, gradients = problem({"w": (16, 6)}, structures={"w": structure})
    scores = WoodFisher(damping=0.01)(weights, gradients)["w"]
    half = tfprune.masks.make_mask(scores, 0.25, structure=structure)
    lost = ~pattern_winners(scores, 2, 4, -2)
    assert scores[~half].max() <= scores[half & lost].min()
    weights, gradients = problem({"w": (16, 6)}, structures={"w": structure}, masks={"w": half})
    scores = WoodFisher(damping=0.01)(weights, gradients)["w"]
    full = tfprune.masks.make_mask(np.where(half, scores, -np.inf), 0.5, structure=structure)
    assert full.sum() == 48 and not (full & ~half).any()
    assert (full.reshape(4, 4, 6).sum(axis=1) == 2).all()


def test_the_best_subset_is_the_cheapest_of_all():
    random = np.random.default_rng(5)
    root = random.normal(size=(20, 5, 7))
    inverse, u = root @ root.transpose(0, 2, 1), random.normal(size=(20, 5))
    chosen, cost = best_subset(inverse, u, 3)
    for group in range(20):
        costs = {
            subset: float(block_saliency(inverse[group][np.ix_(subset, subset)], u[group, subset]))
            for subset in itertools.combinations(range(5), 3)
        }
        best = min(costs, key=costs.get)
        assert np.flatnonzero(chosen[group]).tolist() == list(best)
        assert np.isclose(cost[group], costs[best], rtol=1e-9)
