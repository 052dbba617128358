# SPDX-License-Identifier: Apache-2.0
"""An experiment (docs/experiment.md) with everything spelled out: one entry a representation and a row."""
import dataclasses
import json
import pathlib

import torch
from safetensors.torch import load_file

HERE = pathlib.Path(__file__).parent
FIELDS = ("layer", "component", "unit", "max_number_of_units", "low_rank_dimension", "intervention_type", "intervention", "subspace_partition", "group_key",
          "intervention_link_key", "moe_key", "source_representation", "hidden_source_representation", "latent_dim")
TYPES = {"VanillaIntervention": "vanilla", "AdditionIntervention": "addition", "SubtractionIntervention": "subtraction", "ZeroIntervention": "zero",
         "CollectIntervention": "collect", "SkipIntervention": "skip", "NoiseIntervention": "noise"}
NEEDS_SOURCE = ("vanilla", "addition", "subtraction", "skip")
TAKES_SOURCE = NEEDS_SOURCE + ("mix",)


def tensors(batch):
    if batch is None:
        return None
    if "inputs_embeds" in batch:
        return {"inputs_embeds": torch.tensor(batch["inputs_embeds"], dtype=torch.float32)}
    rows = batch["input_ids"]
    longest = max(len(row) for row in rows)
    result = {"input_ids": torch.tensor([row + [0] * (longest - len(row)) for row in rows])}
    if "attention_mask" in batch:
        result["attention_mask"] = torch.tensor(batch["attention_mask"])
    elif any(len(row) < longest for row in rows):
        result["attention_mask"] = torch.tensor([[1] * len(row) + [0] * (longest - len(row)) for row in rows])
    return result


def texts(batch):
    """(first column, length) of every row's text, and the width of the batch."""
    primary = batch.get("input_ids", batch.get("inputs_embeds"))
    if "attention_mask" not in batch:
        return [(0, primary.shape[1])] * primary.shape[0]
    return [(row.tolist().index(1), int(row.sum())) for row in batch["attention_mask"]]


def counted(selector, length):
    if isinstance(selector, int):
        assert -length <= selector < length
        return [selector % length]
    if selector in ("all", "prompt"):
        return list(range(length))
    if selector in ("first", "last"):
        selector = {selector: 1}
    if "span" in selector:
        return list(range(*selector["span"]))
    if "first" in selector:
        return list(range(selector["first"]))
    return list(range(length - selector["last"], length))


def is_selector(value):
    return isinstance(value, (int, str)) or (isinstance(value, dict) and "h" not in value)


def is_flat(value):
    return is_selector(value) or (isinstance(value, list) and all(is_selector(entry) for entry in value))


def depth(value):
    return 1 + max((depth(entry) for entry in value), default=0) if isinstance(value, list) else 0


def per_representation(side):
    return isinstance(side, list) and not is_flat(side) and (depth(side) >= 3 or any(entry is None or (isinstance(entry, dict) and "h" in entry) for entry in side))


def axis(value, spans):
    """Indices for every row: spans are (offset, length) a row."""
    rows = [value] * len(spans) if is_flat(value) else value * len(spans) if len(value) == 1 else value
    assert len(rows) == len(spans)
    result = []
    for row, (begin, length) in zip(rows, spans):
        row = [row] if is_selector(row) else row
        result.append([begin + index for selector in row for index in counted(selector, length)])
    return result


def units(value, unit, spans, heads):
    """None, one list a row, or (heads, positions) for h.pos."""
    if value is None:
        return None
    all_heads = [(0, heads)] * len(spans)
    if unit == "h.pos":
        first, second = (value["h"], value["pos"]) if isinstance(value, dict) else value
        return axis(first, all_heads), axis(second, spans)
    return axis(value, spans if unit in ("pos", "t") else all_heads)


