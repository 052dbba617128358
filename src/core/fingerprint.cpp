// SPDX-License-Identifier: Apache-2.0
#include "src/core/fingerprint.h"

#include "src/base/digest.h"

namespace vene::detail {
namespace {

// So many values of each parameter, evenly spread: enough to tell two trainings apart, cheap for billions of them.
constexpr std::int64_t kSample = 512;

}  // namespace

ModelFingerprint fingerprint(const models::Model& model, const std::set<std::string>& without) {
  const torch::NoGradGuard no_grad;
  Digest hash;
  for (const auto& item : model.named_parameters()) {
    if (without.contains(item.key())) continue;
    const std::string text = item.key() + c10::str(item.value().sizes());
    hash.add(text.data(), text.size());
    const torch::Tensor flat = item.value().detach().reshape({-1});
    const std::int64_t step = std::max<std::int64_t>(1, flat.numel() / kSample);
    const torch::Tensor sample = flat.slice(0, 0, flat.numel(), step).to(torch::kCPU, torch::kFloat32).contiguous();
    hash.add(sample.const_data_ptr(), sample.nbytes());
  }
  return {model.architecture(), model.layer_count(), model.hidden_size(), model.vocabulary_size(), hash.text()};
}

}  // namespace vene::detail
