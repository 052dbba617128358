#!/usr/bin/env python3
"""Causal tracing of a GPT-2-small-shaped random model, vene beside pyvene, the same 252 cells in one run.

    python3 benchmarks/trace_against_pyvene.py [--cells N] [--threads 2]

Makes its own virtual environment with pyvene 0.1.8 on first use (.cache/pyvene), writes the random model there, runs both, compares the
probabilities, and prints seconds and the ratio. --cells limits pyvene to its first N cells of each stream and scales the
time up (said in the output); the default runs them all.
"""
import argparse
import os
import subprocess
import sys
import time

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
CACHE = os.path.join(ROOT, ".cache", "pyvene")
PINS = ["torch==2.15.0", "transformers==5.23.0", "pyvene==0.1.8", "safetensors", "matplotlib", "pandas", "datasets", "accelerate",
        "evaluate", "scikit-learn", "nnsight", "plotnine"]


def environment():
    python = os.environ.get("VENE_PYVENE_PYTHON") or os.path.join(CACHE, "bin", "python")
    if not os.path.exists(python):
        print("setting up pyvene in", CACHE, file=sys.stderr)
        subprocess.check_call([sys.executable, "-m", "venv", CACHE])
        subprocess.check_call([python, "-m", "pip", "install", "-q", *PINS])
    return python


def outputs_of_both(script, threads, program, *arguments):
    """What a script says as the peer, and a program of build/bin beside it."""
    theirs = [environment(), os.path.abspath(script), "--peer", "--threads", str(threads)]
    ours = [os.path.join(ROOT, "build", "bin", program), *arguments, str(threads)]
    return [subprocess.run(command, check=True, capture_output=True, text=True).stdout for command in (theirs, ours)]


def peer(args):
    """Runs inside the environment: makes the model, traces with pyvene as its own notebook does."""
    import numpy
    import torch
    from safetensors.torch import save_file
    from transformers import GPT2Config, GPT2LMHeadModel
    torch.set_num_threads(args.threads)
    torch.manual_seed(0)
    model = GPT2LMHeadModel(GPT2Config(attn_pdrop=0, embd_pdrop=0, resid_pdrop=0)).eval()
    model.save_pretrained(args.folder)
    import pyvene as pv
    ids = torch.tensor([[464, 4687, 10664, 293, 318, 287, 9436]])
    noise = torch.tensor(numpy.random.RandomState(1).randn(1, 4, 768) * 0.13462981581687927, dtype=torch.float32)
    layers, positions = 12, 7

    def noised(base, source=None, subspaces=None, **kwargs):
        return base + noise

    with torch.no_grad():
        clean = {"input_ids": ids}
        model(ids)
        result = torch.full((3, layers, positions), float("nan"))
        started = time.time()
        done = 0
        for s, stream in enumerate(["block_output", "mlp_activation", "attention_output"]):
            window = 1 if stream == "block_output" else 10
            for cell in range(layers * positions):
                layer, position = divmod(cell, positions)
                if args.cells and cell % (layers * positions // args.cells) != 0:
                    continue
                first, last = max(0, layer - window // 2), min(layers, layer - (-window // 2))
                config = pv.IntervenableConfig(representations=[
                    pv.RepresentationConfig(0, "block_input", intervention=noised),
                    *[pv.RepresentationConfig(l, stream, intervention_type=pv.VanillaIntervention) for l in range(first, last)]])
                intervenable = pv.IntervenableModel(config, model)
                n = last - first
                locations = {"sources->base": ([None] + [[[position]]] * n, [[[0, 1, 2, 3]]] + [[[position]]] * n)}
                _, out = intervenable(clean, [None] + [clean] * n, unit_locations=locations)
                result[s, layer, position] = torch.softmax(out.logits[0, -1], -1)[7312]
                done += 1
        seconds = time.time() - started
    save_file({"probability": result}, args.out)
    print(f"{seconds:.4f} {done}")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cells", type=int, default=0)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--program", default=os.path.join(ROOT, "build", "bin", "trace_grid"))
    parser.add_argument("--peer", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--folder", default=os.path.join(ROOT, ".cache", "gpt2-small-random"))
    parser.add_argument("--out", default=os.path.join(ROOT, ".cache", "pyvene-cells.safetensors"))
    args = parser.parse_args()
    if args.peer:
        return peer(args)
    python = environment()
    os.makedirs(args.folder, exist_ok=True)
    command = [python, os.path.abspath(__file__), "--peer", "--cells", str(args.cells), "--threads", str(args.threads), "--folder", args.folder, "--out", args.out]
    peer_seconds, cells = subprocess.check_output(command, text=True).split()[-2:]
    ours_file = os.path.join(ROOT, ".cache", "vene-cells.safetensors")
    ours = float(subprocess.check_output([args.program, args.folder, ours_file, str(args.threads)], text=True))
    compare = ("import torch,sys;from safetensors.torch import load_file;a=load_file(sys.argv[1])['probability'];b=load_file(sys.argv[2])['probability'];"
               "m=~a.isnan();print(f'{((a-b).abs()/a.abs())[m].max():.2e}')")
    error = subprocess.check_output([python, "-c", compare, args.out, ours_file], text=True).strip()
    theirs = float(peer_seconds) * 252 / int(cells)
    scaled = "" if int(cells) == 252 else f" (scaled from {cells} cells)"
    print(f"12 layers, 768 wide, 7 tokens, 3 streams, 252 cells, {args.threads} threads")
    print(f"pyvene 0.1.8  {theirs:8.2f} s{scaled}")
    print(f"vene          {ours:8.2f} s")
    print(f"ratio         {theirs / ours:8.1f}")
    print(f"largest relative difference of the probabilities: {error}")


if __name__ == "__main__":
    main()
