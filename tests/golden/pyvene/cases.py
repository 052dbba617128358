# SPDX-License-Identifier: Apache-2.0
"""The grid: which experiments there are."""
import itertools
import random

KINDS = ("vanilla", "addition", "subtraction", "zero", "collect", "skip", "noise", "mix")
SOURCED = ("vanilla", "addition", "subtraction", "skip", "mix")
ROWS, POSITIONS = 2, 5

# BASE, or [SRC, BASE] where a source is read. "both" has one value for the two sides.
POSITION_FORMS = [
    ("int", {"both": 2}), ("negative", {"both": -2}), ("list", {"both": [1, 3]}), ("rows", {"both": [[0, 2], [4, 1]]}), ("pair", {"source": [0, 3], "base": [2, 4]}),
    ("ragged", {"both": [[0, 2], [3]]}), ("each", {"both": [[[1], [2]]]}), ("null", None), ("named", {"source": "first", "base": "last"}),
    ("four", {"both": [0, 1, 2, 4]}), ("span", {"both": {"span": [1, 3]}}), ("rows_pair", {"source": [[0], [1]], "base": [[3], [2]]}), ("empty_row", {"both": [[], [1, 4]]}), ("one_row", {"both": [[3, 1]]}),
]
HEAD_FORMS = [
    ("int", {"both": 1}), ("negative", {"both": -1}), ("list", {"both": [0, 1]}), ("rows", {"both": [[0], [1]]}), ("pair", {"source": 1, "base": 0}),
    ("ragged", {"both": [[0, 1], [1]]}), ("each", {"both": [[[1], [0]]]}), ("null", None), ("all", {"both": "all"}),
]
BOTH_FORMS = [
    ("int", {"both": {"h": 1, "pos": 2}}), ("negative", {"both": {"h": -1, "pos": -1}}), ("list", {"both": {"h": [0, 1], "pos": [1, 3]}}),
    ("rows", {"both": {"h": [[0], [1]], "pos": [[0, 2], [4, 1]]}}), ("pair", {"source": {"h": [1, 0], "pos": [0, 1]}, "base": {"h": [0, 1], "pos": [2, 4]}}),
    ("ragged", {"both": {"h": [[0, 1], [1]], "pos": [[0], [3, 4]]}}), ("each", {"both": [[[[0], [1]], [[2], [3]]]]}), ("null", None),
    ("named", {"both": {"h": "all", "pos": "last"}}), ("four", {"both": {"h": [0, 1], "pos": [0, 1, 2, 4]}}),
]
FORMS = {"pos": POSITION_FORMS, "h": HEAD_FORMS, "h.pos": BOTH_FORMS}


class Grid:
    def __init__(self, seed):
        self.random, self.cases, self.names = random.Random(seed), [], set()
        self.share = 1.0  # of the cases added now, drawn at random

    def row(self, port, positions):
        if port.tokens:
            return [self.random.randrange(1, port.tokens) for _ in range(positions)]
        return [[round(self.random.gauss(0, 1), 2) for _ in range(port.width)] for _ in range(positions)]

    def batch(self, port, rows=ROWS, positions=POSITIONS):
        return {"input_ids" if port.tokens else "inputs_embeds": [self.row(port, positions) for _ in range(rows)]}

    def vector(self, *shape):
        return [self.vector(*shape[1:]) for _ in range(shape[0])] if len(shape) > 1 else [round(self.random.gauss(0, 1), 2) for _ in range(shape[0])]

    def add(self, port, name, config, locations=None, sources=0, **others):
        """`sources`: a list, or how many to draw."""
        base = others.pop("base", None) or self.batch(port)
        experiment = {"config": config, "base": base}
        sources = [self.batch(port) for _ in range(sources)] if isinstance(sources, int) else sources
        if sources:
            experiment["sources"] = sources
        if locations is not None:
            experiment["unit_locations"] = locations
        name = f"{port.name}_{name}".replace(".", "_").replace("[", "_").replace("]", "_")
        assert name not in self.names, name
        self.names.add(name)
        if self.random.random() >= self.share:
            return
        self.cases.append({"name": name, "model": port.name, "experiment": experiment | others})


def representation(component, kind, layer=0, unit="pos", **others):
    entry = {"layer": layer, "component": component, "intervention_type": kind} | ({"unit": unit} if unit != "pos" else {}) | others
    if "." in component:
        del entry["layer"]
    return entry


