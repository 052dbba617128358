// SPDX-License-Identifier: Apache-2.0
#include "src/train/checkpoint.h"

#include <nlohmann/json.hpp>

#include "vene/base/error.h"
#include "vene/io/safetensors.h"

namespace vene::train {
namespace {

using Json = nlohmann::json;
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
  for (std::size_t row = 0; row < rows.size(); ++row) values[static_cast<std::int64_t>(row)] = torch::tensor(rows[row], torch::kFloat64);
  return values;
}

std::vector<std::vector<double>> rows_of(const Tensor& table) {
  std::vector<std::vector<double>> rows;
  for (std::int64_t row = 0; row < table.size(0); ++row) {
    rows.emplace_back();
    for (std::int64_t column = 0; column < table.size(1); ++column) rows.back().push_back(table[row][column].item<double>());
  }
  return rows;
}

}  // namespace

std::string training_identity(const TrainOptions& options, std::size_t examples, std::int64_t steps) {
  Json json{{"optimizer", static_cast<int>(options.optimizer)}, {"learning_rate", options.learning_rate}, {"weight_decay", options.weight_decay}, {"momentum", options.momentum},
            {"batch_size", options.batch_size},                 {"accumulation", options.accumulation},   {"schedule", static_cast<int>(options.schedule)},
            {"warm_up", options.warm_up},                       {"clip", options.clip},                   {"seed", options.seed},
            {"examples", examples},                             {"steps", steps}};
  if (options.temperature) json["temperature"] = {options.temperature->first, options.temperature->second};
  return json.dump();
}

void write_checkpoint(const std::string& path, const Checkpoint& checkpoint, const std::string& identity) {
  io::NamedTensors all;
  add(all, "parameter.", checkpoint.parameters);
  add(all, "constant.", checkpoint.constants);
  add(all, "optimizer.", checkpoint.optimizer);
  add(all, "best.", checkpoint.best);
  all.emplace_back("generator", checkpoint.generator);
  std::vector<std::vector<double>> steps, epochs;
  for (const StepRecord& r : checkpoint.report.steps) steps.push_back({static_cast<double>(r.step), static_cast<double>(r.epoch), r.loss, r.accuracy, r.learning_rate, r.temperature});
  for (const EpochRecord& r : checkpoint.report.epochs) {
    epochs.push_back({static_cast<double>(r.epoch), r.validation.loss, r.validation.accuracy, r.validation.logit_difference, r.validation.kl});
  }
  all.emplace_back("steps", table(steps, 6));
  all.emplace_back("epochs", table(epochs, 5));
  all.emplace_back("best_loss", torch::tensor(checkpoint.best_loss, torch::kFloat64));
  const Json state{{"next_step", checkpoint.next_step}, {"epochs_without", checkpoint.epochs_without}};
  io::write_safetensors(path, all, {{"format", "vene training checkpoint"}, {"version", "1"}, {"identity", identity}, {"state", state.dump()}});
}

Checkpoint read_checkpoint(const std::string& path, const std::string& identity) {
  const auto file = io::Safetensors::open(path);
  auto entry = [&](const char* key) {
    const auto found = file.metadata().find(key);
    if (found == file.metadata().end()) throw IoError(path + ": is not a training checkpoint ('" + key + "' is missing)");
    return found->second;
  };
  if (entry("version") != "1") throw IoError(path + ": is a checkpoint of version " + entry("version") + ", this vene reads version 1");
  if (entry("identity") != identity) throw PlanError(path + ": is the checkpoint of another training (" + entry("identity") + "; this one is " + identity + ")");
  const Json state = Json::parse(entry("state"), nullptr, false);
  if (!state.is_object() || !state.contains("next_step") || !state.contains("epochs_without")) throw IoError(path + ": its state is damaged");
  io::NamedTensors all;
  for (const io::TensorInfo& info : file.tensors()) all.emplace_back(info.name, file.tensor(info.name));
  Checkpoint checkpoint;
  checkpoint.next_step = state["next_step"];
  checkpoint.epochs_without = state["epochs_without"];
  checkpoint.parameters = part(all, "parameter.");
  checkpoint.constants = part(all, "constant.");
  checkpoint.optimizer = part(all, "optimizer.");
  checkpoint.best = part(all, "best.");
  checkpoint.best_loss = file.tensor("best_loss").item<double>();
  checkpoint.generator = file.tensor("generator").clone();
  for (const auto& r : rows_of(file.tensor("steps"))) {
    checkpoint.report.steps.push_back({static_cast<std::int64_t>(r[0]), static_cast<std::int64_t>(r[1]), r[2], r[3], r[4], r[5]});
  }
  for (const auto& r : rows_of(file.tensor("epochs"))) checkpoint.report.epochs.push_back({static_cast<std::int64_t>(r[0]), {r[1], r[2], r[3], r[4]}});
  return checkpoint;
}

}  // namespace vene::train
