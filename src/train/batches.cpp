// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include "src/train/example_set.h"
#include "src/train/shape_key.h"
#include "vene/base/error.h"
#include "vene/base/names.h"
#include "vene/locations/resolve.h"
#include "vene/train/example.h"

namespace vene::train {
namespace {

void describe(std::string& key, const torch::Tensor& tensor) {
  key += tensor.defined() ? shape_text(tensor.sizes()) : std::string("-");
}

void describe(std::string& key, const models::Batch& batch) {
  describe(key, batch.input_ids);
  describe(key, batch.inputs_embeds);
  describe(key, batch.attention_mask);
  for (const torch::Tensor& extra : batch.extra) describe(key, extra);
}

void describe(std::string& key, const SideSelection& side) {
  key += side.for_all ? "a" : "e";
  for (const UnitSelection& unit : side.units) key += unit ? std::to_string(unit->size()) : "n";
}

torch::Tensor joined(const std::vector<const models::Batch*>& parts, torch::Tensor models::Batch::*field) {
  std::vector<torch::Tensor> rows;
  for (const models::Batch* part : parts) rows.push_back(part->*field);
  return rows[0].defined() ? torch::cat(rows, 0) : torch::Tensor();
}

models::Batch joined(const std::vector<const models::Batch*>& parts) {
  models::Batch batch;
  batch.input_ids = joined(parts, &models::Batch::input_ids);
  batch.attention_mask = joined(parts, &models::Batch::attention_mask);
  batch.inputs_embeds = joined(parts, &models::Batch::inputs_embeds);
  for (std::size_t i = 0; i < parts[0]->extra.size(); ++i) {
    std::vector<torch::Tensor> rows;
    for (const models::Batch* part : parts) rows.push_back(part->extra[i]);
    batch.extra.push_back(torch::cat(rows, 0));
  }
  return batch;
}

// Appends the rows of a side, each of which has one row an axis.
void append(SideSelection& to, const SideSelection& from, const std::string& name) {
  for (std::size_t unit = 0; unit < to.units.size(); ++unit) {
    if (!to.units[unit]) continue;
    for (std::size_t axis = 0; axis < to.units[unit]->size(); ++axis) {
      const AxisSelection& picked = (*from.units[unit])[axis];
      if (picked.rows.size() != 1)
        throw LocationError(name + ": locations for " + std::to_string(picked.rows.size()) +
                            " rows, an example has one");
      (*to.units[unit])[axis].rows.push_back(picked.rows[0]);
    }
  }
}

SideSelection without_rows(SideSelection side) {
  for (UnitSelection& unit : side.units) {
    if (!unit) continue;
    for (AxisSelection& axis : *unit) axis.rows.clear();
  }
  return side;
}

Locations join_locations(const std::vector<Example>& examples, const std::vector<std::size_t>& rows) {
  Locations all = examples[rows[0]].locations;
  for (auto& [name, hop] : all.hops) {
    if (hop.source) hop.source = without_rows(*hop.source);
    hop.base = without_rows(hop.base);
    for (const std::size_t row : rows) {
      const HopSelection& mine = examples[row].locations.hops.at(name);
      const std::string example = name_of(examples[row], row);
      if (hop.source) append(*hop.source, *mine.source, example);
      append(hop.base, mine.base, example);
    }
  }
  return all;
}

// Label positions as columns of the batch.
torch::Tensor label_columns(const Example& example, const std::vector<Label>& labels, std::size_t row) {
  const RowTexts texts =
      RowTexts::of(example.base.primary(), example.base.attention_mask, example.base.input_ids, nullptr);
  AxisSelection axis;
  axis.rows.emplace_back();
  for (const Label& label : labels) axis.rows[0].push_back({Selector::Kind::kIndex, label.position, 0, {}, 0});
  return torch::tensor(resolve_positions(axis, texts, name_of(example, row) + ", labels")[0], torch::kInt64);
}

torch::Tensor label_tokens(const std::vector<Label>& labels) {
  std::vector<std::int64_t> ids;
  for (const Label& label : labels) ids.push_back(label.token);
  return torch::tensor(ids, torch::kInt64);
}

std::string text_length(const models::Batch& row) {
  if (!row.attention_mask.defined()) return std::string();
  return std::to_string(row.attention_mask.ne(0).sum().item<std::int64_t>());
}

void check(const Example& example, std::size_t row) {
  const std::string name = name_of(example, row);
  if (example.base.rows() != 1)
    throw PlanError(name + ": its base has " + std::to_string(example.base.rows()) + " rows, expected one");
  if (example.labels.empty()) throw PlanError(name + ": it has no labels");
  for (const auto& source : example.sources) {
    if (source && source->rows() != 1)
      throw PlanError(name + ": a source of it has " + std::to_string(source->rows()) + " rows, expected one");
  }
  for (const auto& ids : example.subspaces) {
    if (ids && ids->rows.size() != 1)
      throw PlanError(name + ": subspaces for " + std::to_string(ids->rows.size()) + " rows, an example has one");
  }
}

}  // namespace

std::string name_of(const Example& example, std::size_t row) {
  return example.name.empty() ? "example " + std::to_string(row) : example.name;
}

std::string shape_key(const Example& example, std::size_t number) {
  check(example, number);
  std::string key;
  describe(key, example.base);
  for (const auto& source : example.sources) source ? describe(key, *source) : void(key += "|null");
  // Without locations the whole of a text is acted on, padding left out: texts of one length have one shape.
  const auto whole = [](const SideSelection& side) {
    return std::any_of(side.units.begin(), side.units.end(), [](const UnitSelection& unit) { return !unit; });
  };
  const auto& hops = example.locations.hops;
  if (hops.empty() || std::any_of(hops.begin(), hops.end(), [&](const auto& hop) {
        return whole(hop.second.base) || (hop.second.source && whole(*hop.second.source));
      })) {
    key += "|" + text_length(example.base);
    for (const auto& source : example.sources) key += "," + (source ? text_length(*source) : std::string());
  }
  for (const auto& [name, hop] : example.locations.hops) {
    key += "|" + name;
    if (hop.source) describe(key, *hop.source);
    key += "/";
    describe(key, hop.base);
  }
  key += "|";
  for (const auto& ids : example.subspaces) key += ids ? "s" : "n";
  return key + "|" + std::to_string(example.labels.size()) + (example.rival ? "r" : "") +
         std::to_string(example.task_labels.size());
}

ExampleBatch join(const std::vector<Example>& examples, const std::vector<std::size_t>& rows) {
  if (rows.empty()) throw PlanError("a batch needs at least one example");
  const Example& first = examples.at(rows[0]);
  const std::string key = shape_key(first, rows[0]);
  ExampleBatch batch;
  batch.rows = rows;
  std::vector<const models::Batch*> bases;
  std::vector<torch::Tensor> positions, tokens, task_positions, task_tokens;
  std::vector<std::int64_t> rivals;
  for (const std::size_t row : rows) {
    const Example& example = examples.at(row);
    if (shape_key(example, row) != key)
      throw PlanError(name_of(example, row) + " does not have the shape of " + name_of(first, rows[0]) +
                      ", so they cannot be one batch");
    bases.push_back(&example.base);
    positions.push_back(label_columns(example, example.labels, row));
    tokens.push_back(label_tokens(example.labels));
    if (!example.task_labels.empty()) {
      task_positions.push_back(label_columns(example, example.task_labels, row));
      task_tokens.push_back(label_tokens(example.task_labels));
    }
    if (example.rival) rivals.push_back(*example.rival);
  }
  batch.request.base = joined(bases);
  batch.request.tokenizer = first.tokenizer;
  for (std::size_t group = 0; group < first.sources.size(); ++group) {
    if (!first.sources[group]) {
      batch.request.sources.emplace_back();
      continue;
    }
    std::vector<const models::Batch*> parts;
    for (const std::size_t row : rows) parts.push_back(&*examples[row].sources[group]);
    batch.request.sources.emplace_back(joined(parts));
  }
  batch.request.locations = join_locations(examples, rows);
  for (std::size_t i = 0; i < first.subspaces.size(); ++i) {
    if (!first.subspaces[i]) {
      batch.request.subspaces.emplace_back();
      continue;
    }
    SubspaceIds ids;
    for (const std::size_t row : rows) ids.rows.push_back(examples[row].subspaces[i]->rows[0]);
    batch.request.subspaces.emplace_back(std::move(ids));
  }
  batch.positions = torch::stack(positions);
  batch.tokens = torch::stack(tokens);
  if (!rivals.empty()) batch.rivals = torch::tensor(rivals, torch::kInt64);
  if (!task_tokens.empty()) {
    batch.task_positions = torch::stack(task_positions);
    batch.task_tokens = torch::stack(task_tokens);
  }
  return batch;
}

std::vector<std::vector<std::size_t>> batches(const std::vector<Example>& examples, std::int64_t batch_size,
                                              std::optional<std::uint64_t> seed) {
  return ExampleSet(examples).batches(batch_size, seed);
}

void check_labels(const std::vector<Example>& examples, const models::Model& model) {
  const std::int64_t size = model.vocabulary_size();
  for (std::size_t row = 0; row < examples.size(); ++row) {
    check(examples[row], row);
    const Example& example = examples[row];
    (void)label_columns(example, example.labels, row);
    if (!example.task_labels.empty()) (void)label_columns(example, example.task_labels, row);
    if (size == 0) continue;
    auto inside = [&](std::int64_t token, const char* what) {
      if (token < 0 || token >= size) {
        throw PlanError(name_of(example, row) + ": the " + what + " " + std::to_string(token) +
                        " is outside the vocabulary, whose tokens are 0 to " + std::to_string(size - 1));
      }
    };
    for (const Label& label : example.labels) inside(label.token, "label");
    for (const Label& label : example.task_labels) inside(label.token, "task label");
    if (example.rival) inside(*example.rival, "rival");
  }
}

}  // namespace vene::train
