// SPDX-License-Identifier: Apache-2.0
// What a model holds at the last word of many prompts, written to disk, and the principal components of it.
#include <filesystem>
#include <iostream>

#include "vene/vene.h"

int main() {
  auto lm = vene::models::load("assets/landmarks-gpt2");
  const vene::io::TemporaryFolder folder("collected");
  vene::CollectOptions options;
  options.positions = {-1};
  vene::collect(lm, "examples/texts/landmarks.txt", folder.path(), options);

  auto collected = vene::CollectedFolder::open(folder.path());
  std::cout << collected.rows() << " rows of " << collected.sites().size() << " sites\n";
  vene::IntervenableModel model(
      vene::IntervenableConfig::parse(
          R"({"layer": 3, "intervention_type": "pca_rotated_space", "low_rank_dimension": 2})"),
      lm.model);
  auto pca = std::dynamic_pointer_cast<vene::PCARotatedSpace>(model->interventions()[0]);
  pca->fit(collected.values("block_output.3"));
  std::cout << "2 of 128 components have " << 100 * pca->explained_variance_ratio.sum().item<double>()
            << " % of the variance\n";
}
