# SPDX-License-Identifier: Apache-2.0
# Made with: python 3, torch 2.15, transformers 5.23, pyvene 0.1.8, safetensors.
"""Writes the references of this directory:

    gru_classifier/ gru_lm/ gru_base/   pyvene's models (config.json, model.safetensors) and reference.safetensors:
                                        inputs, results, and "<component>.<layer>" [step, batch, width] of every site
    steps.json, steps.safetensors       interventions by step: what a plainly unrolled loop gives for each case

    python make_recurrent.py

The loop is written out below: a value is edited where it is made, row by row and step by step. Where pyvene itself does
what is meant (one row, and either one step or an edit that leaves other steps alone) the loop is held to it.
"""
import json
import pathlib

import pyvene
import torch
import transformers
from pyvene.models.gru.modelings_gru import GRUConfig, GRUForClassification, GRULMHeadModel, GRUModel
from safetensors.torch import save_file

HERE = pathlib.Path(__file__).parent
assert torch.__version__.startswith("2.15") and transformers.__version__.startswith("5.23"), (torch.__version__, transformers.__version__)
WIDTH, LAYERS = 5, 2
torch.set_num_threads(1)


# --- the plain loops --------------------------------------------------------------------------------
def gru_cell(x, h, weights, see):
    """One step of a GRU; `see(name, value)` is where every named value passes."""
    x = see("cell_input", x)
    xr, xu, xn = see("x2h_output", x @ weights["x"].T + weights["bx"]).chunk(3, 1)
    hr, hu, hn = see("h2h_output", h @ weights["h"].T + weights["bh"]).chunk(3, 1)
    xr, xu, xn = see("reset_x2h_output", xr), see("update_x2h_output", xu), see("new_x2h_output", xn)
    hr, hu, hn = see("reset_h2h_output", hr), see("update_h2h_output", hu), see("new_h2h_output", hn)
    r = see("reset_gate_output", torch.sigmoid(see("reset_gate_input", xr + hr)))
    u = see("update_gate_output", torch.sigmoid(see("update_gate_input", xu + hu)))
    n = see("new_gate_output", torch.tanh(see("new_gate_input", xn + r * hn)))
    return (see("cell_output", u * h + (1 - u) * n),)


def rnn_cell(x, h, weights, see):
    x = see("cell_input", x)
    return (see("cell_output", torch.tanh(x @ weights["x"].T + weights["bx"] + h @ weights["h"].T + weights["bh"])),)


def lstm_cell(x, h, c, weights, see):
    x = see("cell_input", x)
    i, f, g, o = (x @ weights["x"].T + weights["bx"] + h @ weights["h"].T + weights["bh"]).chunk(4, 1)
    c = see("cell_state", torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g))
    return see("cell_output", torch.sigmoid(o) * torch.tanh(c)), c


def unroll(cell, weights, x, layers, directions, see, states=1):
    """x [batch, step, in] -> outputs of the last layer. `see(name, layer, step, value)`; a backward direction's step 0 is
    the last position, and its names end in _reverse."""
    for layer in range(layers):
        outputs = []
        for direction in range(directions):
            end = "_reverse" if direction else ""
            own = weights(layer, end)
            state = tuple(torch.zeros(x.shape[0], own["h"].shape[1]) for _ in range(states))
            out = [None] * x.shape[1]
            for step in range(x.shape[1]):
                position = x.shape[1] - 1 - step if direction else step
                state = cell(x[:, position], *state, own, lambda name, value: see(name + end, layer, step, value))
                out[position] = state[0]
            outputs.append(torch.stack(out, 1))
        x = torch.cat(outputs, -1)
    return x


def stock_weights(module):
    return lambda layer, end: {
        "x": getattr(module, f"weight_ih_l{layer}{end}").detach(), "h": getattr(module, f"weight_hh_l{layer}{end}").detach(),
        "bx": getattr(module, f"bias_ih_l{layer}{end}").detach(), "bh": getattr(module, f"bias_hh_l{layer}{end}").detach(),
    }


def pyvene_weights(model):
    def of(layer, end):
        cell = model.gru.cells[layer]
        return {"x": cell.x2h.weight.detach(), "h": cell.h2h.weight.detach(), "bx": cell.x2h.bias.detach(), "bh": cell.h2h.bias.detach()}
    return of


