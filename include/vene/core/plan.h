// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <torch/types.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "vene/base/export.h"
#include "vene/config/intervenable_config.h"
#include "vene/interventions/intervention.h"
#include "vene/locations/locations.h"
#include "vene/models/model.h"
#include "vene/text/tokenizer.h"

namespace vene {

/// In a generation, which step of a source's run an intervention's source value comes from.
enum class SourceSteps : std::uint8_t {
  kPrompt,  ///< the pass over the source's prompt, whichever step it is used in
  kSame,    ///< the source generates too (greedily or as the options say, without interventions): step k's value goes
            ///< into step k
};

/// What a plan for `generate` (vene/core/generate.h) says beyond a run's.
struct Generation {
  /// When interventions act whose representation does not say. Empty: `prompt` for those with locations, `both` for
  /// those without.
  std::optional<When> when{};
  SourceSteps source_steps = SourceSteps::kPrompt;
};

/// What one run is asked to do: inputs, places, constants.
struct RunRequest {
  models::Batch base{};
  /// One a group (representations without group keys are each their own group), empty entries for groups that get no
  /// source; or a single one for every group. Interventions whose entry is empty are left out.
  std::vector<std::optional<models::Batch>> sources{};
  Locations locations{};
  /// One a representation, empty entries for the whole width; or a single one for all.
  std::vector<std::optional<SubspaceIds>> subspaces{};
  /// Values to use in a source run's stead, one a representation, undefined entries for none; or a single one for all:
  /// [width], [units, width] or [batch, units, width]. Gradients flow into them.
  std::vector<torch::Tensor> source_representations{};
  bool original = false;      ///< also run the model without interventions
  bool collect_only = false;  ///< end the run after the last collected value: no output of the intervened model
  const text::Tokenizer* tokenizer = nullptr;  ///< for positions given as text, and the texts of a generation
  std::optional<Generation> generation{};      ///< set: a plan for `generate`, whose prompts are `base`
};

/// A value read by an intervention that collects.
struct Collected {
  std::string key{};  ///< representation_keys(config)[representation]
  std::size_t representation = 0;
  torch::Tensor value{};  ///< [batch, units..., width], owned
  torch::Tensor valid{};  ///< bool [batch, units...] where rows have different counts, else undefined
  /// The same of the run without interventions, where the representation asks for it (also_original), else undefined
  torch::Tensor original{};
};

/// How often each write or read of a run fired.
struct FireReport {
  std::string key{};
  std::string site{};
  std::int64_t count = 0;
};

struct VENE_API Result {
  std::optional<models::Output> original{};
  models::Output intervened{};         ///< empty tensors with collect_only
  std::vector<Collected> collected{};  ///< in the order of the config's representations
  std::vector<FireReport> fired{};

  /// The collected value of a key; PlanError with the nearest keys.
  const torch::Tensor& collected_value(std::string_view key) const;
};

/// Where a base pass over a staged model may begin: the state before block `stage`, for models that were run up to
/// there already.
struct StartState {
  models::StageState state{};
  std::int64_t stage = 0;
};

struct RunOptions {
  std::optional<StartState> start{};  ///< base pass only
  /// [n] or [batch, n] positions to compute logits for; undefined: all (staged models)
  torch::Tensor logit_positions{};
  /// Filled by the base pass of a staged model with the keys and values of every position; null: not wanted
  models::KeyValueCache* cache = nullptr;
};

namespace detail {
struct PlanData;
}

/// A config compiled for one model and one shape of inputs: sites found, locations turned into index tensors, passes
/// ordered. Immutable: any number of threads may run it.
class VENE_API Plan {
 public:
  explicit Plan(std::shared_ptr<const detail::PlanData> data) : data_(std::move(data)) {}
  /// One line a pass, site, and intervention: what will run where, and of a generation when.
  std::string describe() const;
  /// Stage of the first write of the base pass (-1: before the first block), and whether there is any.
  std::optional<std::int64_t> first_stage() const;
  const detail::PlanData& data() const { return *data_; }

 private:
  std::shared_ptr<const detail::PlanData> data_;
};

/// The config with a representation for every place that one of it stands for: each of its layers, each component that
/// its pattern fits, layer by layer. They keep reading one source. What is listed a representation (types, dimensions)
/// is repeated. PlanError for a layer that the model does not have, and a pattern that fits nothing.
/// @param origins  if given, is filled with the representation that each came from
VENE_API IntervenableConfig expanded(const IntervenableConfig& config, const models::Model& model,
                                     std::vector<std::size_t>* origins = nullptr);

/// Interventions of a config, built for a model: one a representation, shared where a link key says so.
VENE_API std::vector<std::shared_ptr<Intervention>> build_interventions(
    const IntervenableConfig& config, const models::Model& model,
    const InterventionRegistry& registry = InterventionRegistry::standard());

/// Everything that can be decided before a run is decided here. Throws PlanError, LocationError or ConfigError.
VENE_API Plan compile(const IntervenableConfig& config, std::shared_ptr<models::Model> model,
                      const std::vector<std::shared_ptr<Intervention>>& interventions, const RunRequest& request);

/// Runs a plan. The inputs must have the shapes it was compiled for. Leaves model, arguments and other people's hooks
/// as they were. Throws PlanError if a write never fired.
VENE_API Result run(const Plan& plan, const models::Batch& base,
                    const std::vector<std::optional<models::Batch>>& sources = {}, const RunOptions& options = {});

}  // namespace vene
