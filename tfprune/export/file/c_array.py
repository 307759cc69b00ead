"""A .tflite file as an array that firmware includes."""

import re
from collections.abc import Sequence

_PER_LINE = 16


def source(content: bytes, *, name: str, comments: Sequence[str] = ()) -> str:
    """Writes a file as C++ source: an array on a 16-byte boundary, and its size.

    Args:
        content: The file.
        name: What the array is called, once what no identifier may have is "_"; the size is
            called the same with "_size" behind it.
        comments: Lines above it.

    Example:
        >>> print(source(bytes(3), name="my-model.tflite", comments=["Three zeros."]))
        // Three zeros.
        extern const unsigned char my_model[];
        extern const unsigned int my_model_size;
        alignas(16) const unsigned char my_model[] = {
          0x00, 0x00, 0x00,
        };
        const unsigned int my_model_size = 3;
        <BLANKLINE>
    """
    known = re.sub(r"\W", "_", name.removesuffix(".tflite"), flags=re.ASCII)
    known = f"model_{known}" if not known or known[0].isdigit() else known
    lines = [f"// {' '.join(line.split())}" for line in comments]
    lines += [
        f"extern const unsigned char {known}[];",
        f"extern const unsigned int {known}_size;",
        f"alignas(16) const unsigned char {known}[] = {{",
    ]
    for begin in range(0, len(content), _PER_LINE):
        row = content[begin : begin + _PER_LINE]
        lines.append(f"  {' '.join(f'0x{byte:02x},' for byte in row)}")
    return "\n".join([*lines, "};", f"const unsigned int {known}_size = {len(content)};", ""])
