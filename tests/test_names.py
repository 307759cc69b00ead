"""The names that type checkers know are those that the functions take."""

import configparser
import typing
from pathlib import Path

import tfprune
from tfprune.scorers import protocol
from tfprune.sparsity import distributions
from tfprune.targets import target
from tfprune.targets.target import DEVICES, QUANTIZE, TARGETS


def test_type_checkers_know_the_names_that_are_taken():
    taken = {
        protocol.ScorerName: tfprune.scorers.names(),
        distributions.DistributionName: distributions.names(),
        target.TargetName: [*TARGETS, *DEVICES],
        target.QuantizeName: [name for name in QUANTIZE if name is not None],
    }
    for known, found in taken.items():
        assert {*typing.get_args(known)} == {*found}


def test_the_package_says_that_it_is_typed():
    assert (Path(tfprune.__file__).parent / "py.typed").is_file()
    setup = configparser.ConfigParser()
    setup.read(Path(tfprune.__file__).parents[1] / "setup.cfg")
    assert setup["options.package_data"]["tfprune"] == "py.typed"
