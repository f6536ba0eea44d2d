"""Features in numpy: how similar are images to one another, area by area?

    cornet features --model S --data-path stimuli --tap all -o features     # CORnet-S_V1_output_t0_feats.npy, ...
    python examples/read_features.py features

Needs numpy alone. Reads the .npy files that `cornet features` writes, and the JSON beside each of them.
"""

import json
import sys
from pathlib import Path

import numpy as np

folder = Path(sys.argv[1])
for path in sorted(folder.glob('*_feats.npy')):
    about = json.loads(path.with_suffix('.json').read_text())
    (array,) = about['arrays']

    # Memory-mapped: rows are read when they are used, so the file may be larger than the memory.
    features = np.load(path, mmap_mode='r')
    print(f"{array['tap']}: {len(features)} images, each {' x '.join(map(str, array['image_shape']))}")

    # The row of an image is its place in `files`. Images that could not be decoded (--skip-unreadable) are rows of NaN.
    first = np.asarray(features[:100], dtype=np.float64)
    whole = ~np.isnan(first).any(axis=1)
    names = [name for name, good in zip(about['files'], whole) if good]
    similarity = np.corrcoef(first[whole])
    np.fill_diagonal(similarity, -np.inf)
    nearest = int(np.argmax(similarity[0]))
    print(f'  among the first {len(names)}, {names[0]} is most similar to {names[nearest]}: '
          f'correlation {similarity[0, nearest]:.3f}')
