// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <torch/types.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "vene/base/export.h"
#include "vene/config/when.h"
#include "vene/interventions/intervention.h"
#include "vene/interventions/registry.h"

namespace vene {

/// A group or link key: pyvene writes integers, people like names.
using ConfigKey = std::variant<std::int64_t, std::string>;

/// Where a source run is read; what is left out is the representation's own.
struct SourceSite {
  std::optional<std::int64_t> layer{};
  std::optional<std::string> component{};
  bool operator==(const SourceSite&) const = default;
};

/// One place and what is done there. Field names, order and defaults are pyvene's.
struct VENE_API RepresentationConfig {
  std::int64_t layer = 0;
  std::string component = "block_output";  ///< a component name, or a path ending in ".input" / ".output"
  std::string unit = "pos";                ///< "pos", "h", "h.pos" or "t"
  std::int64_t max_number_of_units = 1;    ///< multiplies the width that learned interventions are built for
  std::optional<std::int64_t> low_rank_dimension{};
  std::string intervention_type{};  ///< a registered name; empty: IntervenableConfig::intervention_types decides
  std::shared_ptr<Intervention> intervention{};  ///< ready instance instead of a type; not part of the JSON
  SubspacePartition subspace_partition{};
  std::optional<ConfigKey> group_key{};              ///< representations of one group read one source
  std::optional<ConfigKey> intervention_link_key{};  ///< representations of one link share one intervention object
  std::optional<ConfigKey> moe_key{};                ///< kept for files of pyvene; no model here has a use for it
  torch::Tensor source_representation{};             ///< constant source
  bool hidden_source_representation = false;         ///< the constant source is in the saved folder's tensors
  std::optional<std::int64_t> latent_dim{};
  std::optional<When> when{};  ///< passes of a generation in which it acts; empty: what the generation says
  OptionValues options{};      ///< further keys that the intervention type declares
  /// Several layers in `layer`'s place: each is a representation of its own once a model makes the places of it
  /// (`expanded`), and so is each component that a pattern in `component` fits ("*_output").
  std::vector<std::int64_t> layers{};
  bool all_layers = false;                  ///< every layer that the model has of the component
  std::optional<SourceSite> source_site{};  ///< the source is read there and written here
  bool also_original = false;               ///< of one that collects: also what the model holds without interventions

  /// Whether it may stand for several representations.
  bool stands_for_several() const { return all_layers || !layers.empty() || component.find('*') != std::string::npos; }

  bool operator==(const RepresentationConfig& other) const;
};

/// Which model interventions were saved for.
struct ModelFingerprint {
  std::string architecture{};  ///< "gpt2"
  std::int64_t layers = 0;
  std::int64_t hidden_size = 0;
  std::int64_t vocabulary = 0;
  std::string weights{};  ///< a hash
  bool operator==(const ModelFingerprint&) const = default;
};

enum class Mode : std::uint8_t { kParallel, kSerial };

/// What to do where, in order. The JSON is pyvene's IntervenableConfig; docs/config.md is generated from the same
/// tables as the parser.
struct VENE_API IntervenableConfig {
  std::vector<RepresentationConfig> representations{};
  std::vector<std::string> intervention_types{};  ///< one for all, or one a representation; empty: vanilla
  Mode mode = Mode::kParallel;
  std::string model_type{};                ///< informative
  std::vector<std::string> sorted_keys{};  ///< informative; written by save
  /// Per representation, written by save: how many leading columns are exchanged (empty: all).
  std::vector<std::optional<std::int64_t>> intervention_dimensions{};
  std::vector<bool> intervention_constant_sources{};
  std::optional<ModelFingerprint> model_fingerprint{};  ///< written by save

  /// A config object, a list of representations, or one representation. Throws ConfigError with every problem, a line
  /// each: its path in the JSON, what was expected, what came, the nearest valid name. Options that name files are
  /// looked up from `folder`; empty: from where the program runs.
  static IntervenableConfig parse(std::string_view json,
                                  const InterventionRegistry& registry = InterventionRegistry::standard(),
                                  const std::string& folder = "");
  /// A file, or a folder with a config.json; files that it names are looked up from its folder.
  static IntervenableConfig load(const std::string& path,
                                 const InterventionRegistry& registry = InterventionRegistry::standard());
  /// JSON that parses back to an equal config. Throws ConfigError for a representation with a ready instance (a
  /// lambda).
  std::string to_json(int indent = 2) const;

  IntervenableConfig& add_intervention(RepresentationConfig representation);
  /// The registered type of representation i: its own, else the config's, else "vanilla".
  const std::string& type_of(std::size_t i) const;
  bool operator==(const IntervenableConfig& other) const;
};

/// The name of each representation in results and files, pyvene's: "layer_0_comp_block_output_unit_pos_nunit_1#0".
VENE_API std::vector<std::string> representation_keys(const IntervenableConfig& config);

/// JSON schema (draft 2020-12) of IntervenableConfig with every registered intervention and its options.
VENE_API std::string config_schema(const InterventionRegistry& registry = InterventionRegistry::standard());
/// The same as a Markdown page (docs/config.md).
VENE_API std::string config_reference(const InterventionRegistry& registry = InterventionRegistry::standard());

}  // namespace vene
