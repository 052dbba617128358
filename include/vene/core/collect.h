// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <torch/types.h>

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "vene/base/export.h"
#include "vene/core/collected_folder.h"
#include "vene/models/load.h"

namespace vene {

struct CollectOptions {
  /// Names of components, paths, or patterns of either ("*_output", "*", "transformer.h.*.input")
  std::vector<std::string> sites{"block_output"};
  std::optional<std::vector<std::int64_t>> layers{};  ///< of components that have layers; empty: all
  /// Within each text, negative from its end; empty: all
  std::vector<std::int64_t> positions{};
  std::optional<torch::ScalarType> dtype{};  ///< that values are stored in; empty: the model's. Integers keep theirs
  std::int64_t max_tokens = 0;               ///< so many of each text are read; 0: all, and one too long is refused
  std::int64_t shard_bytes = std::int64_t{256} << 20;  ///< of a shard's values at most, but for a text that has more
  std::int64_t batch_tokens = 4096;                    ///< of a forward, padding included
  bool resume = false;  ///< go on in a folder where a run was stopped: finished shards stay as they are
  /// Told how many texts are done of those that are to do (while the data is read: 0, and how many there are so far);
  /// false stops
  std::function<bool(std::size_t done, std::size_t all)> progress{};
};

struct CollectReport {
  std::int64_t texts = 0, rows = 0, shards = 0;
  std::int64_t kept_shards = 0;  ///< that were there before
  std::int64_t bytes = 0;        ///< of all values
  std::vector<CollectedSite> sites{};
};

/// Runs a model over every text of a file and writes what it had at some sites into a folder of shards with an index,
/// which `CollectedFolder` reads. The pass ends after the last site, so that nothing is computed that nobody reads.
/// Texts of about a length share a padded batch (recurrent models: of one length), and their values are those that each
/// has alone. Memory is that of a shard and a batch, however many texts there are.
/// @param data  a text a line, or for a name that ends in .jsonl an object a line with "text" or "ids". Lines without
///              anything are left out. It is read twice: once to check all of it, before the model runs.
/// @param folder  is made, or empty, or with `resume` one that a run of the same model, sites, options and data left.
///                A shard is there in whole or not at all; the index names those that are.
/// Throws ConfigError for options and for a line of the data that cannot be read (with its number), LocationError for a
/// position that a text does not have, ModelError for one that is too long or has ids outside the vocabulary, PlanError
/// for sites that the model does not have or does not reach, and once `progress` said to stop; IoError.
VENE_API CollectReport collect(const models::LanguageModel& model, const std::string& data, const std::string& folder,
                               const CollectOptions& options = {});

}  // namespace vene
