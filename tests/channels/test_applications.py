"""Whole networks of keras.applications; scripts/bench/channels.py checks all the others."""

import keras
import pytest

from tests.support.channel_models import unsettle
from tfprune import channels


@pytest.mark.parametrize(
    ("name", "options"),
    [("MobileNetV2", {"alpha": 0.35}), ("MobileNetV3Small", {"alpha": 0.75})],
    ids=["inverted residuals", "squeeze and excite"],
)
def test_half_of_the_channels_are_removed_exactly(name, options):
    build = getattr(keras.applications, name)
    model = unsettle(build(weights=None, input_shape=(32, 32, 3), classes=10, **options))
    plan = channels.plan(model, 0.5, scope="layer")
    small = channels.prune(model, plan)
    assert plan.exact and channels.verify(model, plan, small) < 1e-5
    assert small.count_params() < 0.45 * model.count_params()
