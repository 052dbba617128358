// SPDX-License-Identifier: Apache-2.0
#include "src/train/checkpoint.h"

#include <algorithm>

#include "src/base/digest.h"
#include "src/train/options.h"
#include "vene/base/error.h"
#include "vene/io/safetensors.h"

namespace vene::train {
namespace {

using detail::Json;
using torch::Tensor;

void add(io::NamedTensors& all, const std::string& prefix, const NamedTensors& tensors) {
  for (const auto& [name, tensor] : tensors) all.emplace_back(prefix + name, tensor.detach());
}

NamedTensors part(const io::NamedTensors& all, const std::string& prefix) {
  NamedTensors tensors;
  for (const auto& [name, tensor] : all) {
    if (name.starts_with(prefix)) tensors.emplace_back(name.substr(prefix.size()), tensor.clone());
  }
  return tensors;
}

Tensor table(const std::vector<std::vector<double>>& rows, std::int64_t columns) {
  Tensor values = torch::empty({static_cast<std::int64_t>(rows.size()), columns}, torch::kFloat64);
  for (std::size_t row = 0; row < rows.size(); ++row)
    values[static_cast<std::int64_t>(row)] = torch::tensor(rows[row], torch::kFloat64);
  return values;
}

std::vector<std::vector<double>> rows_of(const Tensor& table) {
  std::vector<std::vector<double>> rows;
  for (std::int64_t row = 0; row < table.size(0); ++row) {
    rows.emplace_back();
    for (std::int64_t column = 0; column < table.size(1); ++column)
      rows.back().push_back(table[row][column].item<double>());
  }
  return rows;
}

// More steps than any training takes.
constexpr std::int64_t kMostSteps = std::int64_t{1} << 60;

// Over what a training reads.
class Fingerprint : public detail::Digest {
 public:
  using Digest::add;
  void add(const Tensor& tensor) {
    add(static_cast<std::int64_t>(tensor.defined()));
    if (!tensor.defined()) return;
    const Tensor plain = tensor.detach().cpu().contiguous();
    for (const std::int64_t size : plain.sizes()) add(size);
    add(plain.const_data_ptr(), plain.nbytes());
  }
  void add(const models::Batch& batch) {
    for (const Tensor& tensor : {batch.input_ids, batch.attention_mask, batch.inputs_embeds}) add(tensor);
    for (const Tensor& tensor : batch.extra) add(tensor);
  }
  void add(const SideSelection& side) {
    add(static_cast<std::int64_t>(side.for_all));
    for (const UnitSelection& unit : side.units) {
      add(static_cast<std::int64_t>(unit ? unit->size() : 0));
      for (const AxisSelection& axis : unit.value_or(std::vector<AxisSelection>{})) {
        for (const RowSelection& row : axis.rows) {
          add(static_cast<std::int64_t>(row.size()));
          for (const Selector& selector : row) {
            for (const std::int64_t value :
                 {static_cast<std::int64_t>(selector.kind), selector.begin, selector.end, selector.occurrence})
              add(value);
            add(selector.text);
          }
        }
      }
    }
  }
  void add(const std::vector<Label>& labels) {
    for (const Label& label : labels) {
      add(label.token);
      add(label.position);
    }
  }
  void add(const Example& example) {
    add(example.base);
    for (const auto& source : example.sources) source ? add(*source) : add(std::int64_t{0});
    for (const auto& [name, hop] : example.locations.hops) {
      add(name);
      if (hop.source) add(*hop.source);
      add(hop.base);
    }
    for (const auto& ids : example.subspaces) {
      for (const auto& row : ids ? ids->rows : std::vector<std::vector<std::int64_t>>{}) {
        for (const std::int64_t id : row) add(id);
        add(std::int64_t{-1});
      }
    }
    add(example.labels);
    add(example.task_labels);
    add(example.rival.value_or(-1));
  }
};

// The options that a training must share with the one that it goes on from.
class Identity {
 public:
  explicit Identity(Json& json) : json_(json) {}
  template <class T>
  void operator()(const detail::OptionText& text, const T& value) {
    if (!text.resumes) return;
    if constexpr (detail::Enumeration<T>) {
      json_[text.name] = static_cast<int>(value);
    } else if (Json held = detail::option_json(value); !held.is_null()) {
      json_[text.name] = std::move(held);
    }
  }