class Loop:
    """A model as a plain loop, with interventions [(component, layer, type, source steps, base steps, columns)]."""

    def __init__(self, cell, weights, layers, directions, head=None, states=1):
        self.cell, self.weights, self.layers, self.directions, self.head, self.states = cell, weights, layers, directions, head, states

    def run(self, x, see=lambda name, layer, step, value: value):
        out = unroll(self.cell, self.weights, x, self.layers, self.directions, see, self.states)
        return out if self.head is None else out[:, -1] @ self.head.T

    def values(self, x):
        seen = {}
        def see(name, layer, step, value):
            seen[name, layer, step] = value
            return value
        self.run(x, see)
        return seen

    def intervened(self, base, source, edits):
        from_source = self.values(source)
        collected = [[[None] * len(edit["base"][row]) for row in range(len(base))] for edit in edits]
        def see(name, layer, step, value):
            for number, edit in enumerate(edits):
                if (edit["component"], edit["layer"]) != (name, layer):
                    continue
                for row in range(len(base)):
                    for entry, at in enumerate(edit["base"][row]):
                        if at != step:
                            continue
                        if edit["type"] == "collect":
                            collected[number][row][entry] = value[row].clone()
                            continue
                        src = from_source[name, layer, edit["source"][row][entry]][row]
                        new = {"vanilla": src, "addition": value[row] + src, "subtraction": value[row] - src, "zero": torch.zeros_like(src)}[edit["type"]]
                        columns = edit.get("columns", list(range(len(new))))
                        value = value.clone()
                        value[row, columns] = new[columns]
            return value
        return self.run(base, see), collected


# --- what is written --------------------------------------------------------------------------------
def seeded(model, seed):
    torch.manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(0, 0.6)
    return model.eval()


def save_model(name, model, config, inputs, results):
    folder = HERE / name
    folder.mkdir(exist_ok=True)
    # Written by hand: save_pretrained fails on the language model.
    fields = {k: getattr(config, k) for k in ("include_emb", "vocab_size", "max_position_embeddings", "n_layer", "h_dim", "n_labels", "include_bias")}
    (folder / "config.json").write_text(json.dumps({"architectures": [type(model).__name__], "model_type": "gru"} | fields, indent=2) + "\n")
    save_file({k: v.contiguous() for k, v in model.state_dict().items()}, folder / "model.safetensors")
    body = getattr(model, "gru", model)
    sites = {}
    def keep(key, third=None):
        def hook(module, args, out=None):
            value = args[0] if out is None else out
            if third is not None:
                value = value.chunk(3, -1)[third]
            sites.setdefault(key, []).append(value.detach().clone())
        return hook
    handles = []
    for layer, cell in enumerate(body.cells):
        handles.append(cell.register_forward_pre_hook(keep(f"cell_input.{layer}")))
        handles.append(cell.register_forward_hook(keep(f"cell_output.{layer}")))
        for gate in ("reset", "update", "new"):
            handles.append(getattr(cell, gate + "_act").register_forward_pre_hook(keep(f"{gate}_gate_input.{layer}")))
            handles.append(getattr(cell, gate + "_act").register_forward_hook(keep(f"{gate}_gate_output.{layer}")))
        for side in ("x2h", "h2h"):
            handles.append(getattr(cell, side).register_forward_hook(keep(f"{side}_output.{layer}")))
            for third, gate in enumerate(("reset", "update", "new")):
                handles.append(getattr(cell, side).register_forward_hook(keep(f"{gate}_{side}_output.{layer}", third)))
    with torch.no_grad():
        outputs = model(**inputs)
    for handle in handles:
        handle.remove()
    named = {f"input.{k}": v for k, v in inputs.items()} | {k: torch.stack(v) for k, v in sites.items()}
    for key, value in zip(results, outputs):
        named[f"result.{key}"] = value.detach()
    save_file({k: v.contiguous() for k, v in named.items()}, folder / "reference.safetensors")
    return model


