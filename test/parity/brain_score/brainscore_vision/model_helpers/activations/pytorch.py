"""In place of Brain-Score's module of this name."""

import numpy as np
import torch
from PIL import Image


class PytorchWrapper:
    def __init__(self, model, preprocessing, identifier=None):
        self._model, self._preprocessing, self.identifier = model, preprocessing, identifier

    def __call__(self, stimuli, layers):
        """stimuli: paths of images."""
        recorded = self.get_activations(self._preprocessing(stimuli), layers)
        return {layer: recorded[layer] for layer in layers}

    def get_activations(self, images, layer_names):
        recorded = {}
        hooks = [self.register_hook(self.get_layer(name), name, recorded) for name in layer_names]
        with torch.no_grad():
            self._model.eval()(torch.stack([torch.from_numpy(image) for image in images]))
        for hook in hooks:
            hook.remove()
        return recorded

    def get_layer(self, name):
        module = self._model
        if name == "logits":  # the last module of the last module
            while module._modules:
                module = list(module._modules.values())[-1]
            return module
        for part in name.split("."):
            module = module._modules[part]
        return module

    def register_hook(self, layer, name, target):
        def hook(_layer, _inputs, output):
            target[name] = output.numpy().copy()

        return layer.register_forward_hook(hook)


def load_preprocess_images(
    paths, image_size, normalize_mean=(0.485, 0.456, 0.406), normalize_std=(0.229, 0.224, 0.225)
):
    """The whole image, whatever its shape, at this size: [images, RGB, height, width]."""
    images = []
    for path in paths:
        with Image.open(path) as image:
            resized = image.convert("RGB").resize((image_size, image_size), Image.BILINEAR)
        pixels = np.asarray(resized, np.float32) / np.float32(255)
        normalised = (pixels - np.float32(normalize_mean)) / np.float32(normalize_std)
        images.append(normalised.transpose(2, 0, 1))
    return np.stack(images)
