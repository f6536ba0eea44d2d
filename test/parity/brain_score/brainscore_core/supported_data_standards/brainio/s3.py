"""In place of Brain-Score's module of this name: its storage is the folder that STORAGE names."""

import hashlib
import os
from pathlib import Path


def load_weight_file(bucket, relative_path, version_id, sha1, folder_name=None):
    path = Path(os.environ["STORAGE"]) / bucket / folder_name / relative_path
    assert version_id == "null"
    assert hashlib.sha1(path.read_bytes()).hexdigest() == sha1
    return path