 private:
  Json& json_;
};

}  // namespace

std::string training_identity(const TrainOptions& options, const IntervenableModelImpl& model,
                              const std::vector<Example>& examples, const std::vector<Example>& validation,
                              std::int64_t steps) {
  Json json{{"examples", examples.size()}, {"steps", steps}};
  visit(options, Identity(json));
  Fingerprint data, interventions;
  for (const std::vector<Example>* set : {&examples, &validation}) {
    data.add(static_cast<std::int64_t>(set->size()));
    for (const Example& example : *set) data.add(example);
  }
  const auto& representations = model.config().representations;
  const bool ready = std::any_of(representations.begin(), representations.end(),
                                 [](const RepresentationConfig& r) { return r.intervention != nullptr; });
  if (!ready) {  // ready instances have no text
    IntervenableConfig config = model.config();
    for (RepresentationConfig& r : config.representations)
      r.options.erase("seed");  // where they start is no matter to one that goes on
    interventions.add(config.to_json());
  }
  for (const std::string& key : model.keys()) interventions.add(key);
  for (const std::string& part : model.trained_parts()) interventions.add(part);
  json["data"] = data.text();
  json["interventions"] = interventions.text();
  return detail::written_json(json, -1);
}

void write_checkpoint(const std::string& path, const Checkpoint& checkpoint, const std::string& identity) {
  io::NamedTensors all;
  add(all, "parameter.", checkpoint.parameters);
  add(all, "constant.", checkpoint.constants);
  add(all, "optimizer.", checkpoint.optimizer);
  add(all, "best.", checkpoint.best);
  all.emplace_back("generator", checkpoint.generator);
  if (checkpoint.device_generator.defined()) all.emplace_back("device_generator", checkpoint.device_generator);
  std::vector<std::vector<double>> steps, epochs;
  for (const StepRecord& r : checkpoint.report.steps)
    steps.push_back({static_cast<double>(r.step), static_cast<double>(r.epoch), r.loss, r.accuracy, r.learning_rate,
                     r.temperature});
  for (const EpochRecord& r : checkpoint.report.epochs) {
    epochs.push_back({static_cast<double>(r.epoch), r.validation.loss, r.validation.accuracy,
                      r.validation.logit_difference, r.validation.kl});
  }
  all.emplace_back("steps", table(steps, 6));
  all.emplace_back("epochs", table(epochs, 5));
  all.emplace_back("best_loss", torch::tensor(checkpoint.best_loss, torch::kFloat64));
  const Json state{{"next_step", checkpoint.next_step},
                   {"epochs_without", checkpoint.epochs_without},
                   {"best_step", checkpoint.best_step}};
  io::write_safetensors(path, all,
                        {{"format", "vene training checkpoint"},
                         {"version", "1"},
                         {"identity", identity},
                         {"state", detail::written_json(state, -1)}});
}

Checkpoint read_checkpoint(const std::string& path, const std::string& identity) {
  const auto file = io::Safetensors::open(path);
  auto entry = [&](const char* key) {
    const auto found = file.metadata().find(key);
    if (found == file.metadata().end())
      throw IoError(path + ": is not a training checkpoint ('" + key + "' is missing)");
    return found->second;
  };
  if (entry("version") != "1")
    throw IoError(path + ": is a checkpoint of version " + entry("version") + ", this vene reads version 1");
  if (entry("identity") != identity)
    throw PlanError(path + ": is the checkpoint of another training (" + entry("identity") + "; this one is " +
                    identity + ")");
  const Json state = detail::read_json<IoError>(entry("state"), path + ": its state is damaged");
  const auto number = [&](const char* key) {
    const bool right = state.is_object() && state.contains(key) && state[key].is_number_integer();
    const auto value = right ? state[key].get<std::int64_t>() : -2;
    if (value < -1 || value > kMostSteps) throw IoError(path + ": its state is damaged");
    return value;
  };
  io::NamedTensors all;
  for (const io::TensorInfo& info : file.tensors()) all.emplace_back(info.name, file.tensor(info.name));
  Checkpoint checkpoint;
  checkpoint.next_step = number("next_step");
  checkpoint.epochs_without = number("epochs_without");
  checkpoint.best_step = number("best_step");
  checkpoint.parameters = part(all, "parameter.");
  checkpoint.constants = part(all, "constant.");
  checkpoint.optimizer = part(all, "optimizer.");
  checkpoint.best = part(all, "best.");
  const auto tensor = [&](const char* name, std::int64_t columns) {
    Tensor found = file.tensor(name);
    const bool right = columns == 0 ? found.scalar_type() == torch::kFloat64 && found.numel() == 1
                       : columns == 1
                           ? found.scalar_type() == torch::kUInt8 && found.dim() == 1
                           : found.scalar_type() == torch::kFloat64 && found.dim() == 2 && found.size(1) == columns;
    if (!right) throw IoError(path + ": its '" + name + "' is damaged");
    return found;
  };
  checkpoint.best_loss = tensor("best_loss", 0).item<double>();
  checkpoint.generator = tensor("generator", 1).clone();
  if (file.contains("device_generator")) checkpoint.device_generator = tensor("device_generator", 1).clone();
  for (const auto& r : rows_of(tensor("steps", 6))) {
    checkpoint.report.steps.push_back(
        {static_cast<std::int64_t>(r[0]), static_cast<std::int64_t>(r[1]), r[2], r[3], r[4], r[5]});
  }
  for (const auto& r : rows_of(tensor("epochs", 5)))
    checkpoint.report.epochs.push_back({static_cast<std::int64_t>(r[0]), {r[1], r[2], r[3], r[4]}});
  return checkpoint;
}

}  // namespace vene::train
