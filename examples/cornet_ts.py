"""What cornet-ts wrote, in Python: features as arrays, a run as a table, a checkpoint as a PyTorch module.

    areas = cornet_ts.features('features')       # of `cornet features -o features`
    matrix = cornet_ts.rdm(areas['IT.output'])   # how dissimilar the responses to any two images are
    table = cornet_ts.run('runs/z')              # losses and accuracies, step by step
    model = cornet_ts.load('runs/z')             # the latest checkpoint, as a torch.nn.Module

Copy this file beside your own. It needs numpy; `features` uses xarray if it is installed, `run` needs pandas, `images`
and `load` need torch. Nothing here writes a file.
"""

import json
from pathlib import Path

import numpy as np

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of ImageNet's images, by channel


def features(folder):
    """The features in a folder: a dict from the name of an output (`IT.output-t1`) to its values for every image.

    The values are an xarray.DataArray, float32 or float16, with the dimensions (image, channel, y, x), or (image, unit)
    for an output without a place in the image. They have no unit: they are activations. The coordinates of `image` are
    its path in the data folder and `label`, the name of the folder that it is in; of a clip (--frames) its name and ''.
    `attrs` tell model, layer and time step. Values in .npy files are read from the disk when you use them, so they may
    be larger than the memory. An image that could not be decoded (--skip-unreadable) is a row of NaN. Without xarray you
    get the dict that `DataArray.to_dict` would give.
    """
    try:
        from xarray import DataArray
    except ImportError:
        DataArray = None
    outputs = {}
    paths = sorted(Path(folder).glob('*_feats.np[yz]'))
    if not paths:
        raise FileNotFoundError(f'{folder} holds no features: name the --output-path of `cornet features`')
    for path in paths:
        about = json.loads(path.with_suffix('.json').read_text(encoding='utf-8'))
        stored = np.load(path, mmap_mode='r')
        for array in about['arrays']:
            shape = array['image_shape']
            dims = ('image', 'channel', 'y', 'x') if len(shape) == 3 else ('image', 'unit')
            values = stored[array['name']] if path.suffix == '.npz' else stored
            coords = {
                'image': {'dims': ('image',), 'data': about['files']},
                'label': {'dims': ('image',), 'data': [Path(file).parent.name for file in about['files']]},
            }
            told = {key: array[key] for key in ('tap', 'layer', 'sublayer', 'time_step', 'call')}
            attrs = {key: value for key, value in told.items() if value is not None}
            attrs = {'model': about['settings']['model'], **attrs}
            data = values.reshape(-1, *shape)
            output = {'name': array['tap'], 'dims': dims, 'data': data, 'coords': coords, 'attrs': attrs}
            outputs[array['tap']] = output if DataArray is None else DataArray.from_dict(output)
    return outputs


def rdm(features, metric='correlation'):
    """The representational dissimilarity matrix (RDM) of an output: a float64 array (image, image).

    `features` is an output of `features`, or an array whose first dimension is that of the images. `metric` is
    'correlation' (1 - Pearson's correlation between the responses to two images), 'cosine' (1 - the cosine of the angle
    between them) or 'euclidean' (their distance), as in scipy.spatial.distance.pdist. An image that could not be
    decoded has NaN in its row and column, as has one with the same response of every unit (or none, for 'cosine').
    """
    values = features['data'] if isinstance(features, dict) else features
    responses = np.asarray(values, np.float64).reshape(len(values), -1)
    if metric == 'euclidean':
        return np.stack([np.linalg.norm(responses - response, axis=1) for response in responses])
    if metric == 'correlation':
        responses = responses - responses.mean(axis=1, keepdims=True)
    elif metric != 'cosine':
        raise ValueError(f"metric must be 'correlation', 'cosine' or 'euclidean', not {metric!r}")
    with np.errstate(invalid='ignore'):  # 0 / 0 is NaN
        responses = responses / np.linalg.norm(responses, axis=1, keepdims=True)
    matrix = np.clip(1 - responses @ responses.T, 0, 2)
    np.fill_diagonal(matrix, 0 * matrix.diagonal())  # exactly 0, which scipy's squareform demands, or NaN
    return matrix


def run(folder):
    """The metrics of a run: a pandas.DataFrame with one row per step. Works while the run is active, too.

    `epoch` counts passes over the training images. `train/loss` is the mean cross-entropy (in nats) of the step's
    images, `val/loss` that of all validation images; `…/top1` and `…/top5` are fractions from 0 to 1. `val/…` is NaN at
    steps without a validation.
    """
    from pandas import DataFrame

    text = Path(folder, 'metrics.jsonl').read_text(encoding='utf-8')
    whole = text[: text.rfind('\n') + 1].splitlines()  # an active run may be writing the next line
    return DataFrame([json.loads(line) for line in whole]).groupby('step').first()


def weights(checkpoint, which='latest'):
    """The weights of a checkpoint: a dict from the reference implementation's name to an array; and its settings.

    `checkpoint` is a .safetensors file, or the folder of a run, of which you get the latest checkpoint or, with
    `which='best'`, the best one. Weights and running statistics are float32 with PyTorch's shapes (out, in, y, x).
    The settings are a dict: `model` ('Z', 'R', 'RT', 'S'), `times` (time steps), `imageSize` (pixels), and others.
    """
    path = Path(checkpoint)
    if path.is_dir():
        record = json.loads((path / 'checkpoints' / f'{which}.json').read_text())
        path = path / 'checkpoints' / record['file']
    data = path.read_bytes()  # safetensors: the length of a JSON header, the header, then the values
    begin = 8 + int.from_bytes(data[:8], 'little')
    header = json.loads(data[8:begin])
    settings = json.loads(header.pop('__metadata__')['identity'])['result']
    types = {'F32': '<f4', 'I64': '<i8'}
    state = {}
    for name, entry in header.items():
        if name.startswith('optimizer.'):
            continue
        first, last = (begin + offset for offset in entry['data_offsets'])
        state[name] = np.frombuffer(data[first:last], types[entry['dtype']]).reshape(entry['shape']).copy()
    return state, settings


def load(checkpoint, which='latest'):
    """The network of a checkpoint (see `weights`) as a torch.nn.Module on the CPU, ready for inference.

    Its class comes from the reference implementation, which you install yourself (its licence is the GPL):
    pip install git+https://github.com/dicarlolab/CORnet
    """
    try:
        import cornet
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            'load needs the package cornet: pip install git+https://github.com/dicarlolab/CORnet'
        ) from error
    import torch

    state, settings = weights(checkpoint, which)
    model = settings['model']
    options = {'times': settings['times']} if model in ('R', 'RT') else {}
    module = getattr(cornet, f'cornet_{model.lower()}')(**options).module  # it comes wrapped in DataParallel
    classes, inputs = state['decoder.linear.weight'].shape
    if classes != module.decoder.linear.out_features:  # as many as the training set had
        module.decoder.linear = torch.nn.Linear(inputs, classes)
    module.load_state_dict({name: torch.from_numpy(values) for name, values in state.items()}, strict=True)
    return module.eval()


def images(files, size=224):
    """Image files as the input of a network: a float32 tensor (image, channel, y, x), made as `cornet features` does.

    Each image is squashed to size × size pixels; `size` is the run's `imageSize`, or --imsize of the features.
    """
    import torch
    from PIL import Image

    pixels = [np.asarray(Image.open(file).convert('RGB').resize((size, size), Image.BILINEAR)) for file in files]
    normalized = (np.stack(pixels) / np.float32(255) - np.float32(MEAN)) / np.float32(STD)
    return torch.from_numpy(normalized.transpose(0, 3, 1, 2).copy())
