// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <torch/types.h>

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "vene/base/export.h"
#include "vene/models/load.h"

namespace vene {

/// Causal tracing (Meng et al. 2022, the first case study of the pyvene paper): where does a model keep a fact?
struct CausalTraceOptions {
  /// The answer; empty: the clean run's most probable token. Its first token counts
  std::optional<std::string> target{};
  std::string subject{};  ///< the part of the prompt whose embeddings are noised; must occur in it
  /// Which one of several occurrences of the subject: 0 is the first, -1 the last. Empty: there must be one only
  std::optional<std::int64_t> occurrence{};
  std::optional<double> noise{};  ///< standard deviation of the noise; empty: three times that of the token embeddings
  std::uint32_t seed = 1;         ///< of numpy's RandomState, whose randn(samples, subject tokens, width) is used
  std::int64_t samples = 10;      ///< noise draws that results are averaged over
  std::vector<std::string> streams{"block_output", "mlp_activation", "attention_output"};
  /// Layers restored together, for streams other than block_output; 0: `usual_window` of the model's
  std::int64_t window = 0;
  std::function<bool(std::size_t done, std::size_t all)> progress{};  ///< false stops
  std::int64_t rows_per_batch = 0;                                    ///< 0: chosen by memory
  // Of a prompt that is given as token ids:
  std::vector<std::int64_t> subject_positions{};  ///< of the tokens that are noised, in place of `subject`
  std::optional<std::int64_t> target_id{};        ///< in place of `target`
};

struct CausalTrace {
  struct Stream {
    std::string component{};
    std::int64_t window = 0;      ///< 1 for block_output
    torch::Tensor probability{};  ///< [layers, positions], float64: of the target after restoring there
  };
  std::string model{};  ///< where it came from; for whoever loaded it to say
  std::string dtype{};  ///< of its weights, such as "float32"
  std::string prompt{}, subject{};
  std::vector<std::int64_t> token_ids{};
  std::vector<std::string> tokens{};  ///< UTF-8; bytes of a character that is cut in two are U+FFFD
  std::vector<std::int64_t> subject_positions{};
  std::int64_t target_id = 0;
  std::string target{};
  double noise = 0;
  double clean = 0;      ///< probability of the target in the clean run
  double corrupted = 0;  ///< and with the subject noised, averaged over the samples
  std::uint32_t seed = 1;
  std::int64_t samples = 0;
  std::vector<Stream> streams{};
};

VENE_API CausalTrace causal_trace(const models::LanguageModel& model, const std::string& prompt,
                                  const CausalTraceOptions& options);

/// The same of a prompt that is given as token ids, for which no tokenizer is needed: `subject_positions` and
/// `target_id` take the places of `subject` and `target`. ConfigError for positions that are not in the prompt, or all
/// of them.
VENE_API CausalTrace causal_trace(const models::LanguageModel& model, const std::vector<std::int64_t>& prompt,
                                  const CausalTraceOptions& options);

/// A fifth of the layers, at least one, as the 10 of 48 in the study.
VENE_API std::int64_t usual_window(std::int64_t layers);

/// Layers restored together with `layer`: max(0, l - floor(w/2)) up to, not including, min(L, l + ceil(w/2)).
VENE_API std::pair<std::int64_t, std::int64_t> restored_layers(std::int64_t layer, std::int64_t window,
                                                               std::int64_t layers);

/// stream,layer,position,token,probability
VENE_API std::string trace_csv(const CausalTrace& trace);
/// Everything needed to repeat it, and every figure.
VENE_API std::string trace_json(const CausalTrace& trace);

}  // namespace vene
