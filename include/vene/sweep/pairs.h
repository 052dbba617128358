// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "vene/base/export.h"
#include "vene/models/load.h"

namespace vene {

/// A prompt, one that differs from it in what is looked for, and the answers that tell the two apart.
struct PromptPair {
  /// A position with a name, within the text of each.
  struct Place {
    std::string name{};
    std::int64_t clean = 0, corrupt = 0;
  };
  std::vector<std::int64_t> clean{};    ///< token ids
  std::vector<std::int64_t> corrupt{};  ///< empty: there is none
  std::vector<std::int64_t> answers{};  ///< the right one and the wrong one, the right one alone, or none
  std::vector<Place> positions{};       ///< in the order of the grid; empty: positions have no names
  std::int64_t answer_position = -1;    ///< where the answer is looked for, in either text; negative: from the end
  std::string where = "pairs";          ///< in messages: "pairs.jsonl, line 3"
};

/// A pair of texts, read by the model's tokenizer with the special tokens of its checkpoint.
/// @param corrupt  empty: none
/// @param answers  the right one and the wrong one, one token each, as they follow the prompt (" Rome")
/// Throws ConfigError for an answer of several tokens or none, ModelError for what the model cannot read.
VENE_API PromptPair prompt_pair(const models::LanguageModel& model, const std::string& clean,
                                const std::string& corrupt, const std::vector<std::string>& answers);

/// Pairs from lines of JSON: {"clean": TEXT or [ids], "corrupt": TEXT or [ids], "answers": [RIGHT, WRONG] (texts or
/// ids)}, where "corrupt" and "answers" may be left out; with "positions": {name: position or [clean, corrupt]} and
/// "answer_position": position where wanted. Empty lines are skipped. Positions count from 0, negative ones from the
/// end.
/// @param name  of the file, for messages, which say the line
VENE_API std::vector<PromptPair> parse_pairs(std::string_view lines, const models::LanguageModel& model,
                                             const std::string& name);
VENE_API std::vector<PromptPair> read_pairs(const std::string& path, const models::LanguageModel& model);

/// What is measured of the next token's logits at a pair's answer position.
enum class AnswerMetric : std::uint8_t {
  kLogitDifference,  ///< the right answer's logit less the wrong one's
  kProbability,      ///< of the right answer
  kLogProbability,   ///< its natural logarithm
  kKl,               ///< KL(clean run || this run) in nats, over the vocabulary; needs no answers
  kRank,             ///< how many tokens are more probable than the right answer
};
/// "logit_diff", "prob", "logprob", "kl", "rank".
VENE_API std::span<const std::string_view> names_of(AnswerMetric metric);
VENE_API std::string name_of(AnswerMetric metric);
/// ConfigError for a name that is none of them.
VENE_API AnswerMetric parse_answer_metric(const std::string& name);

}  // namespace vene
