"""What Brain-Score asks of a model: its activations, its layers, and where in the brain they belong."""

import functools
from collections import OrderedDict
from pathlib import Path

import torch
from brainscore_vision.model_helpers.activations.pytorch import PytorchWrapper, load_preprocess_images

from . import settings
from .network import AREAS, build_network

READOUT = "decoder.avgpool"


def get_brain_model(identifier):
    """The areas are those of the network: no layer is chosen by scores."""
    activations_model, layers = get_model(identifier), get_layers(identifier)
    commitment = {"identifier": identifier, "activations_model": activations_model, "layers": layers}
    if settings.TIME_BINS is None:
        from brainscore_vision.model_helpers.brain_transformation import ModelCommitment

        regions = {area: f"{area}.output" for area in AREAS}
        return ModelCommitment(**commitment, behavioral_readout_layer=READOUT, region_layer_map=regions)
    # Of Brain-Score's own plug-in of CORnet-S. It records the time step whose bin begins nearest to what is asked for.
    from brainscore_vision.models.cornet_s.helpers.helpers import CORnetCommitment

    return CORnetCommitment(
        **commitment, behavioral_readout_layer=f"{READOUT}-t0", time_mapping=settings.TIME_BINS
    )


def get_model(identifier):
    assert identifier == settings.IDENTIFIER
    network = build_network(settings.MODEL, settings.TIMES, settings.OUTPUTS)
    saved = torch.load(weights_file(), map_location="cpu", weights_only=True)
    network.load_state_dict({name.removeprefix("module."): value for name, value in saved["state_dict"].items()})
    preprocessing = functools.partial(
        load_preprocess_images,
        image_size=settings.IMAGE_SIZE,
        normalize_mean=settings.MEAN,
        normalize_std=settings.STD,
    )
    wrapper = wrapper_class()(identifier=identifier, model=network.eval(), preprocessing=preprocessing)
    wrapper.image_size = settings.IMAGE_SIZE
    return wrapper


def wrapper_class():
    if settings.TIME_BINS is None:
        return PytorchWrapper
    from brainscore_vision.models.cornet_s.helpers.helpers import TemporalPytorchWrapper

    class StepsAskedFor(TemporalPytorchWrapper):
        """Its parent records every time step of a layer, also those before the image has arrived there."""

        def get_activations(self, images, layer_names):
            recorded = super().get_activations(images=images, layer_names=layer_names)
            return OrderedDict((name, recorded[name]) for name in layer_names)

    return StepsAskedFor


def weights_file():
    """weights.pth beside this file, else what Brain-Score's storage has (settings.py)."""
    beside = Path(__file__).parent / "weights.pth"
    if beside.exists():
        return beside
    from brainscore_core.supported_data_standards.brainio.s3 import load_weight_file

    return load_weight_file(**settings.STORED_WEIGHTS)


def get_layers(identifier):
    assert identifier == settings.IDENTIFIER
    if settings.TIME_BINS is None:
        return [*(f"{area}.output" for area in AREAS), READOUT]
    return [
        *(f"{area}.output-t{step}" for area, bins in settings.TIME_BINS.items() for step in bins),
        f"{READOUT}-t0",
    ]


def get_bibtex(identifier):
    return SHALLOW_RECURRENT if settings.MODEL == "S" else CORE_OBJECT_RECOGNITION


CORE_OBJECT_RECOGNITION = """@article{Kubilius2018,
  title = {{CORnet}: Modeling the Neural Mechanisms of Core Object Recognition},
  author = {Kubilius, Jonas and Schrimpf, Martin and Nayebi, Aran and Bear, Daniel and Yamins, Daniel L. K. and
    DiCarlo, James J.},
  journal = {bioRxiv},
  year = {2018},
  doi = {10.1101/408385}
}"""

SHALLOW_RECURRENT = """@inproceedings{Kubilius2019,
  title = {Brain-Like Object Recognition with High-Performing Shallow Recurrent {ANNs}},
  author = {Kubilius, Jonas and Schrimpf, Martin and Kar, Kohitij and Rajalingham, Rishi and Hong, Ha and
    Majaj, Najib J. and Issa, Elias B. and Bashivan, Pouya and Prescott-Roy, Jonathan and Schmidt, Kailyn and
    Nayebi, Aran and Bear, Daniel and Yamins, Daniel L. K. and DiCarlo, James J.},
  booktitle = {Advances in Neural Information Processing Systems},
  year = {2019},
  eprint = {1909.06161},
  archivePrefix = {arXiv}
}"""
