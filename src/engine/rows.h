// SPDX-License-Identifier: Apache-2.0
// Many small edits on few base rows: each is a row of a wide batch that joins it at the block of its first write, and
// is run from its first written position on. Private to the library.
#pragma once
#include <torch/types.h>

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "src/engine/base_states.h"
#include "vene/hooks/site.h"
#include "vene/interventions/intervention.h"
#include "vene/locations/resolve.h"

namespace vene::engine {

/// A place and what happens there: a representation of a config.
struct Placement {
  Site site;
  Unit unit = Unit::kPos;  ///< kPos or kHeadPos
  std::shared_ptr<Intervention> intervention;
  torch::Tensor
      source;  ///< [1 or source rows, pos, ..., width] with heads split off, which edits read; undefined: none
  RowSpans source_text;  ///< the source rows' own columns; empty: none is padded
  std::string where;     ///< in messages: "representations[2]"
};

/// The units that a job writes at one placement.
struct Edit {
  std::size_t placement = 0;
  std::vector<std::int64_t> positions;         ///< columns of the base batch
  std::vector<std::int64_t> heads;             ///< for kHeadPos
  std::vector<std::int64_t> source_positions;  ///< columns of the source
  std::vector<std::int64_t> subspace;          ///< as SubspaceIds has a row; empty: all
};

/// One row to be run.
struct Job {
  std::int64_t row = 0;  ///< of the base, and of a source that has a row for each
  std::vector<Edit> edits;
};

/// Where a job starts: nothing below the stage and nothing before the position is computed.
struct Entry {
  std::int64_t stage = 0;
  std::int64_t position = 0;
  auto operator<=>(const Entry&) const = default;
};

class Rows {
 public:
  /// @param base  the states of the base rows; must hold what enters every stage that a job starts at
  /// @param logit_positions  columns at which logits are wanted, at least one; they come in this order
  Rows(models::StagedModel& model, std::vector<Placement> placements, std::vector<std::int64_t> logit_positions);

  /// The stage of a job's first write.
  std::int64_t first_stage(const Job& job) const;
  /// With the position before which nothing depends on its writes: 0 where the model has no keys and values to look
  /// back at, or something is written that is not a position's own.
  Entry entry(const Job& job, const BaseStates& base) const;
  /// Whether a job may not share a batch: an intervention of it makes rows depend on each other, or it writes along the
  /// keys of rows whose texts differ in length.
  bool runs_alone(const Job& job, const BaseStates& base) const;
  /// Logits [jobs, logit positions, vocabulary] of some jobs of one position, ordered by stage. PlanError for a write
  /// that the model did not reach.
  torch::Tensor logits(std::span<const Job* const> jobs, const BaseStates& base) const;

 private:
  struct Writers;
  void write(Writers& writers, torch::Tensor& live, const BaseStates& base) const;
  static Subspace subspace_of(const Writers& writers, const torch::Tensor& base, const std::string& where);

  models::StagedModel& model_;
  std::vector<Placement> placements_;
  std::vector<std::int64_t> logit_positions_;
  std::int64_t first_logit_;  // the smallest of them
};

}  // namespace vene::engine