def hop(form, kind):
    """A form as unit_locations."""
    if form is None:
        return None
    if "both" in form:
        return {"base": form["both"]}
    return {"sources->base": [form["source"], form["base"]]} if kind in SOURCED else {"base": form["base"]}


def flattened_units(form, unit):
    """What max_number_of_units must be for pyvene to collect all that is asked for."""
    if form is None:
        return POSITIONS
    value = form.get("both", form.get("base"))
    if unit == "h.pos":
        value = value["h"] if isinstance(value, dict) else [0]
    if isinstance(value, dict):
        return value["span"][1] - value["span"][0]
    if isinstance(value, list):
        while isinstance(value[0], list) and value[0]:
            value = value[0]
        return max(len(value), 1)
    return 4 if value == "all" else 1


def can(port, component, kind):
    return kind != "skip" or component in port.skips


def every_site(grid, port):
    """Every component x unit x intervention, the location forms taking turns."""
    wheel = itertools.cycle(KINDS)
    turns = {unit: {kind: itertools.cycle(forms[i:] + forms[:i]) for i, kind in enumerate(KINDS)} for unit, forms in FORMS.items()}
    for number, component in enumerate(port.walked()):
        for unit in ("h", "h.pos") if component.startswith("head_") else ("pos",):
            for kind in KINDS if port.kinds == len(KINDS) else itertools.islice(wheel, port.kinds):
                if not can(port, component, kind):
                    continue
                label, form = next(turns[unit][kind])
                if kind == "noise" and component.endswith("key_output") and form is None:  # the same on every key, which changes no attention
                    label, form = next(turns[unit][kind])
                entry = representation(component, kind, number % port.layers, unit)
                if kind == "collect" and (units := flattened_units(form, unit)) > 1:
                    entry["max_number_of_units"] = units
                grid.add(port, f"{component}_{unit}_{kind}_{label}", [entry], hop(form, kind), int(kind in SOURCED))


def every_form(grid, port):
    """Every location form x intervention at one place, and with noise the four units that pyvene's is for."""
    last = port.layers - 1
    head = "head_attention_value_output"
    places = [("block_output", "pos")] + ([(head, "h"), (head, "h.pos")] if head in port.sites else [])
    for (component, unit), kind in itertools.product(places, KINDS):
        if not can(port, component, kind):
            continue
        for label, form in FORMS[unit]:
            entry = representation(component, kind, last, unit)
            if kind == "collect" and (units := flattened_units(form, unit)) > 1:
                entry["max_number_of_units"] = units
            if f"{port.name}_{component}_{unit}_{kind}_{label}".replace(".", "_") not in grid.names:
                grid.add(port, f"{component}_{unit}_{kind}_{label}", [entry], hop(form, kind), int(kind in SOURCED))
    if head in port.sites:
        grid.add(port, "positions_of_a_head_component", [representation(head, "vanilla", 0, "pos")], {"base": [1, 3]}, 1)
        short = grid.batch(port, positions=4)
        grid.add(port, "noise_in_a_head_of_four_positions", [representation(head, "noise", 0, "h")], {"base": 1}, base=short)
    grid.add(port, "noise_in_four_positions_without_locations", [representation("block_output", "noise")], base=grid.batch(port, positions=4))
    grid.add(port, "noise_of_another_seed_and_level", [representation("block_output", "noise", seed=7, level=0.5)], {"base": [0, 1, 2]})


