"""The guide on exporting: the options, tolerances and limits are those of the code."""

import inspect
import json
import re

import tfprune
from scripts.bench import integer_kernels
from tests.support import guides
from tfprune.export.run import verify
from tfprune.sparsity.structures import Block, Unstructured
from tfprune.targets.target import TARGETS

EXPORT = guides.read("tfprune/export/README.md")
LIMITS = " ".join(guides.section(EXPORT, "Limits").split())


def test_the_options_of_the_export_are_all_in_its_table():
    table = EXPORT.split("\n| option of ")[1].split("\n\n")[0]
    named = re.findall(r"^\| `(\w+)[=`]", table, re.MULTILINE)
    known = set(inspect.signature(tfprune.export.to_tflite).parameters) - {"model", "path"}
    assert set(named) == known
    for kind in filter(None, tfprune.targets.structures.QUANTIZE):
        assert f'"{kind}"' in EXPORT
    for target in tfprune.targets.structures.TARGETS:
        assert f'"{target}"' in EXPORT


def test_the_tolerances_in_the_text_are_those_of_the_code():
    (sentence,) = re.findall(r"Of an output's scale it allows .*?\. ", LIMITS)
    numbers = [float(number) for number in re.findall(r"\d\.\d+", sentence)]
    assert numbers == sorted(set(verify.TOLERANCES.values()))
    kinds = ("int8_weights", "dynamic", "int8")
    assert {verify.TOLERANCES[kind] for kind in kinds} == {numbers[-2]}
    (kernels,) = re.findall(r"with itself on all kernels, within ([\d.]+) \(([\d.]+) and", LIMITS)
    assert tuple(map(float, kernels)) == (verify._SAME_FILE, verify._INTEGER_STEPS)


def test_the_sparsities_that_pay_in_the_text_are_those_of_the_code():
    (sentence,) = re.findall(r"large weights that fit its cache from .*?\. ", LIMITS, re.S)
    x86, wasm = (
        [
            TARGETS[target].pays_from(structure, dynamic=dynamic)
            for structure, dynamic in (
                (Block(4, 1), False),
                (Unstructured(), False),
                (Block(16, 1), True),
                (Block(16, 1), False),
            )
        ]
        for target in ("x86", "wasm")
    )
    assert re.findall(r"\b\d\d\b(?=[ ,]|\.)", sentence.replace("`Block(16, 1)`", "")) == [
        f"{100 * value:.0f}" for value in (*x86, *wasm)
    ]
    (beyond,) = re.findall(r'memory is what they wait for \("int8": (\d+) %\)', LIMITS)
    assert float(beyond) / 100 == TARGETS["x86"].pays_from(Block(16, 1), nbytes=2**22)


def test_the_figures_of_int8_on_x86_are_those_that_were_measured():
    records = json.loads(integer_kernels.OUT.read_text())["records"]
    found = {(each["quantize"], each["zeros"]): each for each in records}
    (text,) = re.findall(r'On x86, "int8" does not reach.*?integer_kernels', LIMITS)
    speed_ups = [found["int8", zeros]["speed_up"] for zeros in (0.9, 0.95, 0.98, 0.0)]
    speed_ups += [found["dynamic", zeros]["speed_up"] for zeros in (0.9, 0.95, 0.98)]
    assert re.findall(r"(?<![\d,])\d\.\d\b", text) == [f"{each:.1f}" for each in speed_ups]
    shares = [f"{each:.0f}" for each in found["int8", 0.95]["functions"].values()]
    assert re.findall(r"(?<!at )\b(\d+) %(?: of the time|\))", text) == shares
    names = " ".join(found["int8", 0.95]["functions"])
    for part in ("NeonSparseMatrix", "MultiplyByQuantizedMultiplier", "VerifySparsity"):
        assert part in names
    assert any("avx512vnni" in name for name in found["int8", 0.0]["functions"])
