// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <torch/types.h>

#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "vene/base/export.h"

namespace vene {

/// A site whose values a folder holds.
struct CollectedSite {
  std::string name{};       ///< "block_output.3", "embedding", or a path: what the tensors are called
  std::string component{};  ///< empty for a path
  std::int64_t layer = -1;
  std::string path{};
  torch::ScalarType dtype = torch::kFloat32;
  bool by_position = true;            ///< a row a position of a text; false: a row a text
  bool by_key = false;                ///< the last axis runs over keys: as many as the row's text has tokens
  std::vector<std::int64_t> shape{};  ///< of a row: [width], or [heads, width]; with `by_key` the last size is 0
  bool operator==(const CollectedSite&) const = default;
};

/// Which value a row is.
struct CollectedRow {
  std::int64_t text = 0;      ///< of the data, counted from 0; lines without text do not count
  std::int64_t position = 0;  ///< within the text
  std::int64_t token = 0;     ///< the id there
};

/// A folder that `collect` wrote: its index, and shards that are mapped when somebody reads them, so that reading a
/// few rows of many costs those rows. Also of a run that was stopped, as far as it got. A row of a site is one position
/// of one text (`by_position`), in the order of the data, or one text. Copies share their mappings; reading is safe
/// from several threads.
class VENE_API CollectedFolder {
 public:
  /// Reads the index. IoError with the path for a folder without index.json, or one that says nothing useful; and,
  /// once it is read, for a shard that is missing, cut, of another run, or not what the index says.
  static CollectedFolder open(const std::string& folder);

  bool complete() const;        ///< whether every text's values are there
  std::int64_t texts() const;   ///< whose values are there
  std::int64_t rows() const;    ///< positions of those
  std::int64_t shards() const;  ///< files that are there
  std::string model_architecture() const;
  std::string data_digest() const;  ///< of all texts of the data, as token ids
  const std::vector<CollectedSite>& sites() const;
  /// PlanError with the nearest names.
  const CollectedSite& site(const std::string& name) const;
  /// Rows of a site: `rows()`, or `texts()` where a text has one.
  std::int64_t rows_of(const std::string& site) const;

  /// All rows of a site: [rows, shape...]. Copied, but for a folder of one shard, where it is a view of the file.
  torch::Tensor values(const std::string& site) const;
  /// Rows [begin, end) of a site: [end - begin, shape...]; a view of the file where they lie in one shard. Keys are
  /// filled with zeros up to the most of a row. PlanError outside the rows.
  torch::Tensor values(const std::string& site, std::int64_t begin, std::int64_t end) const;
  /// Rows in any order: `rows` [n] int64. Reads those alone.
  torch::Tensor values(const std::string& site, const torch::Tensor& rows) const;
  /// What a site had for one text: [positions, shape...], keys cut to the text's.
  torch::Tensor of_text(const std::string& site, std::int64_t text) const;

  CollectedRow row(std::int64_t row) const;
  /// The rows of a text: [first, second).
  std::pair<std::int64_t, std::int64_t> rows_of_text(std::int64_t text) const;

 private:
  struct Shards;
  std::shared_ptr<const Shards> shards_;
};

}  // namespace vene
