"""In place of Brain-Score's module of this name."""


class ModelCommitment:
    """A model without time: what an area has is the same in every bin."""

    def __init__(self, identifier, activations_model, layers, behavioral_readout_layer=None, region_layer_map=None):
        self.identifier, self.activations_model, self.layers = identifier, activations_model, layers
        self.behavioral_readout_layer, self.region_layer_map = behavioral_readout_layer, region_layer_map

    def start_recording(self, region, time_bins):
        self._layer, self._time_bins = self.region_layer_map[region], time_bins

    def look_at(self, stimuli):
        recorded = self.activations_model(stimuli, layers=[self._layer])
        return [(self._layer, recorded[self._layer]) for _ in self._time_bins]