def modes(grid, port):
    """Two representations and two sources, in parallel and serially."""
    forms = [("int", 2, 2), ("negative", -1, -1), ("list", [1, 3], [0, 2]), ("rows", [[0, 2], [4, 1]], [[1, 2], [3, 0]]), ("ragged", [[0, 2], [3]], [[1, 2], [4]]), ("named", "last", "first"),
             ("span", {"span": [0, 2]}, {"span": [3, 5]})]
    for kind in KINDS:
        first = "mlp_activation" if kind != "skip" else "block_output"
        two = [representation(first, kind, 0), representation("block_output", kind, 1)]
        many = int(kind in SOURCED) * 2
        for label, source, base in forms:
            if kind == "collect":
                two = [entry | {"max_number_of_units": 2 if label in ("list", "rows", "span") else 1} for entry in two]
            if kind in SOURCED:
                grid.add(port, f"parallel_{kind}_{label}", two, {"sources->base": [source, base]}, many)
                grid.add(port, f"serial_{kind}_{label}", {"mode": "serial", "representations": two}, {"source_0->source_1": [source, base], "source_1->base": [base, source]}, many)
            else:
                grid.add(port, f"parallel_{kind}_{label}", two, {"base": base}, many)
        grid.add(port, f"parallel_{kind}_null", [entry | ({"max_number_of_units": POSITIONS} if kind == "collect" else {}) for entry in two], None, many)
        if kind in SOURCED:
            grid.add(port, f"serial_{kind}_null", {"mode": "serial", "representations": two}, None, many)
        mixed = [entry | ({"max_number_of_units": n} if kind == "collect" else {}) for entry, n in zip(two, (POSITIONS, 2))]
        grid.add(port, f"parallel_{kind}_each_with_null", mixed, {"base": [None, [[1, 2], [3, 0]]]}, many)
        each = {"base": [[[1], [2]], [[3], [0]]]} if kind not in SOURCED else {"sources->base": [[[[0], [4]], None], [[[1], [2]], None]]}
        last_units = [entry | ({"max_number_of_units": 1} if kind == "collect" else {}) for entry in two]
        grid.add(port, f"parallel_{kind}_each", last_units, each, many)
    vanilla = representation("block_output", "vanilla", 1)
    hops = {"source_0->source_1": 2, "source_1->base": [2, 3]}
    for kind in ("zero", "noise", "collect", "addition"):
        constant = {"source_representation": grid.vector(port.width)} if kind == "addition" else {}
        # What needs no source acts on the run of its hop, here the second source's.
        grid.add(port, f"serial_{kind}_without_source_before_vanilla", {"mode": "serial", "representations": [representation("block_output", kind, 0, **constant), vanilla]},
                 hops, [None, grid.batch(port)])
    three = [representation("block_input", "vanilla", 0), representation("mlp_activation", "addition", 0), representation("block_output", "vanilla", 1)]
    grid.add(port, "serial_three_hops", {"mode": "serial", "representations": three}, {"source_0->source_1": [0, 1], "source_1->source_2": 2, "source_2->base": [[1, 2], [3, 4]]}, 3)
    pair = [representation("block_output", "vanilla", 0, group_key=0), representation("mlp_activation", "addition", 1, group_key=0), representation("block_output", "vanilla", 1, group_key=1)]
    grid.add(port, "serial_grouped", {"mode": "serial", "representations": pair}, {"source_0->source_1": [1, 2], "source_1->base": 3}, 2)


