"""UpdatePruningStep with the signature of tensorflow-model-optimization."""

from tfprune.pruning import callbacks


class UpdatePruningStep(callbacks.UpdatePruningStep):
    """Keep the masks on schedule during `fit`; see `tfprune.UpdatePruningStep`.

    It takes no arguments, since pruning by magnitude needs no examples.

    Example:
        >>> isinstance(UpdatePruningStep(), callbacks.UpdatePruningStep)
        True
    """

    def __init__(self) -> None:
        super().__init__()
