"""Writes the Parquet files of test/fixtures/parquet, and a stream of Snappy data with images in it.

    python3 parquet_files.py IMAGES FOLDER   # needs pyarrow; IMAGES is test/fixtures/images/formats

Small files of every layout in which data sets of images are published: dictionaries and plain pages of both versions,
with and without Snappy, of several pages and row groups; and what is refused.
"""

import json
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

images, folder = Path(sys.argv[1]), Path(sys.argv[2])


def stripes(shift):
    """An image of more than one of Snappy's blocks, which compresses to almost nothing."""
    row = bytes((x * 5 + shift) % 256 for x in range(3 * 160))
    return b"P6 160 144 255\n" + row * 144


small = {name: (images / name).read_bytes() for name in ("grey.jpg", "grey.png", "lossy.webp", "palette.png")}
jpg, png, webp, palette = small.values()
rows = [jpg, stripes(0), png, webp, stripes(9), jpg]
plain_rows = [jpg, png, webp, palette, png]


def hugging_face(labels):
    features = {"image": {"_type": "Image"}, "label": {"names": labels, "_type": "ClassLabel"}}
    return {"huggingface": json.dumps({"info": {"features": features}})}


def write(name, images, labels, label="label", image="image", metadata=None, **options):
    table = pa.table({image: images, label: labels}).replace_schema_metadata(metadata)
    pq.write_table(table, folder / name, write_statistics=["label"], **options)  # images are too long for them


def structs(values, named=True):
    paths = [f"{i:02}.img" if named and i % 3 != 2 else None for i in range(len(values))]
    kind = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    return pa.array([{"bytes": value, "path": path} for value, path in zip(values, paths)], kind)


def numbers(count):
    return pa.array([i % 3 for i in range(count)], pa.int64())


names = hugging_face(["tench", "goldfish", "great white shark"])
for version in ("1.0", "2.0"):
    for codec, values in (("snappy", rows), ("none", plain_rows)):
        for dictionary in (True, False):
            encoding = "dictionary" if dictionary else "plain"
            write(
                f"{encoding}-{codec}-v{version[0]}.parquet",
                structs(values),
                numbers(len(values)),
                metadata=names,
                use_dictionary=dictionary,
                compression=codec,
                data_page_version=version,
                row_group_size=3,
                data_page_size=2000,
                write_batch_size=1,
            )

texts = pa.array(["cat", "dog", "cat", "dog", "eel"])
write("binary.parquet", pa.array(plain_rows), texts, label="fine_label", image="img")
write("dictionary-then-plain.parquet", structs(rows * 2), numbers(12), dictionary_pagesize_limit=80_000, write_batch_size=1)

tiny = structs([b"first", b"second", b"third"])
kind = tiny.type
write("null-image.parquet", pa.array([tiny[0], None, tiny[2]], kind), numbers(3))
write("null-bytes.parquet", pa.array([tiny[0].as_py(), {"bytes": None, "path": "a.jpg"}], kind), numbers(2))
write("null-label.parquet", tiny, pa.array([0, 1, None], pa.int64()))
write("no-labels.parquet", tiny, pa.array([-1, -1, -1], pa.int64()))
write("zstd.parquet", tiny, numbers(3), compression="zstd")
write("other-codecs.parquet", tiny, numbers(3), compression={"image.bytes": "none", "image.path": "gzip", "label": "brotli"})
write("label-zstd.parquet", tiny, numbers(3), compression={"image.bytes": "none", "image.path": "none", "label": "zstd"})
write("label-lz4.parquet", tiny, numbers(3), compression={"image.bytes": "none", "image.path": "lz4", "label": "lz4"})
write("delta.parquet", tiny, numbers(3), use_dictionary=False, column_encoding={"image.bytes": "DELTA_LENGTH_BYTE_ARRAY"})
write("lists.parquet", pa.array([[b"first"], [b"second"]]), numbers(2))
pq.write_table(pa.table({"image": [b"a"], "img": [b"b"], "label": [1]}), folder / "two-images.parquet")
pq.write_table(pa.table({"picture": [b"a"], "class": [1]}), folder / "other-columns.parquet")

(folder / "images.snappy").write_bytes(pa.compress(b"".join(rows), codec="snappy", asbytes=True))
