// SPDX-License-Identifier: Apache-2.0
#include "vene/interventions/autoencoder.h"

#include <c10/util/StringUtil.h>
#include <torch/types.h>
#include <torch/utils.h>

#include <cmath>

#include "src/interventions/room.h"
#include "vene/base/error.h"
#include "vene/base/names.h"

namespace vene {
namespace {

using torch::Tensor;

// torch.nn.Linear's start: weight and bias uniform within 1 / sqrt(inputs).
std::pair<Tensor, Tensor> linear(std::int64_t inputs, std::int64_t outputs,
                                 const std::optional<at::Generator>& generator) {
  const double bound = 1 / std::sqrt(static_cast<double>(inputs));
  Tensor weight = torch::empty({outputs, inputs}).uniform_(-bound, bound, generator);
  return {weight, torch::empty({outputs}).uniform_(-bound, bound, generator)};
}

Tensor latents_option(const InterventionSettings& settings) {
  const Tensor value = std::get<Tensor>(settings.options.at("latents"));
  if (!value.defined()) return torch::zeros({0}, torch::kInt64);
  const Tensor numbers = value.detach().to(torch::kCPU, torch::kFloat64).flatten();
  for (std::int64_t i = 0; i < numbers.numel(); ++i) {
    const double number = numbers[i].item<double>();
    if (number != std::floor(number))
      throw ConfigError("latents[" + std::to_string(i) + "]: expected an integer, got " + c10::str(number));
  }
  return numbers.to(torch::kInt64);
}

}  // namespace

LatentInterchange::LatentInterchange(const InterventionSettings& settings, const char* name) : Intervention(settings) {
  require_width(settings, name);
  latents = register_buffer("latents", latents_option(settings));
}

void LatentInterchange::check_latents() const {
  for (const std::int64_t latent : chosen_latents()) {
    if (latent >= -latent_width_ && latent < latent_width_) continue;
    throw ConfigError("latents: " + std::to_string(latent) + " is out of range: there are " +
                      std::to_string(latent_width_));
  }
}

std::vector<std::int64_t> LatentInterchange::chosen_latents() const {
  const Tensor plain = latents.to(torch::kCPU, torch::kInt64).contiguous();
  return {plain.data_ptr<std::int64_t>(), plain.data_ptr<std::int64_t>() + plain.numel()};
}

Tensor LatentInterchange::forward(const Tensor& base, const Tensor& source, const Subspace& subspace) {
  const Tensor x = base.to(parameters().front().scalar_type());
  const bool own = subspace.all() && latents.numel() > 0;
  return decode(swap(encode(x), encode(broadcast_source(x, source)),
                     own ? chosen(base.size(0), base.device()) : subspace, SwapMode::kInterchange, interchange_dim))
      .to(base.scalar_type());
}

Subspace LatentInterchange::chosen(std::int64_t rows, torch::Device device) {
  const std::lock_guard<std::mutex> lock(mutex_);
  const bool current = chosen_of_.defined() && chosen_of_.data_ptr() == latents.data_ptr() &&
                       chosen_of_.numel() == latents.numel() && chosen_version_ == latents._version() &&
                       chosen_.columns.device() == device;
  if (!current) {
    chosen_ = compile_subspace({{chosen_latents()}}, {}, latent_width_, rows, device, "latents");
    chosen_of_ = latents.detach();
    chosen_version_ = latents._version();
  }
  return chosen_;
}

void LatentInterchange::restore(const NamedTensors& state, const std::string& where) {
  NamedTensors whole = state;
  const auto found =
      std::find_if(whole.begin(), whole.end(), [](const auto& entry) { return entry.first == "latents"; });
  if (found == whole.end()) {
    whole.emplace_back("latents", latents);
  } else if (found->second.dim() == 1) {
    latents.set_data(torch::zeros_like(found->second, latents.options()));
  }
  Intervention::restore(whole, where);
}

NamedTensors LatentInterchange::pyvene_state() const {
  NamedTensors tensors = state();
  std::erase_if(tensors, [](const auto& entry) { return entry.first == "latents"; });
  return tensors;
}

Tensor LatentInterchange::pyvene_dimension(std::int64_t) const {
  if (latents.numel() > 0)
    throw IoError(
        "latents: pyvene exchanges leading latents of this class only; give a number of them "
        "(intervention_dimensions)");
  return torch::tensor(interchange_dim.value_or(latent_width_));
}

Autoencoder::Autoencoder(const InterventionSettings& settings) : LatentInterchange(settings, "autoencoder") {
  if (!settings.latent_dim) throw ConfigError("autoencoder needs latent_dim, its number of latents");
  latent_width_ = *settings.latent_dim;
  check_latents();
  detail::need_room("latent_dim", latent_width_, width_, 3);
  const std::int64_t seed = std::get<std::int64_t>(settings.options.at("seed"));
  std::optional<at::Generator> generator;
  if (seed >= 0) generator = at::make_generator<at::CPUGeneratorImpl>(static_cast<std::uint64_t>(seed));
  // pyvene's names: autoencoder.encoder.0.weight and so on, a module a dot.
  auto autoencoder = register_module("autoencoder", std::make_shared<Module>());
  auto add = [&](const char* part, std::int64_t inputs, std::int64_t outputs, Tensor& weight, Tensor& bias) {
    auto layer = autoencoder->register_module(part, std::make_shared<Module>())
                     ->register_module("0", std::make_shared<Module>());
    const auto [w, b] = linear(inputs, outputs, generator);
    weight = layer->register_parameter("weight", w);
    bias = layer->register_parameter("bias", b);
  };
  add("encoder", width_, latent_width_, encoder_weight, encoder_bias);
  add("decoder", latent_width_, width_, decoder_weight, decoder_bias);
}

Tensor Autoencoder::encode(const Tensor& value) const {
  return torch::relu(torch::linear(value - decoder_bias, encoder_weight, encoder_bias));
}
Tensor Autoencoder::decode(const Tensor& latent) const {
  return torch::linear(latent, decoder_weight, decoder_bias);
}

// pyvene takes its interchange_dim as an index here, a count is written out as the latents themselves.
Tensor Autoencoder::pyvene_dimension(std::int64_t) const {
  return latents.numel() > 0 ? latents.to(torch::kInt64)
                             : torch::arange(std::min(interchange_dim.value_or(latent_width_), latent_width_));
}

void Autoencoder::restore(const NamedTensors& state, const std::string& where) {
  NamedTensors whole = state;
  for (const auto& [name, tensor] : state) {
    if (name == "interchange_dim") whole.emplace_back("latents", tensor.reshape({-1}));
  }
  LatentInterchange::restore(whole, where);
}

JumpReLUAutoencoder::JumpReLUAutoencoder(const InterventionSettings& settings)
    : LatentInterchange(settings, "jump_relu_autoencoder") {
  const std::string path = std::get<std::string>(settings.options.at("weights"));
  std::optional<SaeWeights> weights;
  if (!path.empty()) weights = read_sae(path);
  std::optional<std::int64_t> count = settings.low_rank_dimension ? settings.low_rank_dimension : settings.latent_dim;
  if (!count && weights) count = weights->encoder.size(1);
  if (!count)
    throw ConfigError("jump_relu_autoencoder needs low_rank_dimension, its number of latents, or a file in weights");
  latent_width_ = *count;
  check_latents();
  detail::need_room(settings.low_rank_dimension ? "low_rank_dimension" : "latent_dim", latent_width_, width_, 2);
  w_enc = register_parameter("W_enc", torch::zeros({width_, latent_width_}));
  w_dec = register_parameter("W_dec", torch::zeros({latent_width_, width_}));
  threshold = register_parameter("threshold", torch::zeros({latent_width_}));
  b_enc = register_parameter("b_enc", torch::zeros({latent_width_}));
  b_dec = register_parameter("b_dec", torch::zeros({width_}));
  if (weights) set_weights(*weights);
}

Tensor JumpReLUAutoencoder::encode(const Tensor& value) const {
  const Tensor before = value.matmul(w_enc) + b_enc;
  return torch::relu(before) * (before > threshold).to(before.scalar_type());
}

Tensor JumpReLUAutoencoder::decode(const Tensor& latent) const {
  return latent.matmul(w_dec) + b_dec;
}

void JumpReLUAutoencoder::set_weights(const SaeWeights& weights) {
  const std::vector<std::int64_t> expected{width_, latent_width_};
  if (weights.encoder.sizes() != expected) {
    throw PlanError("jump_relu_autoencoder: W_enc has shape " + shape_text(weights.encoder.sizes()) +
                    ", this site and config make it " + shape_text(expected));
  }
  const torch::NoGradGuard no_grad;
  w_enc.copy_(weights.encoder);
  w_dec.copy_(weights.decoder);
  threshold.copy_(weights.threshold);
  b_enc.copy_(weights.encoder_bias);
  b_dec.copy_(weights.decoder_bias);
}

}  // namespace vene
