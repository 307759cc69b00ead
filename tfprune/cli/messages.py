"""Messages of the package, in the words of the command line.

Functions name their arguments, `data=None`; whoever types a command knows options, `--data`.
"""

import re

# Arguments that are options under another name, or none.
_NAMES = {
    "model": "the model",
    "path": "the file",
    "paths": "the files",
    "rules": "--rule",
    "final_sparsity": "--sparsity",
    "update_weights": "--no-weight-update",
    "refresh_batch_norm": "--no-batch-norm-refresh",
    "sparse": "--dense",
}
_OPTIONS = (
    "arena_bytes data distribution epochs examples learning_rate loss lower_conv3x3 macs "
    "parameters quantize representative_data round_to runs runtime scope scorer seed spacing "
    "sparsity stages structure target threads unroll"
)
_NAMES |= {name: f"--{name.replace('_', '-')}" for name in _OPTIONS.split()}

_ARGUMENT = re.compile(r"(?<![\w`.])(?:--)?([a-z_]\w*)=(?=[^=\s])")  # name=value, once received
_GIVEN = re.compile(r"`(\w+)='?([^`']+)'?`")
_RULE = re.compile(r"\('([^']*)', (None|[\d.]+)\)")
_TYPE = re.compile(r" \(of type [\w.]+\)")


def for_users(message: object) -> str:
    """Return a message without the names that only Python has.

    Args:
        message: an error or a warning.

    Example:
        >>> for_users("`sparsity` must be <= 0.75. Received: sparsity=0.9 (of type float).")
        '--sparsity must be <= 0.75. Received: 0.9.'
        >>> for_users("`data` must hold examples. Received: data=None.")
        '--data must hold examples. Received: nothing.'
        >>> for_users("`threads` must be None with `runtime='wasm'`.")
        '--threads must not be given with --runtime wasm.'
        >>> for_users("A rule must match. Received: ('conv9', 0.5).")
        'A rule must match. Received: conv9=0.5.'
    """
    text = re.sub(r"`(\w+)`", lambda found: _NAMES.get(found[1], found[1]), str(message))
    text = _GIVEN.sub(lambda found: f"{_NAMES.get(found[1], found[1])} {found[2]}", text)
    text = re.sub(r"\bmust be (False|None)\b", "must not be given", text)
    said, received, values = text.partition("Received:")
    values = re.sub(r"\b[a-z_]\w*=None\b", "nothing", values)
    values = _ARGUMENT.sub("", values)
    values = _RULE.sub(lambda rule: f"{rule[1]}={rule[2].replace('None', 'dense')}", values)
    return said + received + _TYPE.sub("", values)
