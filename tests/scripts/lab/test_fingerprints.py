"""scripts/lab/fingerprints.py: what changes a fingerprint and what does not."""

import numpy as np
import pytest

from scripts.lab import fingerprints

CODE = '''
"""Text."""


class Named:
    """Text."""

    sizes: tuple[int, ...] = ()


@staticmethod
async def f(x: int | None = None, /, *, y: "float" = 2.5, **rest) -> dict[str, bytes]:
    """Text."""
    first = f"{x!r:>{y}}" u"text" f"{y=} {rest['a']:{x}.{y}f}{x:}"
    match x:
        case {"a": [1, *others], **more} if (n := len(others)):
            return {**more, None: (b"\\x00", "é"[::2, ...])}
        case Named(sizes=(2 | 3, _)) | None as found:
            pass
    async with y as z, z[x:, 1]:
        del z
    return lambda *_, k=-1j: (yield)
'''


def test_layout_comments_and_texts_do_not_count_but_code_does(tmp_path):
    (tmp_path / "a.py").write_text(
        '"""Text."""\n\n\ndef f(x):\n    """Doubles."""\n    return 2*x\n'
    )
    first = fingerprints.of_code([tmp_path])
    (tmp_path / "a.py").write_text(
        '"""Other."""\ndef f(x):  # twice\n    """."""\n    return 2 * x\n'
    )
    assert fingerprints.of_code([tmp_path]) == first
    (tmp_path / "a.py").write_text('"""Text."""\ndef f(x):\n    """Doubles."""\n    return 3 * x\n')
    assert fingerprints.of_code([tmp_path / "a.py"]) != first


def test_every_version_of_python_finds_the_same_fingerprint_of_code(tmp_path):
    (tmp_path / "a.py").write_text(CODE, encoding="utf-8")
    assert fingerprints.of_code([tmp_path]) == "66af396a760c"


@pytest.mark.parametrize(("other", "same"), [('u"b"', True), ("b'b'", False), ("None", False)])
def test_a_text_that_is_a_value_counts(other, same, tmp_path):
    (tmp_path / "a.py").write_text('x = "b"\n')
    (tmp_path / "b.py").write_text(f"x = {other}\n")
    found = [fingerprints.of_code([tmp_path / name]) for name in ("a.py", "b.py")]
    assert (found[0] == found[1]) == same


@pytest.mark.parametrize("place", ["none.py", "."])
def test_a_place_without_code_is_an_error(place, tmp_path):
    with pytest.raises(ValueError, match="there is no code at"):
        fingerprints.of_code([tmp_path / place])


def test_values_shapes_and_types_of_data_count():
    data = np.arange(6, dtype="int32")
    others = [data[::-1], data.reshape(2, 3), data.astype("int64"), np.append(data, 0)]
    found = {fingerprints.of_data(own) for own in [data, *others]}
    assert len(found) == 5
