// SPDX-License-Identifier: Apache-2.0
// Published sparse autoencoders as one JumpReLU autoencoder: Gemma Scope's files, and SAELens' with their cfg.json.
#include <filesystem>

#include "src/base/json_reader.h"
#include "vene/base/error.h"
#include "vene/base/names.h"
#include "vene/interventions/autoencoder.h"
#include "vene/io/files.h"
#include "vene/io/npz.h"
#include "vene/io/safetensors.h"

namespace vene {
namespace {

namespace fs = std::filesystem;
using torch::Tensor;

constexpr const char* kSaeLensWeights = "sae_weights.safetensors";

// What cfg.json says of the tensors beside it.
struct SaeLensConfig {
  bool subtracts_decoder_bias = false;  // from the value, before it is encoded
  bool has_threshold = false;
  bool scales_latents = false;
};

std::string text_of(detail::JsonReader& reader, const std::string& key, const std::string& otherwise) {
  const std::optional<detail::JsonReader> value = reader.find(key);
  return value ? value->text() : otherwise;
}

[[noreturn]] void refuse(const std::string& path, const std::string& field, const std::string& value,
                         const std::string& expected) {
  throw IoError(path + ": " + field + " '" + value + "' is not what jump_relu_autoencoder computes; expected " +
                expected);
}

SaeLensConfig read_config(const std::string& path, std::int64_t width, std::int64_t latents, bool threshold) {
  const detail::Json json = detail::read_json<IoError>(io::read_file(path), path, detail::NonFinite::kRead);
  detail::JsonReader reader(json, path);
  reader.expect_object("{\"architecture\": \"standard\", ...}");
  SaeLensConfig config;
  const std::string architecture = text_of(reader, "architecture", "standard");
  config.has_threshold = architecture == "jumprelu" || (architecture == "batchtopk" && threshold);
  if (architecture != "standard" && !config.has_threshold)
    refuse(path, "architecture", architecture, "standard, jumprelu, or batchtopk with a threshold");
  const auto only = [&](const char* field, const std::vector<std::string>& harmless) {
    const std::string value = text_of(reader, field, harmless.front());
    if (std::find(harmless.begin(), harmless.end(), value) == harmless.end())
      refuse(path, field, value, join(harmless, " or "));
  };
  only("normalize_activations", {"none"});
  only("reshape_activations", {"none", "hook_z"});
  if (architecture == "standard") {
    only("activation_fn", {"relu"});
    only("activation_fn_str", {"relu"});
  }
  bool rescales = false;
  reader.read("rescale_acts_by_decoder_norm", rescales);
  if (rescales) refuse(path, "rescale_acts_by_decoder_norm", "true", "false");
  config.subtracts_decoder_bias = true;  // as SAELens has it where nothing is said
  reader.read("apply_b_dec_to_input", config.subtracts_decoder_bias);
  reader.read("finetuning_scaling_factor", config.scales_latents);
  const auto size = [&](const char* field, std::int64_t expected) {
    std::int64_t given = expected;
    reader.read(field, given);
    if (given != expected)
      throw IoError(path + ": " + field + " is " + std::to_string(given) + ", and the weights beside it have " +
                    std::to_string(expected));
  };
  size("d_in", width);
  size("d_sae", latents);
  return config;
}

}  // namespace

SaeWeights read_sae(const std::string& given) {
  const std::string path = fs::is_directory(given) ? (fs::path(given) / kSaeLensWeights).string() : given;
  const NamedTensors tensors = path.ends_with(".npz") ? io::read_npz(path) : io::read_tensors(path);
  std::vector<std::string> names;
  for (const auto& [name, tensor] : tensors) names.push_back(name);
  auto find = [&](const std::string& name, bool needed) -> Tensor {
    for (const auto& [key, tensor] : tensors) {
      if (key == name) return tensor.to(torch::kFloat32);
    }
    if (needed)
      throw IoError(path + ": a sparse autoencoder has the tensors W_enc, W_dec, b_enc, b_dec and threshold, '" + name +
                    "' is missing; the file has " + join(names));
    return {};
  };
  SaeWeights weights{find("W_enc", true), find("W_dec", true), find("b_enc", true), find("b_dec", true),
                     find("threshold", false)};
  const std::vector<std::string> known{
      "W_enc", "W_dec", "b_enc", "b_dec", "threshold", "scaling_factor", "finetuning_scaling_factor"};
  for (const std::string& name : names) {
    if (std::find(known.begin(), known.end(), name) == known.end())
      throw IoError(path + ": the tensor '" + name + "' is not one of those of a JumpReLU autoencoder" +
                    name_hint(name, known));
  }
  if (weights.encoder.dim() != 2)
    throw IoError(path + ": W_enc has shape " + shape_text(weights.encoder.sizes()) + ", expected [width, latents]");
  const std::int64_t width = weights.encoder.size(0);
  const std::int64_t latents = weights.encoder.size(1);
  const bool threshold = weights.threshold.defined();
  if (!threshold) weights.threshold = torch::zeros({latents});
  auto check = [&](const char* name, const Tensor& tensor, const std::vector<std::int64_t>& shape) {
    if (tensor.sizes() == shape) return;
    throw IoError(path + ": " + name + " has shape " + shape_text(tensor.sizes()) + ", expected " + shape_text(shape) +
                  " beside W_enc of " + shape_text(weights.encoder.sizes()));
  };
  check("W_dec", weights.decoder, {latents, width});
  check("b_enc", weights.encoder_bias, {latents});
  check("b_dec", weights.decoder_bias, {width});
  check("threshold", weights.threshold, {latents});
  Tensor scale = find("finetuning_scaling_factor", false);
  if (!scale.defined()) scale = find("scaling_factor", false);
  if (scale.defined()) check("scaling_factor", scale, {latents});

  const fs::path config_path = fs::path(path).parent_path() / "cfg.json";
  const bool of_sae_lens = fs::path(path).filename() == kSaeLensWeights && fs::exists(config_path);
  if (of_sae_lens) {
    const SaeLensConfig config = read_config(config_path.string(), width, latents, threshold);
    if (config.has_threshold && !threshold) find("threshold", true);
    if (!config.has_threshold && threshold)
      throw IoError(config_path.string() +
                    ": architecture 'standard' has no threshold, and the weights beside it have one");
    if (config.subtracts_decoder_bias)
      weights.encoder_bias = weights.encoder_bias - weights.decoder_bias.matmul(weights.encoder);
    if (scale.defined() && !config.scales_latents && !scale.eq(1).all().item<bool>())
      throw IoError(
          config_path.string() +
          ": finetuning_scaling_factor is false, and the weights beside it have a scaling_factor that is not 1");
  }
  if (scale.defined())
    weights.decoder = scale.unsqueeze(1) * weights.decoder;  // latents are scaled as they are decoded
  return weights;
}

}  // namespace vene
