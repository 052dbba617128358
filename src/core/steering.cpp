// SPDX-License-Identifier: Apache-2.0
#include "vene/core/steering.h"

#include <algorithm>

#include "vene/base/error.h"
#include "vene/base/names.h"
#include "vene/core/intervenable_model.h"

namespace vene {
namespace {

// Where a component is one place of the whole model: outside the layers (embedding, final_norm), or named by its path.
// Null: it is one place a layer.
const Site* one_place(const models::Model& model, const std::string& component) {
  return model.sites().try_find(component, -1);
}

// `whose` is behind "the direction" in an error.
void add_direction(IntervenableConfig& config, const Site& site, const torch::Tensor& direction,
                   const SteerOptions& options, const std::string& whose, const std::string& model_hint) {
  if (direction.dim() != 1 || (site.width > 0 && direction.size(0) != site.width)) {
    throw PlanError("steering: the direction" + whose + " has shape " + shape_text(direction.sizes()) + ", " +
                    site_text(site) + " is " + std::to_string(site.width) + " wide" +
                    (model_hint.empty() ? "" : "; the vector was made for a " + model_hint));
  }
  RepresentationConfig representation;
  representation.layer = std::max<std::int64_t>(site.layer, 0);
  representation.component = options.component;
  if (site.calls == CallOrder::kPositions)
    representation.unit = "t";  // a recurrent cell's value has no positions: it is made once a position
  representation.intervention_type = "addition";
  representation.source_representation = direction.to(torch::kFloat32) * options.scale;
  representation.when = options.when;
  config.add_intervention(std::move(representation));
}

void add_to_one_place(IntervenableConfig& config, const Site& site, const torch::Tensor& direction,
                      const SteerOptions& options, const std::string& model_hint) {
  if (!options.layers.empty())
    throw PlanError("steering: " + site_text(site) + " is one place, so layers cannot be chosen");
  add_direction(config, site, direction, options, "", model_hint);
}

}  // namespace

void add_steering(IntervenableConfig& config, const models::Model& model, const io::ControlVector& vector,
                  const SteerOptions& options) {
  if (const Site* site = one_place(model, options.component)) {
    if (vector.directions.size() != 1) {
      throw PlanError("steering: " + site_text(*site) + " is one place, and the vector has directions for " +
                      std::to_string(vector.directions.size()) + " layers; expected a lone direction");
    }
    add_to_one_place(config, *site, vector.directions.begin()->second, options, vector.model_hint);
    return;
  }
  std::vector<std::int64_t> layers = options.layers;
  if (layers.empty()) {
    for (const auto& [layer, direction] : vector.directions) layers.push_back(layer);
  }
  for (const std::int64_t layer : layers) {
    const auto found = vector.directions.find(layer);
    if (found == vector.directions.end()) {
      std::vector<std::string> has;
      for (const auto& [known, direction] : vector.directions) has.push_back(std::to_string(known));
      throw PlanError("steering: the vector has no direction for layer " + std::to_string(layer) + "; it has " +
                      join(has));
    }
    add_direction(config, model.sites().find(options.component, layer), found->second, options,
                  " of layer " + std::to_string(layer), vector.model_hint);
  }
}

void add_steering(IntervenableConfig& config, const models::Model& model, const torch::Tensor& direction,
                  const SteerOptions& options) {
  if (const Site* site = one_place(model, options.component)) {
    add_to_one_place(config, *site, direction, options, "");
  } else {
    add_steering(config, model, every_layer(model, direction), options);
  }
}

io::ControlVector every_layer(const models::Model& model, const torch::Tensor& direction) {
  io::ControlVector vector{model.architecture(), {}};
  for (std::int64_t layer = 0; layer < model.layer_count(); ++layer) vector.directions[layer] = direction;
  return vector;
}

namespace {

// What each layer from 1 on holds at the last token of each text: [text, width] a layer, float32 on the CPU.
std::vector<torch::Tensor> last_tokens(IntervenableModel& reader, const models::LanguageModel& model,
                                       const std::vector<std::string>& texts, std::int64_t batch,
                                       const std::function<bool(std::size_t read)>& goes_on) {
  std::vector<std::vector<torch::Tensor>> pieces(reader->keys().size());
  for (std::size_t begin = 0; begin < texts.size(); begin += static_cast<std::size_t>(batch)) {
    const std::size_t end = std::min(texts.size(), begin + static_cast<std::size_t>(batch));
    const std::vector<std::string> some(texts.begin() + static_cast<std::ptrdiff_t>(begin),
                                        texts.begin() + static_cast<std::ptrdiff_t>(end));
    const Result result = reader->forward({.base = model.encode(some), .locations = last(), .collect_only = true});
    for (std::size_t i = 0; i < pieces.size(); ++i)
      pieces[i].push_back(result.collected[i].value.select(1, 0).to(torch::kCPU, torch::kFloat32));
    if (!goes_on(end)) throw PlanError("steer vector: cancelled");
  }
  std::vector<torch::Tensor> layers;
  for (const auto& piece : pieces) layers.push_back(torch::cat(piece, 0));
  return layers;
}

// Whether no value is further from another's than rounding takes it: the texts say the same to this layer.
bool alike(const torch::Tensor& difference, const torch::Tensor& up, const torch::Tensor& down) {
  constexpr double kRounding = 1e-6;
  return difference.abs().max().item<double>() <=
         kRounding * std::max(up.abs().max().item<double>(), down.abs().max().item<double>());
}

}  // namespace

io::ControlVector steer_vector(const models::LanguageModel& model, const std::vector<std::string>& positive,
                               const std::vector<std::string>& negative, const SteerVectorOptions& options) {
  if (positive.empty() || negative.empty())
    throw ConfigError("steer vector: expected at least one positive and one negative text");
  const bool pca = options.method == SteerMethod::kPca;
  if (pca && (positive.size() != negative.size() || positive.size() < 2)) {
    throw ConfigError("steer vector: pca takes pairs, at least two, and got " + std::to_string(positive.size()) +
                      " positive and " + std::to_string(negative.size()) + " negative texts; method mean takes any");
  }
  if (options.batch < 1)
    throw ConfigError("steer vector: expected a batch of at least 1, got " + std::to_string(options.batch));
  const std::int64_t count = model.model->layer_count();
  if (count < 2)
    throw ModelError("steer vector: this model has " + std::to_string(count) +
                     " layers, and control vectors count from layer 1");
  IntervenableConfig config;
  for (std::int64_t layer = 1; layer < count; ++layer) {
    RepresentationConfig representation;
    representation.layer = layer;
    representation.component = options.component;
    representation.intervention_type = "collect";
    config.representations.push_back(std::move(representation));
  }
  const torch::NoGradGuard no_grad;
  IntervenableModel reader(config, model.model);
  const auto goes_on = [&](std::size_t before) {
    return [&options, before, all = positive.size() + negative.size()](std::size_t read) {
      return !options.progress || options.progress(before + read, all);
    };
  };
  const auto above = last_tokens(reader, model, positive, options.batch, goes_on(0)),
             below = last_tokens(reader, model, negative, options.batch, goes_on(positive.size()));
  io::ControlVector vector{model.model->architecture(), {}};
  for (std::int64_t layer = 1; layer < count; ++layer) {
    const torch::Tensor& up = above[layer - 1];
    const torch::Tensor& down = below[layer - 1];
    torch::Tensor direction = up.mean(0) - down.mean(0);
    if (alike(pca ? up - down : direction, up, down)) {
      throw ConfigError("steer vector: the positive and the negative texts do not differ at layer " +
                        std::to_string(layer) + ", so there is no direction from one to the other");
    }
    if (pca) {
      // Not centred: the differences share their direction, and that is what is wanted.
      const torch::Tensor axis =
          std::get<2>(torch::linalg_svd((up - down).to(torch::kFloat64), /*full_matrices=*/false))[0].to(
              torch::kFloat32);
      direction = torch::dot(axis, direction).item<float>() < 0 ? -axis : axis;
    }
    vector.directions[layer] = direction.contiguous();
  }
  return vector;
}

}  // namespace vene
