// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "vene/base/export.h"
#include "vene/config/intervenable_config.h"
#include "vene/io/gguf.h"
#include "vene/models/load.h"

namespace vene {

struct SteerOptions {
  double scale = 1;
  std::vector<std::int64_t> layers{};      ///< which of the vector's layers; empty: all of them
  std::string component = "block_output";  ///< what a control vector's directions are added to
  std::optional<When> when{};              ///< passes of a generation; empty: what the generation says
};

/// Adds one addition a layer to a config. At a component that is one place of the whole model (embedding, final_norm, a
/// path) a vector of one direction acts once; choosing layers there, or a vector of several, is a PlanError, as are
/// layers that the vector or the model does not have, and another width than the component's.
VENE_API void add_steering(IntervenableConfig& config, const models::Model& model, const io::ControlVector& vector,
                           const SteerOptions& options = {});

/// The same with a lone direction [width]: it is added to every layer (or to SteerOptions::layers), and once where the
/// component is one place.
VENE_API void add_steering(IntervenableConfig& config, const models::Model& model, const torch::Tensor& direction,
                           const SteerOptions& options = {});

/// The same direction [width] for every layer of a model.
VENE_API io::ControlVector every_layer(const models::Model& model, const torch::Tensor& direction);

enum class SteerMethod : std::uint8_t {
  kMean,  ///< the mean over the positive texts less that over the negative ones
  kPca,   ///< the main axis of the pairs' differences, of length 1, pointing from negative to positive
};

struct SteerVectorOptions {
  SteerMethod method = SteerMethod::kMean;
  std::string component = "block_output";
  std::int64_t batch = 16;  ///< texts a forward
  /// Told how many texts are read; false stops, with a PlanError
  std::function<bool(std::size_t done, std::size_t all)> progress{};
};

/// A control vector from what a model holds at the last token of contrasting texts, for layers 1 to the last (llama.cpp
/// uses no layer 0). `kPca` pairs the i-th positive text with the i-th negative one. Throws ConfigError for no texts,
/// for unpaired ones where pairs are needed, and for texts that do not differ at a layer; ModelError for a model of one
/// layer.
VENE_API io::ControlVector steer_vector(const models::LanguageModel& model, const std::vector<std::string>& positive,
                                        const std::vector<std::string>& negative,
                                        const SteerVectorOptions& options = {});

}  // namespace vene
