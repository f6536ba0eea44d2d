"""Runs an exported plug-in of Brain-Score with stand-ins for Brain-Score's packages (brain_score/).

    brain_score.py facts IDENTIFIER                       what it registers, as one line of JSON
    brain_score.py activations IDENTIFIER IMAGES TARGET LAYER...   what layers have for IMAGES (float32, normalised):
                                                          TARGET/<n>
    brain_score.py look IDENTIFIER AREA BINS TARGET IMAGE...   what it records of image files in each bin: TARGET/<n>
    brain_score.py test IDENTIFIER                        its own tests

`activations` and `look` print the layers and their shapes as one line of JSON. PYTHONPATH has the stand-ins, with the
plug-in among their models.
"""

import importlib
import json
import sys
from pathlib import Path

import brainscore_vision
import numpy as np

command, identifier, *arguments = sys.argv[1:]
model = brainscore_vision.load_model(identifier)


def write(target, recorded):
    for n, (_, values) in enumerate(recorded):
        values.tofile(Path(target) / str(n))
    print(json.dumps([[layer, list(values.shape)] for layer, values in recorded]))


if command == "facts":
    plugin = importlib.import_module(f"brainscore_vision.models.{identifier}.model")
    facts = {
        "commitment": type(model).__name__,
        "identifier": [model.identifier, model.activations_model.identifier],
        "layers": model.layers,
        "readout": model.behavioral_readout_layer,
        "regions": getattr(model, "region_layer_map", None),
        "bins": getattr(model, "time_mapping", None),
        "image_size": model.activations_model.image_size,
        "bibtex": plugin.get_bibtex(identifier),
    }
    print(json.dumps(facts))
elif command == "activations":
    images, target, *layers = arguments
    size = model.activations_model.image_size
    pixels = np.fromfile(images, np.float32).reshape(-1, 3, size, size)
    write(target, list(model.activations_model.get_activations(list(pixels), layers).items()))
elif command == "look":
    area, bins, target, *images = arguments
    model.start_recording(area, [tuple(bounds) for bounds in json.loads(bins)])
    write(target, model.look_at(images))
elif command == "test":
    tests = importlib.import_module(f"brainscore_vision.models.{identifier}.test")
    for name, function in vars(tests).items():
        if name.startswith("test_"):
            function()
            print(name)
