"""Every generated table by its name, from the files in scripts/results."""

import functools
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from scripts.arm64 import arm64_table
from scripts.bench.coverage.tables import coverage, reasons
from scripts.bench.language.tables import language_steps
from scripts.bench.structured_matrices.tables import structured_matrices
from scripts.comparison import comparison_table
from scripts.comparison.families import FAMILIES
from scripts.lab import tables
from scripts.readme import (
    channels_tables,
    export_tables,
    fashion_table,
    saliency_tables,
)
from scripts.readme.core_table import (
    core,
    distilled,
    embedding,
    layers,
    reconstruction,
    structures,
)
from scripts.readme.gains_table import gains
from scripts.readme.markdown import with_caption
from scripts.readme.quickstart_table import DATA, quickstart
from scripts.readme.scorer_table import scorers
from scripts.studies.budget_search.methods_table import together
from scripts.studies.clustering.values_table import values
from scripts.studies.deep_compression.stages_table import stages
from scripts.studies.low_rank import factor_tables
from scripts.studies.quantization.accuracy_table import quantized
from scripts.studies.survey import survey_table

Read = Callable[[str], dict[str, Any]]  # name of a results file, without .json -> its content


def reader(results: Path) -> Read:
    """What reads the results files of a folder.

    Raises, when called:
        OSError: if the file is missing.
        ValueError: if it is no JSON.
    """

    def read(name: str) -> dict[str, Any]:
        file = results / f"{name}.json"
        try:
            return json.loads(file.read_text(encoding="utf-8"))
        except ValueError as error:
            raise ValueError(f"{file} must be JSON ({error}).") from error

    return read


def _quickstart(read: Read) -> str:
    return quickstart([read(f"quickstart-{name}/results") for name in DATA])


def _scorers(read: Read) -> str:
    names = ("one_shot_table", "gradual_comparison", "oracle_correlation")
    return with_caption(scorers(*map(read, names)))


def _one(
    make: Callable[[dict[str, Any]], tables.Table], name: str, left: int = 1
) -> Callable[[Read], str]:
    """A table from one results file."""
    return lambda read: with_caption(make(read(name)), left=left)


def _optimizer_state(read: Read) -> str:
    """Batches are those of both recipes."""
    run = read("optimizer_state")
    settings = run["settings"]
    return with_caption(tables.gradual({**run, "settings": {**settings, **settings["adam"]}}))


def _mobilenet(read: Read) -> str:
    """Accuracies, then files."""
    run = read("mobilenet_imagenet")
    accuracy = with_caption(export_tables.mobilenet_accuracy(run))
    return f"{accuracy}\n{with_caption(export_tables.mobilenet_files(run), left=2)}"


def _survey(read: Read) -> str:
    """Ours, then what was published."""
    ours = with_caption(survey_table.survey(read("survey")), left=2)
    return f"{ours}\n{with_caption(survey_table.published(), left=3)}"


def _language_steps(read: Read) -> str:
    benches = (read(f"bench_{name}") for name in ("lstm_step", "lstm_mixed"))
    return with_caption(language_steps(*benches), left=2)


DEEP = ("lenet_300_100", "lenet_5")  # networks with results of Deep Compression

# Large and sparse against small and dense: the results of each family.
FILES = {"cnn": "cnn_cifar10", "lstm": "lstm_paper", "nmt": "nmt_multi30k"}

# Those that became files.
EXPORTED = {"cnn": "cnn_cifar10", "lstm": "lstm_ptb", "nmt": "nmt_multi30k"}

TABLES: dict[str, Callable[[Read], str]] = {
    "gains": lambda read: with_caption(gains(read)),
    "scorers": _scorers,
    "quickstart": _quickstart,
    "core": lambda read: core(read("bench_core")),
    "embedding": lambda read: embedding(read("bench_embedding")),
    "distill": lambda read: distilled(read("bench_distill")),
    "reconstruction": lambda read: reconstruction(read("bench_reconstruction")),
    "layers": lambda read: layers(read("bench_layers")),
    "structures": lambda read: structures(read("bench_structures")),
    "one_shot": _one(tables.one_shot, "one_shot_table"),
    "gradual": _one(tables.gradual, "gradual_comparison"),
    "schedules": _one(tables.gradual, "ablate_schedule"),
    "optimizer_state": _optimizer_state,
    **{
        name: _one(functools.partial(comparison_table.readme, family), FILES[name])
        for name, family in FAMILIES.items()
    },
    "lstm_ptb": _one(functools.partial(comparison_table.readme, FAMILIES["lstm"]), "lstm_ptb"),
    **{
        f"exported_{name}": _one(
            functools.partial(comparison_table.files, family), f"exported_{file}", left=1
        )
        for name, file in EXPORTED.items()
        for family in [FAMILIES[name]]
    },
    "exported_cnn_quarter": _one(
        functools.partial(comparison_table.files, FAMILIES["cnn"]), "exported_cnn_quarter", left=1
    ),
    "language_steps": _language_steps,
    "oracle": _one(saliency_tables.oracle, "oracle_correlation", left=2),
    "fisher": _one(saliency_tables.fisher, "bench_fisher"),
    "gradients": _one(saliency_tables.gradients, "bench_gradients"),
    "bench_export": _one(export_tables.speed, "bench_export", left=4),
    "export_sizes": _one(export_tables.sizes, "bench_export", left=3),
    "budget_search": _one(together, "budget_search", left=2),
    "quantized_resnet20": _one(quantized, "quantization_resnet20", left=2),
    "quantized_lstm": _one(quantized, "quantization_lstm", left=2),
    "clustering": _one(values, "clustering"),
    "deep_compression": lambda read: with_caption(
        stages({name: read(f"deep_compression_{name}_fashion_mnist") for name in DEEP}), left=2
    ),
    "structured_matrices": _one(structured_matrices, "bench_structured_matrices"),
    "coverage": _one(coverage, "bench_coverage"),
    "coverage_reasons": _one(reasons, "bench_coverage"),
    "mobilenet": _mobilenet,
    "arm64": _one(arm64_table.devices, "bench_arm64", left=2),
    "channels_seconds": _one(channels_tables.seconds, "bench_channels"),
    "channels_files": _one(channels_tables.files, "bench_channel_files", left=4),
    "channels_accuracy": _one(channels_tables.accuracy, "structured_resnet20"),
    "channels_accuracy_resnet56": _one(channels_tables.accuracy, "structured_resnet56"),
    "channels_recovery": _one(channels_tables.recovery, "structured_resnet20"),
    "channels_mobilenet": _one(channels_tables.mobilenet, "mobilenet_channels", left=2),
    "factors_resnet20": _one(factor_tables.residual, "low_rank_resnet20"),
    "factors_alexnet": _one(factor_tables.images, "low_rank_alexnet"),
    "factors_ptb": _one(factor_tables.words, "low_rank_ptb"),
    "survey": _survey,
    "fashion_export": _one(fashion_table.fashion_export, "fashion_export", left=3),
}
