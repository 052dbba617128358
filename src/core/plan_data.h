// SPDX-License-Identifier: Apache-2.0
// What a Plan holds. Private to core.
#pragma once
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "vene/core/plan.h"
#include "vene/hooks/hook_scope.h"
#include "vene/hooks/site.h"
#include "vene/locations/gather.h"
#include "vene/locations/resolve.h"

namespace vene::detail {

/// One side (source or base) of a representation: what was asked for, and the index made from it where the value's
/// sizes are known before the run.
struct Side {
  UnitSelection selection;  // empty: the whole value
  RowTexts texts;
  RowTexts key_texts;     // the texts that attention's keys are of: in a decoding step still the prompts
  std::int64_t rows = 0;  // of the gathered value: the base's
  std::optional<UnitIndex> index;
  std::string where;
};

/// Unit "t": which rows act at which call of the site.
struct Steps {
  struct Call {
    torch::Tensor rows;         // int64; undefined: every row
    torch::Tensor source_flat;  // index into the source values stacked as [calls * rows, width]
    torch::Tensor units;  // which entry of its list each of those rows is at; only with a constant of several units
  };
  bool every = false;                    // no locations: every call, every row
  std::map<std::int64_t, Call> writes;   // by base call
  std::vector<std::int64_t> read_calls;  // of the source (or of the collected value), ascending
  torch::Tensor collect_flat;            // [rows, units] into the collected values stacked likewise
  torch::Tensor collect_valid;           // bool [rows, units], undefined: all
  std::int64_t units = 0;                // entries of the longest row
  /// The last call that an act needs; -1 without locations.
  std::int64_t last_write() const { return writes.empty() ? -1 : writes.rbegin()->first; }
  std::int64_t last_read() const { return read_calls.empty() ? -1 : read_calls.back(); }
};

/// One representation, compiled.
struct Placement {
  std::size_t representation = 0;
  std::string key;
  std::string where;  // "representations[2]"
  Site site;
  Site source_site;  // where its source is read
  Unit unit = Unit::kPos;
  Traits traits;
  std::shared_ptr<Intervention> intervention;
  std::size_t group = 0;
  Side source;
  Side base;
  Steps steps;
  std::optional<SubspaceIds> subspace_ids;
  std::optional<Subspace> subspace;  // set when the width is known before the run
  torch::Tensor constant;            // stands in for a source run
  bool reads_source = false;         // its source comes from a run
  bool skipped = false;              // its group has no source
  bool also_original = false;        // what it collects is also read without interventions
  bool own_steps = false;            // unit "t" without locations: its steps are those of each row's text
  When when = When::prompt();        // a generation's passes in which it acts
  Side source_decoding;              // what `source` and `base` are in a decoding step, which reads one token a row
  Side base_decoding;
  Steps steps_decoding;  // what `steps` is there: a decoding step calls a recurrent cell once, call 0
};

enum class Act : std::uint8_t { kRead, kWrite, kCollect };

struct Action {
  Act act;
  std::size_t placement;
  // The value is reached through the site that it is a part of, because another action is there: so they run in their
  // order.
  bool inside_whole = false;
};

/// Where an action hooks in.
struct HookPlace {
  SiteId site;
  Phase phase;
};
inline const Site& site_at(const Placement& placement, const Action& action) {
  return action.act == Act::kRead ? placement.source_site : placement.site;
}
inline HookPlace place_of(const Placement& placement, const Action& action) {
  const Site& site = site_at(placement, action);
  return action.inside_whole ? HookPlace{site.part->whole, site.part->phase} : HookPlace{site.id, site.phase};
}

/// One forward of the model.
struct Pass {
  std::optional<std::size_t> group;  // whose source is the input; empty: the base
  std::vector<Action> actions;
  HookTable table;
  bool ends_early = false;  // nothing is wanted after the last action
};

struct PlanData {
  std::shared_ptr<models::Model> model;
  Mode mode = Mode::kParallel;
  std::vector<Placement> placements;
  std::vector<Pass> passes;
  std::optional<Pass> original_pass;         // reads what is collected, without interventions
  std::vector<std::size_t> source_of_group;  // the group whose entry in `sources` serves this one
  std::vector<bool> group_has_source;
  std::size_t groups = 0;
  std::size_t sources_given = 0;
  /// What an input must be like at a run: the plan's indices are of its rows' texts.
  struct InputShape {
    std::vector<std::int64_t> sizes;
    torch::Tensor mask;  // as given
    RowTexts texts;
  };
  InputShape base_shape;
  std::map<std::size_t, InputShape> source_shapes;  // by group that is run
  models::Batch probe;                              // a row of the base, to see what order the model runs its sites in
  bool original = false;
  bool collect_only = false;
  std::optional<Generation> generation;
  const text::Tokenizer* tokenizer = nullptr;

