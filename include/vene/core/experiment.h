// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "vene/base/export.h"
#include "vene/core/intervenable_model.h"
#include "vene/io/safetensors.h"
#include "vene/models/load.h"

namespace vene {

/// One experiment file: a config, the inputs and where to act. docs/experiment.md describes the JSON.
struct Experiment {
  IntervenableConfig config{};
  std::string config_folder{};  ///< set when "config" names a saved folder
  RunRequest request{};
  /// Set: the experiment generates; request.generation says when interventions act
  std::optional<GenerateOptions> generate{};
};

/// @param folder  relative paths in the experiment are looked up from here
/// Throws ConfigError with the path of what is wrong; IoError for files it names.
VENE_API Experiment parse_experiment(std::string_view json, const models::LanguageModel& model,
                                     const std::string& folder = ".",
                                     const InterventionRegistry& registry = InterventionRegistry::standard());
VENE_API Experiment load_experiment(const std::string& path, const models::LanguageModel& model,
                                    const InterventionRegistry& registry = InterventionRegistry::standard());

/// Adds interventions that take no source run, on the whole value at every position, behind those that are there.
/// PlanError for a config in serial mode.
VENE_API void append_interventions(Experiment& experiment, const std::vector<RepresentationConfig>& more,
                                   const models::LanguageModel& model,
                                   const InterventionRegistry& registry = InterventionRegistry::standard());

/// Lets every intervention act in these passes of a generation, whatever the experiment and its representations say.
VENE_API void set_when(Experiment& experiment, const When& when, const models::LanguageModel& model,
                       const InterventionRegistry& registry = InterventionRegistry::standard());

/// Compiles an experiment without running it: `run(plan, request.base, request.sources)` does that, or for one that
/// generates `generate(plan, request.base, request.sources, *generate)`.
VENE_API Plan plan_experiment(const Experiment& experiment, const models::LanguageModel& model,
                              const InterventionRegistry& registry = InterventionRegistry::standard());

/// PlanError for one that generates.
VENE_API Result run_experiment(const Experiment& experiment, const models::LanguageModel& model,
                               const InterventionRegistry& registry = InterventionRegistry::standard());

/// PlanError for one that does not generate.
VENE_API GenerateResult generate_experiment(const Experiment& experiment, const models::LanguageModel& model,
                                            const InterventionRegistry& registry = InterventionRegistry::standard());

/// What `vene run` writes for a generation: original.ids, intervened.ids (int64, prompts included, padded at the right
/// with -1), collected.N.STEP, and collected.N.0.valid where prompts are ragged.
VENE_API io::NamedTensors result_tensors(const GenerateResult& result);
/// And its texts as JSON: {"prompts": [...], "original": [...], "intervened": [...]}; empty without a tokenizer.
VENE_API std::string result_texts(const GenerateResult& result, const models::LanguageModel& model);

/// What `vene run` writes: original.logits, intervened.logits (or .last_hidden_state), collected.N, and
/// collected.N.valid for ragged ones.
VENE_API io::NamedTensors result_tensors(const Result& result);

}  // namespace vene