def sources(grid, port):
    zero_one = [representation("block_output", "vanilla", 0), representation("block_output", "vanilla", 1)]
    width = port.width
    add = lambda *arguments, **others: grid.add(port, *arguments, **others)
    for kind in ("vanilla", "addition", "subtraction", "skip", "mix"):
        two = [representation("block_output", kind, 0), representation("block_output", kind, 1)]
        add(f"first_source_null_{kind}", two, {"sources->base": [0, [1, 2]] if kind == "mix" else 1} if kind != "mix" else {"base": 1}, [None, grid.batch(port)])
        add(f"second_source_null_{kind}", two, {"base": [1, 2]}, [grid.batch(port), None])
        add(f"one_source_for_both_{kind}", two, {"base": 1}, 1)
        same = grid.batch(port)
        add(f"equal_sources_{kind}", two, {"base": [0, 4]}, [same, same])
        add(f"the_base_as_source_{kind}", two[1:], {"sources->base": [3, 1]}, [same], base=same)
        add(f"a_source_of_one_row_{kind}", two[:1], {"sources->base": [[[0], [2]], [[1], [3]]]}, [grid.batch(port, rows=1)])
        add(f"a_longer_source_{kind}", two[:1], {"sources->base": [-1, 1]}, [grid.batch(port, positions=7)])
        grouped = [representation("block_output", kind, 0, group_key=0), representation("mlp_activation" if kind != "skip" else "block_output", kind, 1, group_key=0),
                   representation("block_output", kind, 1, group_key=1)]
        add(f"grouped_{kind}", grouped, {"sources->base": [1, 2]}, 2)
        add(f"grouped_with_a_null_source_{kind}", grouped, {"base": [1, 2]}, [grid.batch(port), None])
        add(f"group_keys_as_text_{kind}", [entry | {"group_key": "ab"[entry["group_key"]]} for entry in grouped], {"base": [[0], [3]]}, 2)
        linked = [representation("block_output", kind, 0, intervention_link_key=0), representation("block_output", kind, 1, intervention_link_key=0)]
        add(f"linked_at_two_layers_{kind}", linked, {"base": 1}, 2)
        add(f"linked_at_one_place_{kind}", [entry | {"layer": 1} for entry in linked], {"base": 1}, 2)
        if kind == "skip":
            continue
        add(f"vector_in_the_config_{kind}", [representation("block_output", kind, 1, source_representation=grid.vector(width))] if kind != "mix" else
            [representation("block_output", "mix", 1)], {"base": [1, 3]}, **({} if kind != "mix" else {"source_representations": grid.vector(width)}))
        add(f"vector_in_the_config_at_all_positions_{kind}", [representation("block_output", kind, 1, source_representation=grid.vector(width))])
        add(f"units_in_the_config_{kind}", [representation("block_output", kind, 0, source_representation=grid.vector(2, width))], {"base": [[1, 3], [0, 4]]})
        add(f"vector_of_the_call_{kind}", two, {"base": [1, 3]}, source_representations=grid.vector(width))
        add(f"vectors_by_index_{kind}", two, {"base": 2}, source_representations={"0": grid.vector(width), "1": grid.vector(width)})
        add(f"units_of_the_call_{kind}", two[:1], {"base": [[1, 3], [0, 4]]}, source_representations=grid.vector(2, width))
        add(f"rows_of_units_of_the_call_{kind}", two[:1], {"base": [[1, 3], [0, 4]]}, source_representations={"0": grid.vector(ROWS, 2, width)})
    linked = [representation("block_output", "addition", 0, intervention_link_key="v", source_representation=grid.vector(width)),
              representation("block_output", "addition", 1, intervention_link_key="v")]
    add("a_linked_vector", linked, {"base": 1})
    if "head_attention_value_output" in port.sites:
        head = width // 4
        add("vector_at_heads", [representation("head_attention_value_output", "addition", 1, "h.pos", source_representation=grid.vector(head))], {"base": {"h": [0, 2], "pos": [1, 3]}})
        add("vector_in_whole_heads", [representation("head_attention_value_output", "vanilla", 0, "h", source_representation=grid.vector(head))], {"base": 1})
    add("source_beside_a_vector", [representation("block_output", "addition", 0, source_representation=grid.vector(width)), zero_one[1]], {"base": 1}, [None, grid.batch(port)])
    add("zero_beside_a_source", [representation("block_output", "zero", 0), zero_one[1]], {"base": 1}, [None, grid.batch(port)])
    probe = [zero_one[0], representation("block_output", "collect", 1)]
    add("collect_after_a_write", probe, {"base": 1}, [grid.batch(port), None])
    add("collect_with_a_source_for_all", probe, {"base": 1}, 1)
    add("collect_between_two_writes", [representation("mlp_activation", "zero", 0), representation("block_output", "collect", 0), zero_one[1]], {"base": -1}, [None, None, grid.batch(port)])
    add("collects_only", [representation("block_output", "collect", 0), representation("block_input", "collect", 1), representation("mlp_activation", "collect", 1)], {"base": 3})
    add("two_writes_at_one_place", [representation("block_output", "addition", 1), representation("block_output", "subtraction", 1)], {"base": [2, 3]}, 2)
    add("output_and_next_input_are_one_place", [representation("block_input", "addition", 1), representation("block_output", "mix", 0, scale=2.0)], {"base": 2}, 2)
    add("without_the_original", zero_one[:1], {"base": 1}, 1, output_original_output=False)
    add("two_ints_are_two_positions", zero_one[:1], {"base": [1, 2]}, 1)
    add("a_pair_is_source_and_base", zero_one[:1], {"sources->base": [1, 2]}, 1)
    for number, path in enumerate(port.paths):
        for kind in ("vanilla", "zero", "collect", "addition"):
            add(f"path_{number}_{kind}", [representation(path, kind)], {"base": [2, 4]}, int(kind in SOURCED))
    # Spellings of a config.
    add("config_of_one_representation", {"layer": 1, "component": "block_output"}, {"base": 1}, 1)
    add("config_with_one_type_for_all", {"representations": [{"layer": 0}, {"layer": 1}], "intervention_types": "addition"}, {"base": 1}, 2)
    add("config_with_types_of_pyvene", {"representations": [[0, "block_output", "pos", 1, None, None, None, None, None, None, None, None, None, None],
                                                            [1, "mlp_activation", "pos", 1, None, None, None, None, None, None, None, None, None]],
                                        "intervention_types": ["<class 'pyvene.models.interventions.ZeroIntervention'>", "<class 'pyvene.models.interventions.VanillaIntervention'>"]},
        {"base": 1}, [None, grid.batch(port)])
    for kind in KINDS:
        if kind != "mix":
            config = {"representations": [representation("block_output", kind, 1)], "intervention_dimensions": [3]}
            add(f"leading_columns_{kind}", config, {"base": 2}, int(kind in SOURCED))
    if port.name == "gpt2":
        add("constants_of_a_file", [representation("block_output", "addition", 0), representation("block_output", "vanilla", 1)], {"base": [[0, 3], [2, 4]]},
            source_representations={"file": "constants.safetensors"})
        add("constants_of_a_saved_folder", "saved_constants", {"base": [1, 3]})


