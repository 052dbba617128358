#!/usr/bin/env python3
"""Loading a 1 GB checkpoint (a Llama of random weights, 12 layers, 1024 wide, float32, made here once): vene beside transformers' from_pretrained, each in
fresh processes that take turns, the file in the page cache for both. Prints the median seconds until the model is ready, of a forward over one token after
it, and the most memory held per byte of weights beyond what the program held before loading.

    python3 benchmarks/load_against_transformers.py [--rounds 5]

Needs build/bin/load_checkpoint; uses the environment that benchmarks/trace_against_pyvene.py makes (or $VENE_PYVENE_PYTHON).
"""
import argparse
import os
import statistics
import subprocess
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from trace_against_pyvene import CACHE, ROOT, environment  # noqa: E402


def make(folder):
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM
    torch.manual_seed(0)
    LlamaForCausalLM(LlamaConfig(hidden_size=1024, intermediate_size=4096, num_hidden_layers=12, num_attention_heads=16, vocab_size=32000, tie_word_embeddings=False)).save_pretrained(folder)


def most_memory():
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) * 1024 for line in status if line.startswith("VmHWM"))


def peer(folder):
    import torch
    from transformers import AutoModelForCausalLM, LlamaForCausalLM  # noqa: F401  imports are not the checkpoint's time
    torch.ones(8, 8).mm(torch.ones(8, 8))
    before, start = most_memory(), time.perf_counter()
    model = AutoModelForCausalLM.from_pretrained(folder).eval()
    ready, loaded = time.perf_counter() - start, most_memory()
    size = sum(parameter.nbytes for parameter in model.parameters())
    first = time.perf_counter()
    with torch.no_grad():
        model(input_ids=torch.tensor([[1]]))
    print(f"{ready:.4f} {time.perf_counter() - first:.4f} {(loaded - before) / size:.4f} {(most_memory() - before) / size:.4f}")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--program", default=os.path.join(ROOT, "build", "bin", "load_checkpoint"))
    parser.add_argument("--folder", default=os.path.join(CACHE, "load_model"))
    parser.add_argument("--step", choices=["make", "peer"], help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.step:
        return {"make": make, "peer": peer}[args.step](args.folder)
    again = [environment(), os.path.abspath(__file__), "--folder", args.folder, "--step"]
    if not os.path.exists(os.path.join(args.folder, "model.safetensors")):
        subprocess.check_call([*again, "make"])
    figures = {"transformers": [], "vene": []}
    for _ in range(args.rounds):
        for name, command in (("transformers", [*again, "peer"]), ("vene", [args.program, args.folder])):
            said = subprocess.run(command, check=True, capture_output=True, text=True).stdout
            figures[name].append([float(figure) for figure in said.split()[-4:]])
    print(f"{os.path.getsize(os.path.join(args.folder, 'model.safetensors')) / 1e9:.2f} GB, median of {args.rounds}")
    middle = {name: [statistics.median(column) for column in zip(*rows)] for name, rows in figures.items()}
    for name, (ready, first, loaded, most) in middle.items():
        print(f"{name:12} ready {ready:6.3f} s   first token {first:6.3f} s   most memory {loaded:.2f} x the weights when ready, {most:.2f} x after the token")
    print(f"ratio        ready {middle['transformers'][0] / middle['vene'][0]:.1f}   ready and first token {sum(middle['transformers'][:2]) / sum(middle['vene'][:2]):.1f}")


if __name__ == "__main__":
    main()
