// SPDX-License-Identifier: Apache-2.0
// The prompts of patch and ablate, and what is measured of them.
#pragma once
#include <CLI/CLI.hpp>
#include <cstdint>
#include <string>
#include <vector>

#include "vene/sweep/pairs.h"

namespace vene::cli {

struct PairChoice {
  std::string file, prompt, corrupt;
  std::vector<std::string> answers;
  std::string metric = "logit_diff";
  std::int64_t bootstrap = 0;
  std::uint64_t seed = 1;
  bool per_pair = false;

  /// @param name  of the command, whose files --per-pair adds to
  void add_to(CLI::App& command, const std::string& name, const std::string& seeded);
  /// UsageError for options that exclude or lack each other. Before anything is loaded.
  void check(bool needs_corrupt) const;
  std::vector<PromptPair> read(const models::LanguageModel& model) const;
};

}  // namespace vene::cli