def padding(grid, port):
    """Rows of different lengths, padded at either end; positions count within each row's text."""
    if not port.tokens:
        return

    def padded(lengths, left):
        rows = [grid.row(port, length) for length in lengths]
        most = max(lengths)
        pad = [[0] * (most - len(row)) for row in rows]
        return {"input_ids": [p + row if left else row + p for row, p in zip(rows, pad)], "attention_mask": [[0] * len(p) + [1] * len(row) if left else [1] * len(row) + [0] * len(p) for row, p in zip(rows, pad)]}

    for left, kind in itertools.product((True, False), ("vanilla", "addition", "zero", "collect", "mix")):
        side = "left" if left else "right"
        for label, form in POSITION_FORMS:
            if label not in ("int", "negative", "list", "rows", "pair", "ragged", "named", "span", "rows_pair"):
                continue
            form = {"both": [[0, 2], [2, 1]]} if label == "rows" else {"source": [0, 2], "base": [1, 2]} if label == "pair" else {"source": [[0], [1]], "base": [[3], [2]]} if label == "rows_pair" else \
                {"both": [0, 2]} if label == "list" else {"both": [[0, 2], [1]]} if label == "ragged" else form
            entry = representation("block_output", kind, 0)
            if kind == "collect" and (units := flattened_units(form, "pos")) > 1:
                entry["max_number_of_units"] = units
            source = [padded((4, 3), left)] if kind in SOURCED else None
            grid.add(port, f"padded_{side}_{kind}_{label}", [entry], hop(form, kind), source, base=padded((5, 3), left))
        grid.add(port, f"padded_{side}_heads_{kind}", [representation("head_value_output", kind, 1, "h.pos")], {"base": {"h": 1, "pos": -1}}, [padded((4, 5), left)] if kind in SOURCED else None,
                 base=padded((5, 3), left))
    grid.add(port, "ragged_ids_are_padded_and_masked", [representation("block_output", "vanilla")], {"base": -1}, [{"input_ids": [grid.row(port, 3), grid.row(port, 4)]}],
             base={"input_ids": [grid.row(port, 5), grid.row(port, 2)]})


