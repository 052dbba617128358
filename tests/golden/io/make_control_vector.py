#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
# Makes control_vector.gguf (what vene writes must equal it byte for byte) and control_vector_extra.gguf (further keys of
# every type, as a reader must pass over) with the format's own package. Needs gguf 0.19.0 and numpy.
import pathlib
from importlib.metadata import version

import gguf
import numpy as np

assert version("gguf") == "0.19.0"
here = pathlib.Path(__file__).parent


def direction(layer, width):
    return (np.arange(width, dtype=np.float32) - 3) * np.float32(0.25) + np.float32(layer)


def write(name, extra):
    writer = gguf.GGUFWriter(here / name, "controlvector")
    writer.add_string("controlvector.model_hint", "gpt2")
    if extra:
        writer.add_uint8("test.uint8", 200)
        writer.add_int16("test.int16", -3)
        writer.add_float32("test.float32", 0.5)
        writer.add_float64("test.float64", -0.25)
        writer.add_bool("test.bool", True)
        writer.add_uint64("test.uint64", 2**40)
        writer.add_array("test.texts", ["one", "", "three"])
        writer.add_array("test.numbers", [1, 2, 3])
    writer.add_int32("controlvector.layer_count", 3)
    for layer in (1, 2, 5):
        writer.add_tensor(f"direction.{layer}", direction(layer, 6))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


write("control_vector.gguf", extra=False)
write("control_vector_extra.gguf", extra=True)
for name in ("control_vector.gguf", "control_vector_extra.gguf"):
    reader = gguf.GGUFReader(here / name)
    assert [t.name for t in reader.tensors] == ["direction.1", "direction.2", "direction.5"]
