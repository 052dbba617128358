// SPDX-License-Identifier: Apache-2.0
#include "vene/interventions/intervention.h"

#include <map>

#include "vene/base/error.h"
#include "vene/base/names.h"

namespace vene {

std::string option_type_name(OptionType type) {
  switch (type) {
    case OptionType::kBool:
      return "true or false";
    case OptionType::kInteger:
      return "an integer";
    case OptionType::kNumber:
      return "a number";
    case OptionType::kString:
      return "a text";
    case OptionType::kTensor:
      return "a nested list of numbers";
  }
  return "?";
}

Intervention::Intervention(const InterventionSettings& settings)
    : source_representation_(settings.source_representation), subspace_partition_(settings.subspace_partition) {}

void Intervention::set_source_representation(torch::Tensor value) {
  source_representation_ = std::move(value);
}

void Intervention::require_width(const InterventionSettings& settings, const char* name) {
  if (settings.width <= 0) {
    throw PlanError(std::string(name) +
                    " is made for the width of its site, which is not known at a bare path; name the component");
  }
  width_ = settings.width;
}

NamedTensors Intervention::state() const {
  NamedTensors tensors;
  for (const auto& item : named_parameters()) tensors.emplace_back(item.key(), item.value().detach());
  for (const auto& item : named_buffers()) tensors.emplace_back(item.key(), item.value().detach());
  return tensors;
}

void Intervention::restore(const NamedTensors& state, const std::string& where) {
  const torch::NoGradGuard no_grad;
  std::map<std::string, torch::Tensor> given(state.begin(), state.end());
  // pyvene's bookkeeping: the width is the model's, the interchanged columns stand in config.json, a population counts
  // 0, 1, 2 ...
  for (const char* name : {"embed_dim", "interchange_dim", "intervention_population"}) given.erase(name);
  std::vector<std::string> names;
  for (auto& [name, tensor] : this->state()) {
    names.push_back(name);
    const auto found = given.find(name);
    if (found == given.end()) throw IoError(where + ": the tensor '" + name + "' is missing");
    if (found->second.sizes() != tensor.sizes()) {
      throw IoError(where + ": the tensor '" + name + "' has shape " + shape_text(found->second.sizes()) +
                    ", expected " + shape_text(tensor.sizes()));
    }
    tensor.copy_(found->second);
    given.erase(found);
  }
  if (!given.empty())
    throw IoError(where + ": the intervention has no tensor '" + given.begin()->first + "'" +
                  name_hint(given.begin()->first, names));
}

NamedTensors Intervention::pyvene_state() const {
  return state();
}

torch::Tensor Intervention::pyvene_dimension(std::int64_t value_width) const {
  const std::int64_t count = interchange_dim.value_or(width_ > 0 ? width_ : value_width);
  return count > 0 ? torch::tensor(count) : torch::Tensor();
}

namespace {

thread_local const Firing* serving = nullptr;

class Lambda : public Intervention {
 public:
  Lambda(InterventionFunction function, Traits traits) : function_(std::move(function)), traits_(traits) {}
  Traits traits() const override { return traits_; }
  torch::Tensor forward(const torch::Tensor& base, const torch::Tensor& source, const Subspace& subspace) override {
    return function_(base, source, subspace);
  }

 private:
  InterventionFunction function_;
  Traits traits_;
};

}  // namespace

const Firing& current_firing() {
  if (serving == nullptr) throw PlanError("current_firing: no run is calling an intervention on this thread");
  return *serving;
}

namespace detail {
const Firing* firing_or_null() {
  return serving;
}
FiringGuard::FiringGuard(Firing firing) : firing_(std::move(firing)), outer_(serving) {
  serving = &firing_;
}
FiringGuard::~FiringGuard() {
  serving = outer_;
}
}  // namespace detail

std::shared_ptr<Intervention> make_lambda(InterventionFunction function, Traits traits) {
  if (!function) throw ConfigError("a lambda intervention needs a function");
  return std::make_shared<Lambda>(std::move(function), traits);
}

}  // namespace vene