def subspaces(grid, port):
    """Columns and parts: the same for every row, a list a row, and rows of different lengths."""
    parts = {"parts": [[0, 2], [2, 4]], "lists": [[0, 2, 3], [1, 0, 2, 3][:3]], "columns": [{"columns": [1, 3]}, [0, 1]]}
    places = [("block_output", "pos", {"both": 1}), ("block_output", "pos", {"both": [0, 3]}), ("mlp_activation", "pos", None)]
    if "head_value_output" in port.sites:
        places += [("head_value_output", "h.pos", {"both": {"h": [0, 1], "pos": [1, 2]}}), ("head_attention_value_output", "h", {"both": 1}), ("value_output", "pos", {"both": 2})]
    for number, (component, unit, form) in enumerate(places):
        for kind in KINDS:
            if not can(port, component, kind):
                continue
            for label, value in (("int", 1), ("list", [0, 2]), ("entry", [[1, 3]]), ("same_rows", [[[0, 1], [0, 1]]]), ("rows", [[[0, 1], [2, 3]]]), ("ragged", [[[0, 1, 3], [2]]])):
                if kind == "collect" and label == "ragged" or (number > 1 and label in ("int", "entry", "same_rows")):
                    continue
                if number > 1 and kind in ("subtraction", "skip", "noise"):
                    continue
                grid.add(port, f"subspace_{number}_{kind}_{label}", [representation(component, kind, 1, unit)], hop(form, kind), int(kind in SOURCED), subspaces=value)
            if number not in (0, 1, 3) or (number > 0 and kind not in ("vanilla", "zero", "collect", "mix")):
                continue
            for (name, partition), (label, value) in itertools.product(parts.items(), (("one", 1), ("rows", [[[0], [1]]]))):
                if name == "columns" and label == "one" or (kind == "collect" and name != "parts"):
                    continue
                grid.add(port, f"partition_{number}_{kind}_{name}_{label}", [representation(component, kind, 1, unit, subspace_partition=partition)], hop(form, kind), int(kind in SOURCED), subspaces=value)
    two = [representation("block_output", "vanilla", 0, subspace_partition=[[0, 4], [4, 8]]), representation("block_output", "addition", 1)]
    grid.add(port, "subspace_each", two, {"base": 1}, 2, subspaces=[[1], None])
    grid.add(port, "subspace_each_by_row", two, {"base": 1}, 2, subspaces=[[[1], [0]], [[5], [6, 7]]])
    linked = [representation("block_output", "vanilla", 1, intervention_link_key=0, subspace_partition=[[0, 4], [4, 8]]), representation("block_output", "vanilla", 1, intervention_link_key=0)]
    grid.add(port, "subspace_of_linked", linked, {"base": 1}, 2, subspaces=[[0], [1]])


STEP_KINDS = ("vanilla", "addition", "subtraction", "zero", "collect", "mix")
STEP_FORMS = [
    ("one", {"both": 2}), ("pair", {"source": 3, "base": 1}), ("list", {"both": [1, 3]}), ("rows", {"both": [[0, 2], [1, 4]]}), ("ragged", {"both": [[0, 2], [3]]}),
    ("every", {"both": [0, 1, 2, 3, 4]}), ("named", {"source": "first", "base": "last"}), ("span", {"both": {"span": [1, 3]}}), ("crossed", {"source": [3, 0], "base": [1, 2]}),
    ("negative", {"both": -2}),
]


def by_step(grid, port):
    """A recurrent model: every component, and every step form x intervention, for two rows and for one."""
    grid.share = 1.0
    forms, kinds = itertools.cycle(STEP_FORMS), itertools.cycle(STEP_KINDS)
    for number, component in enumerate(port.walked()):
        for _ in range(2):
            kind, (label, form) = next(kinds), next(forms)
            add_steps(grid, port, f"{component}_{kind}_{label}", [representation(component, kind, number % port.layers, "t")], form, ROWS)
    for number, (kind, (label, form)) in enumerate(itertools.product(STEP_KINDS, STEP_FORMS)):
        if label not in ("rows", "ragged"):
            add_steps(grid, port, f"one_row_{kind}_{label}", [representation("cell_output", kind, number % port.layers, "t")], form, 1)
    two = [representation("cell_output", "vanilla", 0, "t"), representation("reset_gate_output", "addition", 1, "t")]
    grid.add(port, "two_sources", two, {"sources->base": [[0, 3], [1, 2]]}, 2)
    grid.add(port, "a_longer_source", two[:1], {"sources->base": [-1, 1]}, [grid.batch(port, positions=7)])
    grid.add(port, "columns", two[:1], {"base": [1, 3]}, 1, subspaces=[[0, 3]])
    grid.add(port, "vector_of_the_call", two[:1], {"base": [1, 3]}, source_representations=grid.vector(port.width))


def add_steps(grid, port, name, entries, form, rows):
    kind = entries[0]["intervention_type"]
    grid.add(port, name, entries, hop(form, kind), [grid.batch(port, rows)] if kind in SOURCED else 0, base=grid.batch(port, rows))


def make(ports, seed):
    grid = Grid(seed)
    for port in ports:
        if port.recurrent:
            by_step(grid, port)
            continue
        grid.share = 1.0
        every_site(grid, port)
        grid.share = port.share
        for section in (every_form, modes, sources, padding, subspaces):
            if port.share > 0:
                section(grid, port)
    return grid.cases