def write_models():
    torch.manual_seed(5)
    ids, positions = torch.randint(0, 11, (3, 6)), torch.arange(6).expand(3, 6).contiguous()
    sizes = dict(n_layer=LAYERS, h_dim=WIDTH, n_labels=3, vocab_size=11, max_position_embeddings=9)
    plain = GRUConfig(**sizes)
    classifier = save_model("gru_classifier", seeded(GRUForClassification(plain), 1), plain, {"inputs_embeds": torch.randn(3, 6, WIDTH)}, ["logits", "last"])
    words = GRUConfig(include_emb=True, **sizes)
    save_model("gru_lm", seeded(GRULMHeadModel(words), 2), words, {"input_ids": ids}, ["logits", "last"])
    no_bias = GRUConfig(include_emb=True, include_bias=False, **sizes)
    save_model("gru_base", seeded(GRUModel(no_bias), 3), no_bias, {"input_ids": ids, "position_ids": positions}, ["states", "last"])
    return classifier


def edit(component, layer, kind, base, source=None, columns=None):
    made = {"component": component, "layer": layer, "type": kind, "base": base, "source": source or base}
    return made | ({"columns": columns} if columns else {})


def steps_cases():
    ragged, from_steps = [[2], [4, 0], [1, 3]], [[5], [6, 2], [0, 3]]
    cases = {f"{kind}_ragged": ("gru", [edit("cell_output", 0, kind, ragged, from_steps)]) for kind in ("vanilla", "addition", "subtraction")}
    cases["zero_ragged"] = "gru", [edit("cell_output", 1, "zero", ragged)]
    cases["zero_row_left_out"] = "gru", [edit("cell_output", 0, "zero", [[1], [], [4]])]
    cases["vanilla_every_listed"] = "gru", [edit("cell_output", 0, "vanilla", [[0, 1, 2, 3, 4]] * 3, [[4, 3, 2, 1, 0]] * 3)]
    cases["vanilla_columns"] = "gru", [edit("cell_output", 0, "vanilla", ragged, from_steps, [0, 3])]
    cases["collect_ragged"] = "gru", [edit("cell_output", 1, "collect", [[4, 0], [2], [1, 3]])]
    cases["several_in_order"] = "gru", [
        edit("cell_output", 0, "vanilla", [[1]] * 3, [[6], [0], [3]]), edit("reset_gate_output", 1, "zero", [[2, 3]] * 3),
        edit("new_h2h_output", 1, "addition", [[3], [1], [2]], [[0], [5], [4]]), edit("cell_output", 0, "subtraction", [[3]] * 3, [[2]] * 3),
        edit("cell_output", 1, "collect", [[0, 1, 2, 3, 4]] * 3),
    ]
    cases["same_step_in_order"] = "gru", [
        edit("cell_output", 0, "zero", [[2]] * 3), edit("cell_output", 0, "addition", [[2, 3]] * 3, [[1, 1]] * 3),
        edit("cell_output", 0, "collect", [[2, 3]] * 3),
    ]
    for name in ("cell_input", "x2h_output", "h2h_output", "reset_x2h_output", "update_x2h_output", "new_x2h_output", "reset_h2h_output", "update_h2h_output",
                 "new_h2h_output", "reset_gate_input", "update_gate_input", "new_gate_input", "reset_gate_output", "update_gate_output", "new_gate_output"):
        cases[f"vanilla_{name}"] = "gru", [edit(name, 1, "vanilla", ragged, from_steps)]
    for model in ("torch_gru", "torch_rnn", "torch_lstm"):
        for end in ("", "_reverse"):
            cases[f"{model}_vanilla{end}"] = model, [edit("cell_output" + end, 0, "vanilla", ragged, from_steps)]
            cases[f"{model}_zero{end}"] = model, [edit("cell_output" + end, 1, "zero", ragged)]
        cases[f"{model}_both_directions"] = model, [
            edit("cell_output", 0, "addition", ragged, from_steps), edit("cell_output_reverse", 0, "vanilla", ragged, from_steps),
            edit("cell_input", 1, "zero", [[3]] * 3), edit("cell_output_reverse", 1, "collect", [[0, 4], [1], [2, 3]]),
        ]
    cases["torch_lstm_state"] = "torch_lstm", [edit("cell_state", 0, "vanilla", ragged, from_steps), edit("cell_state_reverse", 1, "zero", ragged)]
    return cases


