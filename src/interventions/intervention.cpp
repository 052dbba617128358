// SPDX-License-Identifier: Apache-2.0
#include "vene/interventions/intervention.h"

#include "vene/base/error.h"

namespace vene {

std::string option_type_name(OptionType type) {
  switch (type) {
    case OptionType::kBool: return "true or false";
    case OptionType::kInteger: return "an integer";
    case OptionType::kNumber: return "a number";
    case OptionType::kString: return "a text";
    case OptionType::kTensor: return "a nested list of numbers";
  }
  return "?";
}

Intervention::Intervention(const InterventionSettings& settings)
    : source_representation_(settings.source_representation), subspace_partition_(settings.subspace_partition) {}

void Intervention::set_source_representation(torch::Tensor value) { source_representation_ = std::move(value); }

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
FiringGuard::FiringGuard(Firing firing) : firing_(std::move(firing)), outer_(serving) { serving = &firing_; }
FiringGuard::~FiringGuard() { serving = outer_; }
}  // namespace detail

std::shared_ptr<Intervention> make_lambda(InterventionFunction function, Traits traits) {
  if (!function) throw ConfigError("a lambda intervention needs a function");
  return std::make_shared<Lambda>(std::move(function), traits);
}

}  // namespace vene
