"""scripts/lab/fingerprints.py: what changes a fingerprint and what does not."""

import numpy as np
import pytest

from scripts.lab import fingerprints


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


@pytest.mark.parametrize("place", ["none.py", "."])
def test_a_place_without_code_is_an_error(place, tmp_path):
    with pytest.raises(ValueError, match="there is no code at"):
        fingerprints.of_code([tmp_path / place])


def test_values_shapes_and_types_of_data_count():
    data = np.arange(6, dtype="int32")
    others = [data[::-1], data.reshape(2, 3), data.astype("int64"), np.append(data, 0)]
    found = {fingerprints.of_data(own) for own in [data, *others]}
    assert len(found) == 5
