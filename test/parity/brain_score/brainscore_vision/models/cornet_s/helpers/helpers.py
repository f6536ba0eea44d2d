"""In place of Brain-Score's module of this name."""

import re
from collections import Counter

from brainscore_vision.model_helpers.activations.pytorch import PytorchWrapper


class TemporalPytorchWrapper(PytorchWrapper):
    """Counts the calls of a module: `V4.output-t3` is the fourth."""

    def get_activations(self, images, layer_names):
        self._calls, self._hooks = Counter(), {}
        return super().get_activations(images, layer_names)

    def get_layer(self, name):
        return super().get_layer(re.sub("-t[0-9]+$", "", name))

    def register_hook(self, layer, name, target):
        name = re.sub("-t[0-9]+$", "", name)
        if name not in self._hooks:

            def hook(_layer, _inputs, output):
                target[f"{name}-t{self._calls[name]}"] = output.numpy().copy()
                self._calls[name] += 1

            self._hooks[name] = layer.register_forward_hook(hook)
        return self._hooks[name]


class CORnetCommitment:
    def __init__(self, identifier, activations_model, layers, time_mapping, behavioral_readout_layer=None):
        self.identifier, self.activations_model, self.layers = identifier, activations_model, layers
        self.time_mapping, self.behavioral_readout_layer = time_mapping, behavioral_readout_layer

    def start_recording(self, region, time_bins):
        self._region, self._time_bins = region, time_bins

    def look_at(self, stimuli):
        """For each bin that was asked for, the layer at the time step whose bin begins nearest to it."""
        layers = [layer for layer in self.layers if layer.startswith(self._region)]
        recorded = self.activations_model(stimuli, layers=layers)
        starts = {step: start for step, (start, _) in self.time_mapping[self._region].items()}
        nearest = [min(starts, key=lambda step: abs(starts[step] - start)) for start, _ in self._time_bins]
        return [(layer, recorded[layer]) for layer in (f"{self._region}.output-t{step}" for step in nearest)]
