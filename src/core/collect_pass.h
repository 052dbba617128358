// SPDX-License-Identifier: Apache-2.0
// Reads what a model has at some sites for a batch of texts, and ends the pass after the last of them.
#pragma once
#include <torch/types.h>

#include <cstdint>
#include <optional>
#include <vector>

#include "vene/hooks/hook_scope.h"
#include "vene/hooks/site.h"
#include "vene/models/load.h"

namespace vene::detail {

struct CollectText {
  std::int64_t number = 0, first_row = 0;  // in its shard
  std::vector<std::int64_t> ids;
  std::vector<std::int64_t> positions;  // that are wanted
};

/// What the rows of a site's values are, as CollectedSite says.
struct CollectedRows {
  torch::ScalarType dtype = torch::kFloat32;
  bool by_position = true, by_key = false;
  std::vector<std::int64_t> shape;
};

class CollectPass {
 public:
  /// @param dtype  of what is kept; empty: the model's
  CollectPass(const models::LanguageModel& lm, std::vector<Site> sites, std::optional<torch::ScalarType> dtype);

  /// Runs a text for what it shows of the sites. PlanError for one that the model does not reach, or that has no rows.
  std::vector<CollectedRows> probe(const std::vector<std::int64_t>& ids);
  /// Runs texts and puts each site's rows into its tensor of `values`: [rows of the shard, ...].
  void run(const std::vector<CollectText*>& texts, std::vector<torch::Tensor>& values);
  /// Whether texts may not be padded: a recurrent cell goes on over padding.
  bool one_length() const { return one_length_; }

 private:
  struct Batch;
  torch::Tensor rows_of(std::size_t site, const torch::Tensor& value, const Batch& batch, torch::Tensor& places,
                        CollectedRows& rows) const;
  void forward(Batch& batch);

  const models::LanguageModel& lm_;
  std::vector<Site> sites_;
  torch::ScalarType dtype_;
  bool one_length_;
};

}  // namespace vene::detail