def pyvene_run(model, edits, base, source):
    config = pyvene.IntervenableConfig([{"layer": e["layer"], "component": e["component"], "unit": "t", "max_number_of_units": 1,
                                         "intervention_type": getattr(pyvene, e["type"].capitalize() + "Intervention")} for e in edits])
    intervenable = pyvene.IntervenableModel(config, model)
    places = ([e["source"] for e in edits], [e["base"] for e in edits])
    _, out = intervenable({"inputs_embeds": base}, [{"inputs_embeds": source}] * len(edits), {"sources->base": places})
    return out[0].detach()


def check_against_pyvene(model, loop):
    """One row, lists in ascending order (pyvene pairs steps in order of time): additions and subtractions at any step, exchanges
    where there is one step. Elsewhere pyvene overwrites steps that are not listed."""
    torch.manual_seed(9)
    long, other, short, brief = torch.randn(1, 5, WIDTH), torch.randn(1, 7, WIDTH), torch.randn(1, 1, WIDTH), torch.randn(1, 1, WIDTH)
    agreed = 0
    for component in ("cell_output", "reset_gate_output", "update_gate_input", "new_gate_output"):
        for layer in range(LAYERS):
            for base, source, edits in (
                (long, other, [edit(component, layer, "addition", [[2]], [[3]])]), (long, other, [edit(component, layer, "subtraction", [[0, 4]], [[1, 6]])]),
                (short, brief, [edit(component, layer, "vanilla", [[0]], [[0]])]),
            ):
                ours, _ = loop.intervened(base, source, edits)
                torch.testing.assert_close(pyvene_run(model, edits, base, source), ours, rtol=1e-5, atol=1e-6)
                agreed += 1
    print("the loop agrees with pyvene in", agreed, "cases")


def write_steps(classifier):
    torch.manual_seed(7)
    base, source = torch.randn(3, 5, WIDTH), torch.randn(3, 7, WIDTH)
    stock = {"torch_gru": torch.nn.GRU, "torch_rnn": torch.nn.RNN, "torch_lstm": torch.nn.LSTM}
    cells = {"torch_gru": stock_gru_cell, "torch_rnn": rnn_cell, "torch_lstm": lstm_cell}
    loops = {"gru": Loop(gru_cell, pyvene_weights(classifier), LAYERS, 1, classifier.score.weight.detach())}
    tensors = {"base": base, "source": source}
    for name, kind in stock.items():
        module = seeded(kind(WIDTH, 4, num_layers=2, bidirectional=True, batch_first=True), 11)
        save_file({k: v.contiguous() for k, v in module.state_dict().items()}, HERE / f"{name}.safetensors")
        loops[name] = Loop(cells[name], stock_weights(module), 2, 2, None, 2 if name == "torch_lstm" else 1)
        torch.testing.assert_close(loops[name].run(base), module(base)[0].detach(), rtol=1e-5, atol=1e-6)
        tensors[f"{name}.clean"] = module(base)[0].detach()
    with torch.no_grad():
        torch.testing.assert_close(loops["gru"].run(base), classifier(inputs_embeds=base)[0], rtol=1e-5, atol=1e-6)
    check_against_pyvene(classifier, loops["gru"])
    written = []
    for name, (model, edits) in steps_cases().items():
        result, collected = loops[model].intervened(base, source, edits)
        assert any(e["type"] != "collect" for e in edits) <= bool((result - loops[model].run(base)).abs().max() > 1e-3), name
        tensors[f"{name}.result"] = result
        for number, e in enumerate(edits):
            if e["type"] == "collect":
                tensors[f"{name}.collected.{number}"] = torch.cat([torch.stack(row) for row in collected[number]])  # row by row, one after the other
        written.append({"name": name, "model": model, "edits": edits})
    (HERE / "steps.json").write_text("[\n" + ",\n".join(json.dumps(case) for case in written) + "\n]\n")
    save_file({k: v.contiguous() for k, v in tensors.items()}, HERE / "steps.safetensors")


def stock_gru_cell(x, h, weights, see):
    """torch's: the same cell with the reset gate applied to h2h's third, bias included."""
    return gru_cell(x, h, weights, lambda name, value: see(name, value) if name in ("cell_input", "cell_output") else value)


if __name__ == "__main__":
    write_steps(write_models())