  /// Whether the run of a placement's source is read in a step of a generation (in a run, step 0 is all there is).
  bool reads_at(const Placement& placement, std::int64_t step) const {
    if (!placement.reads_source) return false;
    return generation && generation->source_steps == SourceSteps::kSame ? placement.when.acts(step) : step == 0;
  }
};

inline std::string name_of(const Placement& placement) {
  return placement.where + " (" + placement.key + ")";
}
/// The site that a representation names; PlanError with its index and the nearest names.
const Site& site_of(const IntervenableConfig& config, std::size_t representation, const models::Model& model);

/// The group of each representation, in order of first appearance; without group keys each is its own. Sets how many
/// there are.
std::vector<std::size_t> group_of_representations(const IntervenableConfig& config, std::size_t& groups);
/// A constant source that is a lone number as the site's whole width of it; others as they are. ConfigError, beginning
/// with `where`, for a site whose width is not known.
torch::Tensor spread_constant(const torch::Tensor& constant, const Site& site, const std::string& where);
/// Whether two values of an option are the same, tensors number by number.
bool same_value(const OptionValue& a, const OptionValue& b);

// What `compile` does, in order.
/// Which representations get their source from a run, which from a constant, which go without; which groups share a
/// run.
void set_sources(PlanData& plan, const RunRequest& request);
/// Where each reads and writes, and in a generation when. `source_texts` by group that is run, `when` by
/// representation.
void set_locations(PlanData& plan, const RunRequest& request, const RowTexts& base_texts,
                   const std::map<std::size_t, RowTexts>& source_texts, const std::vector<std::optional<When>>& when);
/// The forwards of the model and what happens in each, without their hooks.
void add_passes(PlanData& plan);

/// Makes the index of one side for a value of these sizes.
UnitIndex make_index(const Placement& placement, const Side& side, const std::vector<Axis>& axes,
                     const std::vector<std::int64_t>& sizes, torch::Device device);
/// A source of one row serves every row of what it is written into.
RowTexts repeated(const RowTexts& texts, std::int64_t rows);
/// LocationError where a row that is acted on has another number of keys in its source than in what it is written into.
/// Empty lists: every row has as many as the value.
struct KeyCounts {
  std::vector<std::int64_t> by_row;
  std::int64_t all = 0;
  std::int64_t of(std::int64_t row) const {
    return by_row.empty() ? all : by_row[by_row.size() == 1 ? 0 : static_cast<std::size_t>(row)];
  }
};
void check_keys(const Placement& placement, const KeyCounts& source, const KeyCounts& base, const UnitIndex& index);
/// Whether a value's last axis runs over attention's keys.
inline bool has_keys(const Site& site) {
  return !site.axes.empty() && site.axes.back() == Axis::kKey;
}
/// The steps of a placement's two sides (unit "t").
Steps make_steps(const Placement& placement, const Side& base, const Side& source, torch::Device device);
/// What was written down at each call of unit "t" in the order of the calls, as [batch, units, width].
torch::Tensor assemble_steps(const Steps& steps, const std::map<std::int64_t, torch::Tensor>& values);
/// The prompts with their padding moved to the left and cut to the longest, without a mask where none is padded.
/// PlanError for prompts without token ids or with holes.
models::Batch left_padded(const models::Batch& prompts, const std::string& where);
/// Throws PlanError for inputs of other shapes than the plan was compiled for.
void check_inputs(const PlanData& plan, const models::Batch& base,
                  const std::vector<std::optional<models::Batch>>& sources);
/// PlanError for a mask with a hole between a row's tokens.
void check_mask(const models::Batch& batch, const RowTexts& texts, const std::string& where);
/// The actions of a pass in the order that the model runs them; as they are listed where that cannot be tried.
std::vector<Action> in_run_order(const PlanData& plan, const Pass& pass);
/// Whether two sources are the same input, and need one run only.
bool same_input(const models::Batch& a, const models::Batch& b);
/// The hook of one action.
Hook make_hook(const PlanData& plan, std::size_t pass, std::size_t action);

}  // namespace vene::detail
