#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Prints the table of docs/models.md: how far each reference folder is from transformers, in every type.

    python scripts/model_table.py [build/bin/vene]
"""
import json
import pathlib
import subprocess
import sys

ROOT = pathlib.Path(__file__).parents[1]


def verify(vene, folder, dtype):
    command = [vene, "verify", "-m", folder, "--reference", folder / "reference.safetensors", "--dtype", dtype, "--tolerance", "1e9", "--json"]
    report = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    output = "logits" if "logits" in report["errors"] else "last_hidden_state"
    return report, report["errors"][output]


def main():
    vene = sys.argv[1] if len(sys.argv) > 1 else ROOT / "build" / "bin" / "vene"
    print("| folder | float32, worst site | float32, logits | bfloat16, logits | float16, logits | greedy tokens |\n|---|---|---|---|---|---|")
    for folder in sorted((ROOT / "tests" / "golden" / "models").iterdir()):
        if not (folder / "reference.safetensors").exists():
            continue
        report, exact = verify(vene, folder, "float32")
        halves = [verify(vene, folder, dtype)[1] for dtype in ("bfloat16", "float16")]
        tokens = f"{report['greedy']['equal']} of {report['greedy']['tokens']}" if "greedy" in report else ""
        print(f"| {folder.name} | {report['worst']['error']:.1e} | {exact:.1e} | {halves[0]:.1e} | {halves[1]:.1e} | {tokens} |")


if __name__ == "__main__":
    main()
