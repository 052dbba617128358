// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <cstdint>
#include <mutex>
#include <string>
#include <vector>

#include "vene/base/export.h"
#include "vene/interventions/intervention.h"

namespace vene {

/// Interchange between latents. Without a subspace: the latents of option `latents`, else all.
class VENE_API LatentInterchange : public Intervention {
 public:
  LatentInterchange(const InterventionSettings& settings, const char* name);
  Traits traits() const override { return {.trainable = true}; }
  torch::Tensor forward(const torch::Tensor& base, const torch::Tensor& source, const Subspace& subspace) override;
  std::int64_t subspace_width(std::int64_t) const override { return latent_width_; }
  void restore(const NamedTensors& state, const std::string& where) override;
  NamedTensors pyvene_state() const override;
  torch::Tensor pyvene_dimension(std::int64_t value_width) const override;

  torch::Tensor latents;  ///< the ones to exchange, int64, buffer; empty: all, or the leading interchange_dim

  virtual torch::Tensor encode(const torch::Tensor& value) const = 0;   ///< [..., width] -> [..., latents]
  virtual torch::Tensor decode(const torch::Tensor& latent) const = 0;  ///< and back

 protected:
  std::vector<std::int64_t> chosen_latents() const;
  void check_latents() const;
  std::int64_t latent_width_ = 0;

 private:
  // The latents as a subspace, made again where they, or the device, have changed: no optimizer writes to integers.
  Subspace chosen(std::int64_t rows, torch::Device device);
  std::mutex mutex_;
  Subspace chosen_;
  torch::Tensor chosen_of_;
  std::uint32_t chosen_version_ = 0;
};

/// One hidden layer: relu((x - b_decoder) W_e' + b_e), decoded by W_d and b_decoder. pyvene's AutoencoderIntervention;
/// `latent_dim` latents, drawn as torch.nn.Linear draws its weights.
class VENE_API Autoencoder : public LatentInterchange {
 public:
  explicit Autoencoder(const InterventionSettings& settings);
  torch::Tensor encode(const torch::Tensor& value) const override;
  torch::Tensor decode(const torch::Tensor& latent) const override;
  void restore(const NamedTensors& state, const std::string& where) override;
  torch::Tensor pyvene_dimension(std::int64_t value_width) const override;

  /// [latents, width], [latents], [width, latents], [width]
  torch::Tensor encoder_weight, encoder_bias, decoder_weight, decoder_bias;
};

/// The tensors of a published sparse autoencoder.
struct SaeWeights {
  torch::Tensor encoder{};       ///< W_enc [width, latents]
  torch::Tensor decoder{};       ///< W_dec [latents, width]
  torch::Tensor encoder_bias{};  ///< b_enc [latents]
  torch::Tensor decoder_bias{};  ///< b_dec [width]
  torch::Tensor threshold{};     ///< threshold [latents]; zeros where the file has none (a ReLU autoencoder)
};

/// Reads W_enc, W_dec, b_enc, b_dec and threshold from a .safetensors or .npz file; a folder is SAELens', whose
/// cfg.json beside sae_weights.safetensors is kept to: what it says of biases and scales is worked into the tensors. So
/// is a `scaling_factor`. IoError names what is missing, does not fit, or is no JumpReLU autoencoder.
VENE_API SaeWeights read_sae(const std::string& path);

/// A JumpReLU sparse autoencoder: a latent is its pre-activation where that is above its threshold (and 0), else 0.
/// pyvene's JumpReLUAutoencoderIntervention; `low_rank_dimension` (or `latent_dim`) latents, zero until weights are
/// read in.
class VENE_API JumpReLUAutoencoder : public LatentInterchange {
 public:
  explicit JumpReLUAutoencoder(const InterventionSettings& settings);
  torch::Tensor encode(const torch::Tensor& value) const override;
  torch::Tensor decode(const torch::Tensor& latent) const override;
  /// PlanError where the sizes are others.
  void set_weights(const SaeWeights& weights);

  torch::Tensor w_enc, w_dec, threshold, b_enc, b_dec;
};

}  // namespace vene
