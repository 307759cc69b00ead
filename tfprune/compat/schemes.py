"""What `quantize_apply` keeps besides: nothing, zeros, or shared values."""

from tfprune.support.validation import require_flag


class Default8BitQuantizeScheme:
    """Weights of 8 bits, symmetric, one scale a channel; activations of 8 bits."""


class Default8BitPrunePreserveQuantizeScheme(Default8BitQuantizeScheme):
    """The same, with the zeros of a pruned model, which stay with any scheme here."""


class Default8BitClusterPreserveQuantizeScheme(Default8BitQuantizeScheme):
    """The same, with the few values of a clustered model.

    Args:
        preserve_sparsity: taken as there; zeros stay in any case.

    Raises:
        TypeError: if it is no bool.
    """

    def __init__(self, preserve_sparsity: bool = True):
        self.preserve_sparsity = require_flag("preserve_sparsity", preserve_sparsity)
