"""Prints as JSON what TensorBoard itself reads in a folder of event files: python3 read_events.py FOLDER"""
import json
import sys

from google.protobuf.json_format import MessageToDict
from tensorboard.backend.event_processing import event_accumulator
from tensorboard.plugins.hparams import plugin_data_pb2

everything = {event_accumulator.SCALARS: 0, event_accumulator.IMAGES: 0, event_accumulator.TENSORS: 0}
events = event_accumulator.EventAccumulator(sys.argv[1], size_guidance=everything)
events.Reload()


def hparams(content):
    return MessageToDict(plugin_data_pb2.HParamsPluginData.FromString(content))


json.dump(
    {
        "scalars": {
            tag: [[event.step, event.value] for event in events.Scalars(tag)] for tag in events.Tags()["scalars"]
        },
        "images": {
            tag: [[event.step, event.width, event.height, event.encoded_image_string.hex()] for event in events.Images(tag)]
            for tag in events.Tags()["images"]
        },
        "hparams": {tag: hparams(content) for tag, content in events.PluginTagToContent("hparams").items()},
    },
    sys.stdout,
)
