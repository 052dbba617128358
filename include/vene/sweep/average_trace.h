// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <torch/types.h>

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "vene/base/export.h"
#include "vene/sweep/causal_trace.h"

namespace vene {

/// One prompt of a study.
struct TracePrompt {
  std::string prompt{}, subject{};
  std::optional<std::string> target{};       ///< empty: the clean run's most probable token
  std::optional<std::int64_t> occurrence{};  ///< as in CausalTraceOptions
  std::string where{};                       ///< what messages call it, such as "facts.jsonl line 3"; empty: prompts[3]
};

/// Prompts of a .jsonl file: an object a line with "prompt", "subject" and, if wanted, "target" and "occurrence".
/// ConfigError with the line's number for one that cannot be read; IoError.
VENE_API std::vector<TracePrompt> load_trace_prompts(const std::string& path);

struct AverageTraceOptions {
  CausalTraceOptions trace{};     ///< of each prompt; subject, target and occurrence are the prompt's own
  std::int64_t bootstrap = 1000;  ///< draws of the prompts, for the intervals
  /// Told how many prompts are done; false stops, with a PlanError
  std::function<bool(std::size_t done, std::size_t all)> progress{};
};

/// Positions that prompts of any length have, as in the ROME study: of the subject the first token, those in its middle
/// and the last one, then the first token behind it, further ones, and the prompt's last one. A token may be of two: a
/// subject's only token is its first and its last one.
VENE_API const std::vector<std::string>& trace_classes();

/// Causal traces of many prompts, averaged.
struct AverageTrace {
  struct Stream {
    std::string component{};
    std::int64_t window = 0;
    torch::Tensor probability{};  ///< [layers, classes], float64: the mean over the prompts that have the class
    /// The same less the corrupted run's probability: the average indirect effect. NaN where no prompt has the class
    torch::Tensor effect{};
    torch::Tensor low{}, high{};  ///< of the effect: an interval of 95 %, by drawing the prompts anew (bootstrap)
  };
  std::string model{};  ///< where it came from; for whoever loaded it to say
  std::vector<CausalTrace> prompts{};
  std::vector<std::int64_t> counts{};  ///< how many prompts have each class
  double clean = 0, corrupted = 0;     ///< means over the prompts
  std::int64_t bootstrap = 0;
  std::vector<Stream> streams{};
};

/// Traces each prompt, all streams in one sweep, and averages. Of a class with several tokens in a prompt it takes
/// their mean, so that every prompt weighs the same. All prompts are checked before the first is traced. Throws as
/// `causal_trace` does, with the prompt's number in front; ConfigError for no prompts.
VENE_API AverageTrace average_trace(const models::LanguageModel& model, const std::vector<TracePrompt>& prompts,
                                    const AverageTraceOptions& options = {});

/// stream,layer,position,prompts,probability,effect,low,high; empty where no prompt has the position
VENE_API std::string average_trace_csv(const AverageTrace& trace);
/// Everything needed to repeat it, and every figure, each prompt's too.
VENE_API std::string average_trace_json(const AverageTrace& trace);

}  // namespace vene
