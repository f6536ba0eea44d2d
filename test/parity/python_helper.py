"""examples/cornet_ts.py at work: PYTHONPATH has it, and `cornet` from lab/.

    python_helper.py module RUN FEATURES IMAGES   does the loaded network compute the features?
    python_helper.py plain FEATURES               the same features where xarray is not installed
    python_helper.py rdm FEATURES                 are dissimilarities those that NumPy computes pair by pair?
    python_helper.py table RUN                    the metrics of a run
    python_helper.py notebook FILE                runs the code of a notebook, cell by cell, in this folder

Prints one line of JSON.
"""

import json
import sys

import numpy as np


def module(run, folder, images):
    import cornet_ts
    import torch

    network = cornet_ts.load(run)
    calls = {}
    for name, part in network.named_modules():
        part.register_forward_hook(lambda _, __, out, name=name: calls.setdefault(name, []).append(out.clone()))
    areas = cornet_ts.features(folder)
    files = next(iter(areas.values())).image.values
    size = cornet_ts.weights(run)[1]["imageSize"]
    with torch.no_grad():
        network(cornet_ts.images([f"{images}/{file}" for file in files], size))
    worst, shapes, labels = {}, {}, set()
    for name, ours in areas.items():
        about = ours.attrs
        theirs = calls[f"{about['layer']}.{about['sublayer']}"][about["call"]].numpy()
        assert ours.shape == theirs.shape, name
        worst[name] = float(np.linalg.norm(ours.values - theirs) / (np.linalg.norm(theirs) or 1))
        shapes[name] = dict(ours.sizes)
        labels |= set(ours.label.values.tolist())
    mapped = isinstance(next(iter(areas.values())).variable._data.base, np.memmap)
    return {"worst": worst, "shapes": shapes, "labels": sorted(labels), "mapped": mapped}


def plain(folder):
    import cornet_ts

    with_xarray = cornet_ts.features(folder)
    sys.modules["xarray"] = None  # importing it fails
    areas = cornet_ts.features(folder)
    for name, output in areas.items():
        assert np.array_equal(output["data"], with_xarray[name].values)
        assert output["coords"]["image"]["data"] == with_xarray[name].image.values.tolist()
        assert output["attrs"] == with_xarray[name].attrs
    return {"outputs": list(areas), "type": type(next(iter(areas.values()))).__name__}


def rdm(folder):
    import cornet_ts

    output = cornet_ts.features(folder)["V1.output"]
    flat = output.values.reshape(len(output), -1).astype(np.float64)
    lengths = np.linalg.norm(flat, axis=1)
    references = {
        "correlation": 1 - np.corrcoef(flat),
        "cosine": 1 - flat @ flat.T / np.outer(lengths, lengths),
        "euclidean": np.linalg.norm(flat[:, None] - flat[None], axis=2),
    }
    worst = {m: float(np.abs(cornet_ts.rdm(output, m) - wanted).max()) for m, wanted in references.items()}
    default = cornet_ts.rdm(output)
    assert np.array_equal(default, cornet_ts.rdm(output, "correlation"))
    assert np.array_equal(default, cornet_ts.rdm(output.values)), "of an array"
    assert np.array_equal(default, cornet_ts.rdm({"data": output.values})), "of what there is without xarray"
    for metric in references:
        matrix = cornet_ts.rdm(output, metric)
        assert np.array_equal(matrix, matrix.T) and not matrix.diagonal().any(), metric
    undecoded = output.values.copy()
    undecoded[1] = np.nan
    lost = np.isnan(cornet_ts.rdm(undecoded))
    try:
        cornet_ts.rdm(output, "spearman")
    except ValueError as error:
        refused = str(error)
    return {
        "worst": worst,
        "shape": default.shape,
        "largest": float(default.max()),
        "lost": np.flatnonzero(lost.all(axis=1)).tolist(),
        "cells": int(lost.sum()),
        "refused": refused,
    }


def table(run):
    import cornet_ts

    rows = cornet_ts.run(run)
    validated = rows["val/top1"].dropna()
    return {"steps": rows.index.tolist(), "columns": sorted(rows.columns), "validated": validated.index.tolist()}


def notebook(file):
    cells = json.load(open(file, encoding="utf-8"))["cells"]
    names = {}
    for number, cell in enumerate(cells):
        if cell["cell_type"] == "code":
            exec(compile("".join(cell["source"]), f"cell {number}", "exec"), names)
    return {"cells": len(cells), "names": sorted(name for name in names if not name.startswith("_"))}


if __name__ == "__main__":
    command, *arguments = sys.argv[1:]
    result = {"module": module, "plain": plain, "rdm": rdm, "table": table, "notebook": notebook}[command](*arguments)
    print(json.dumps(result))