class Experiment:
    def __init__(self, case, port):
        raw = case["experiment"]
        config = raw["config"]
        self.folder = HERE / config if isinstance(config, str) else None
        if self.folder:
            config = json.loads((self.folder / "config.json").read_text())
        if isinstance(config, list):
            config = {"representations": config}
        if "representations" not in config:
            config = {"representations": [config]}
        self.port = port
        self.mode = config.get("mode", "parallel")
        self.representations = []
        types = config.get("intervention_types", "vanilla")
        for index, entry in enumerate(config["representations"]):
            entry = dict(zip(FIELDS, entry)) if isinstance(entry, list) else dict(entry)
            kind = entry.get("intervention_type") or (types[index] if isinstance(types, list) else types)
            kind = kind.strip("<>'").rsplit(".", 1)[-1]
            defaults = {"layer": 0, "component": "block_output", "unit": "pos", "max_number_of_units": 1}
            self.representations.append(defaults | {k: v for k, v in entry.items() if v is not None} | {"kind": TYPES.get(kind, kind)})
        links = {}
        for entry in self.representations:  # linked ones share one intervention, the first one's
            if "intervention_link_key" in entry:
                first = links.setdefault(entry["intervention_link_key"], entry)
                entry |= {name: first.get(name) for name in ("kind", "subspace_partition", "source_representation", "scale") if first.get(name) is not None}
        count = len(self.representations)
        keys = [entry.get("group_key") for entry in self.representations]
        seen = list(dict.fromkeys(keys))
        self.group_of = [seen.index(key) for key in keys] if keys[0] is not None else list(range(count))
        self.groups = max(self.group_of) + 1
        self.dimensions = config.get("intervention_dimensions") or [None] * count
        self.base = tensors(raw["base"])
        given = raw.get("sources") or []
        self.given = len(given)
        self.sources = [tensors(source) for source in (given * self.groups if len(given) == 1 else given)] or [None] * self.groups
        self.locations_given = raw.get("unit_locations") is not None
        self.collects = any(entry["kind"] == "collect" for entry in self.representations)
        self.constants = self.read_constants(raw.get("source_representations"))
        self.subspaces = self.read_subspaces(raw.get("subspaces"))
        self.where = [self.read_locations(raw.get("unit_locations") or {}, index) for index in range(count)]
        self.original = raw.get("output_original_output", True)

    def rows(self, batch=None):
        return next(iter((batch or self.base).values())).shape[0]

    def reads_source(self, index):
        kind = self.representations[index]["kind"]
        return kind in TAKES_SOURCE and self.constants[index] is None and self.sources[self.group_of[index]] is not None

    def is_left_out(self, index):
        """A source is wanted and there is none."""
        return self.representations[index]["kind"] in NEEDS_SOURCE and self.constants[index] is None and self.sources[self.group_of[index]] is None

    def site(self, index):
        """The site with its path complete."""
        entry = self.representations[index]
        if "." in entry["component"]:
            path, side = entry["component"].rsplit(".", 1)
            return type(next(iter(self.port.sites.values())))(path, {"input": "in", "output": "out"}[side])
        site = self.port.sites[entry["component"]]
        return dataclasses.replace(site, path=site.path % entry["layer"])

    def read_constants(self, given):
        if isinstance(given, dict) and "file" in given:
            given = {name: tensor.tolist() for name, tensor in load_file(HERE / given["file"]).items()}
        constants = []
        for index, entry in enumerate(self.representations):
            value = entry.get("source_representation")
            value = None if value is None else torch.tensor(value, dtype=torch.float32)
            if entry.get("hidden_source_representation"):
                (archive,) = [file for file in self.folder.glob("intkey_*.bin") if file.stem.endswith(f"#{index}") or len(self.representations) == 1]
                value = torch.load(archive)["source_representation"]
            elif isinstance(given, dict):
                if str(index) in given:
                    value = torch.tensor(given[str(index)], dtype=torch.float32)
            elif given is not None and entry["kind"] in TAKES_SOURCE:
                value = torch.tensor(given, dtype=torch.float32)
            constants.append(value)
        return constants

    def read_subspaces(self, given):
        count, rows = len(self.representations), self.rows()
        if given is None:
            return [None] * count
        if isinstance(given, int):
            given = [given]
        if all(isinstance(entry, int) for entry in given):
            return [[given] * rows] * count
        given = given * count if len(given) == 1 else given
        return [None if entry is None else [entry] * rows if all(isinstance(e, int) for e in entry) else entry * rows if len(entry) == 1 else entry for entry in given]

    def columns(self, index, row, width):
        """Columns of the unit that an intervention acts on."""
        subspaces = self.subspaces[index]
        if subspaces is None:
            return list(range(min(self.dimensions[index] or width, width)))
        partition = self.representations[index].get("subspace_partition")
        if partition is None:
            return [column % width for column in subspaces[row]]
        columns = []
        for part in subspaces[row]:
            part = partition[part]
            columns += part["columns"] if isinstance(part, dict) else list(range(*part)) if len(part) == 2 else part
        return columns

    def target(self, index):
        """What a representation writes into: the base, or in serial mode the next group's source."""
        group = self.group_of[index]
        return self.base if self.mode == "parallel" or group + 1 == self.groups else self.sources[group + 1]

    def read_locations(self, given, index):
        entry, group = self.representations[index], self.group_of[index]
        heads = self.site(index).heads
        if self.mode == "parallel":
            hop, place, count = "sources->base", index, len(self.representations)
        else:
            hop = f"source_{group}->" + ("base" if group + 1 == self.groups else f"source_{group + 1}")
            place = self.group_of[:index].count(group)
        base = given.get("base") if "base" in given else given.get(hop)
        source = base
        if "base" not in given and isinstance(base, list):
            source, base = base

        def chosen(side, batch, rows):
            value = side[place] if per_representation(side) else side
            spans = texts(batch)
            return units(value, entry["unit"], spans * rows if len(spans) == 1 else spans, heads)

        target = self.target(index)
        rows = self.rows(target)
        from_source = self.sources[group] is not None
        return (chosen(source, self.sources[group], rows) if from_source else None), chosen(base, target, rows)
