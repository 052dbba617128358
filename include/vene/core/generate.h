// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <torch/types.h>

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "vene/base/export.h"
#include "vene/core/plan.h"

namespace vene {

/// One new token, as it is made.
struct GeneratedToken {
  std::int64_t row = 0;
  std::int64_t step = 0;  ///< 0 for the first new token
  std::int64_t id = 0;
  /// What can be shown by now: empty while a character is incomplete or a stop text may be beginning
  std::string text{};
  bool last = false;      ///< of its row
  bool original = false;  ///< of the generation without interventions
};

struct GenerateOptions {
  std::int64_t max_new_tokens = 64;
  double temperature = 0;  ///< 0: the most probable token each time
  std::int64_t top_k = 0;  ///< draw from the k most probable tokens; 0: from all
  double top_p = 1;        ///< then from the fewest whose probabilities sum to at least this
  /// Divides the positive scores of tokens that the row has, multiplies the negative ones
  double repetition_penalty = 1;
  /// Row r draws from a generator seeded with seed + r, so that what it says does not depend on the other rows.
  std::uint64_t seed = 0;
  std::vector<std::int64_t> stop_tokens{};  ///< besides what the checkpoint ends with
  std::vector<std::string> stop_texts{};    ///< end a row, and are left out of its text (not of its ids)
  bool ignore_eos = false;                  ///< go on after Tokenizer::ends
  /// False computes every position anew in every step, for models without a key-value cache. The result is the same.
  bool use_cache = true;
  bool keep_logits = false;  ///< fill Generated::logits
  /// Called for each new token, row by row; false ends the generation there.
  std::function<bool(const GeneratedToken&)> on_token{};
};

enum class StopReason : std::uint8_t { kLength, kStopToken, kStopText, kCancelled };

/// What became of one prompt.
struct GeneratedRow {
  std::vector<std::int64_t> ids{};  ///< prompt and new tokens, no padding
  std::int64_t prompt_length = 0;
  std::string text{};  ///< of the new tokens; empty without a tokenizer
  StopReason stopped = StopReason::kLength;
};

struct VENE_API Generated {
  std::vector<GeneratedRow> rows{};
  torch::Tensor logits{};  ///< [batch, steps, vocabulary] that each step chose from, with keep_logits
  /// [rows, longest], int64, prompts included, padded at the right with -1.
  torch::Tensor ids() const;
};

/// The values that one collecting intervention read, by step.
struct GenerationCollected {
  std::string key{};
  std::size_t representation = 0;
  std::map<std::int64_t, torch::Tensor> steps{};  ///< [batch, units..., width] each
  torch::Tensor valid{};  ///< of step 0: bool [batch, units...] where rows have different counts, else undefined
};

struct GenerateResult {
  std::optional<Generated> original{};
  Generated intervened{};
  std::vector<GenerationCollected> collected{};
  std::vector<FireReport> fired{};  ///< in how many steps each intervention acted
  bool cancelled = false;
};

/// Generates from a plan that was compiled with RunRequest::generation. Prompts may differ in length and be padded at
/// either end; positions count within each row's text. The interventions act in the passes that their `when` says.
/// Throws ConfigError for options out of range or more tokens than the model has positions, PlanError for a plan of
/// another kind or an intervention that never acted (unless the generation was cancelled).
VENE_API GenerateResult generate(const Plan& plan, const models::Batch& prompts,
                                 const std::vector<std::optional<models::Batch>>& sources = {},
                                 const GenerateOptions& options = {});

/// Without interventions.
VENE_API Generated generate(models::Model& model, const models::Batch& prompts, const GenerateOptions& options = {},
                            const text::Tokenizer* tokenizer = nullptr);

}  // namespace vene
