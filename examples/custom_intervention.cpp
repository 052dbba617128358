// SPDX-License-Identifier: Apache-2.0
// An intervention of one's own, registered by name and used from JSON: multiply by a constant.
#include <iostream>

#include "vene/vene.h"

class Multiply : public vene::Intervention {
 public:
  explicit Multiply(const vene::InterventionSettings& settings)
      : Intervention(settings), factor_(std::get<double>(settings.options.at("factor"))) {}
  vene::Traits traits() const override { return {.needs_source = false}; }
  torch::Tensor forward(const torch::Tensor& base, const torch::Tensor&, const vene::Subspace&) override {
    return base * factor_;
  }

 private:
  double factor_;
};

int main(int count, char** arguments) {
  vene::InterventionRegistry::standard().add(
      {.name = "multiply",
       .doc = "Multiplies the value by a constant.",
       .options = {{"factor", vene::OptionType::kNumber, std::nullopt, "What to multiply by."}},
       .build = [](const vene::InterventionSettings& settings) { return std::make_shared<Multiply>(settings); }});
  auto lm = vene::models::load(count > 1 ? arguments[1] : "assets/landmarks-gpt2");
  vene::IntervenableModel dimmed(
      vene::IntervenableConfig::parse(
          R"([{"layer": 0, "component": "mlp_output", "intervention_type": "multiply", "factor": 0.0}])"),
      lm.model);
  const auto result = dimmed->forward(
      {.base = lm.encode("The Space Needle is in downtown"), .locations = vene::all(), .original = true});
  const double before = lm.top_tokens(result.original->logits, 1)[0].probability;
  const double after =
      torch::softmax(result.intervened.logits[0][-1], -1)[lm.top_tokens(result.original->logits, 1)[0].id]
          .item<double>();
  std::cout << "P(answer) with the first MLP: " << before << ", without: " << after << "\n";
}
