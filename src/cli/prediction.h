// SPDX-License-Identifier: Apache-2.0
// What an intervention did to the prediction: vene run --top, --probability, --position.
#pragma once
#include <CLI/CLI.hpp>
#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "vene/core/experiment.h"

namespace vene::cli {

struct PredictionChoice {
  std::int64_t top = 0;                  ///< most probable tokens to show
  std::vector<std::string> tokens;       ///< whose probabilities to show
  std::optional<std::int64_t> position;  ///< within each row's own text; empty: the last

  void add_to(CLI::App& command);
  /// ConfigError for options that would change nothing.
  void refuse_idle(bool plan_only) const;
  bool any() const { return top > 0 || !tokens.empty(); }
};

/// The ids of `choice.tokens`; ConfigError for one that is not one token of the model's.
std::vector<std::int64_t> chosen_tokens(const PredictionChoice& choice, const models::LanguageModel& lm);

/// A list with one object a row of the base: "row", "position" (within the padded row), "top" (a list of {"original":
/// {"id", "token", "probability"}, "intervened": {...}} from the most probable on) and "probabilities" ({"token", "id",
/// "original", "intervened"}). Without an original run there is no "original". PlanError where there are no logits, or
/// no such position.
nlohmann::ordered_json predictions(const Result& result, const models::Batch& base, const models::LanguageModel& lm,
                                   const PredictionChoice& choice, const std::vector<std::int64_t>& tokens);

/// The same as lines for people.
std::string predictions_text(const nlohmann::ordered_json& rows);

}  // namespace vene::cli
