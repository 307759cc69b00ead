"""What the help says that options can be is what the code takes."""

from tfprune import scorers
from tfprune.cli import choices
from tfprune.export.run.bench import RUNTIMES
from tfprune.scorers.protocol import needs_of
from tfprune.sparsity import distributions, stages
from tfprune.targets.target import DEVICES, MACHINES, QUANTIZE, TARGETS


def test_scorers_and_those_that_need_no_data_are_the_registered_ones():
    assert list(choices.SCORERS) == scorers.names()
    free = [name for name in scorers.names() if not needs_of(scorers.get(name))]
    assert list(choices.SCORERS_WITHOUT_DATA) == free


def test_distributions_and_spacings_are_all_that_there_are():
    assert list(choices.DISTRIBUTIONS) == distributions.names()
    assert choices.SPACINGS == stages.SPACINGS


def test_targets_machines_and_quantizations_are_those_of_the_exporter():
    assert choices.TARGETS == tuple(TARGETS)
    assert choices.MACHINES == tuple(MACHINES)
    assert choices.DEVICES == tuple(DEVICES)
    assert (None, *choices.QUANTIZE) == QUANTIZE


def test_runtimes_are_those_of_the_benchmark():
    assert choices.RUNTIMES == RUNTIMES
