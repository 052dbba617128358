// SPDX-License-Identifier: Apache-2.0
// index.json of a folder of collected values. Private to the library.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "vene/config/intervenable_config.h"
#include "vene/core/collected_folder.h"
#include "vene/io/safetensors.h"

namespace vene::detail {

inline constexpr const char* kIndexFile = "index.json";
/// Tensors of a shard beside those of its sites.
inline constexpr const char *kRowText = "rows.text", *kRowPosition = "rows.position", *kRowToken = "rows.token",
                            *kTextRow = "texts.first_row", *kTextTokens = "texts.tokens";

struct CollectedShard {
  std::string file;
  std::int64_t first_text = 0, texts = 0, first_row = 0, rows = 0;
  std::string digest;  // of the texts, as ids
};

struct CollectIndex {
  ModelFingerprint model;
  std::string dtype;  // of the model
  std::int64_t texts = 0, tokens = 0;
  std::string digest;  // of the data
  std::vector<std::int64_t> positions;
  std::int64_t max_tokens = 0, batch_tokens = 0, shard_bytes = 0;
  std::vector<CollectedSite> sites;
  std::vector<CollectedShard> shards;  // those that are there

  bool complete() const;
  /// Of everything but the shards: what a shard names its run by.
  std::string run() const;
};

std::string shard_name(std::size_t number);
/// IoError with the path.
CollectIndex read_index(const std::string& folder);
void write_index(const std::string& folder, const CollectIndex& index);
/// Opens a shard of an index; IoError where it is not what the index says.
io::Safetensors open_shard(const std::string& folder, const CollectIndex& index, std::size_t number);

}  // namespace vene::detail
