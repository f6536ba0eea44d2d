"""For pytest, in a clone of brain-score/vision."""

import brainscore_vision
import numpy as np

from . import settings


def test_identifier():
    model = brainscore_vision.load_model(settings.IDENTIFIER)
    assert model.identifier == settings.IDENTIFIER


def test_layers():
    """Every layer is recorded at every time step that has a bin, and differs from image to image."""
    model = brainscore_vision.load_model(settings.IDENTIFIER)
    pixels = np.random.RandomState(0).randn(2, 3, settings.IMAGE_SIZE, settings.IMAGE_SIZE)
    recorded = model.activations_model.get_activations(list(pixels.astype(np.float32)), model.layers)
    for layer in model.layers:
        first, second = recorded[layer]
        assert np.isfinite(recorded[layer]).all(), layer
        assert not np.array_equal(first, second), layer
