# SPDX-License-Identifier: Apache-2.0
"""Encodes a text with a tokenizer.json by build/bin/tokenize and by the tokenizers library on one thread, and fails where
the ids' number differs or vene takes more than three times as long.

    python tokenize_against_tokenizers.py FOLDER FILE [--program build/bin/tokenize] [--repeats 5]

Made with python 3.11, tokenizers 0.23.
"""
import argparse
import json
import os
import pathlib
import subprocess
import sys
import time

os.environ["TOKENIZERS_PARALLELISM"] = "false"
from tokenizers import Tokenizer  # noqa: E402

parser = argparse.ArgumentParser()
parser.add_argument("folder", type=pathlib.Path)
parser.add_argument("file", type=pathlib.Path)
parser.add_argument("--program", default="build/bin/tokenize")
parser.add_argument("--repeats", type=int, default=5)
options = parser.parse_args()
ours = json.loads(subprocess.run([options.program, options.folder, options.file, str(options.repeats)], check=True, capture_output=True, text=True).stdout)
tokenizer = Tokenizer.from_file(str(options.folder / "tokenizer.json"))
tokenizer.no_truncation()
text = options.file.read_bytes().decode()
best = float("inf")
for _ in range(options.repeats):
    begin = time.perf_counter()
    count = len(tokenizer.encode(text).ids)
    best = min(best, time.perf_counter() - begin)
print(json.dumps({"bytes": ours["bytes"], "tokens": [ours["tokens"], count], "vene": ours["seconds"], "tokenizers": round(best, 4), "ratio": round(ours["seconds"] / best, 3)}))
sys.exit(0 if ours["tokens"] == count and ours["seconds"] <= 3 * best else 1)
