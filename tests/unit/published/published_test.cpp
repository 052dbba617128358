// SPDX-License-Identifier: Apache-2.0
// Values that were published of well-known checkpoints (tests/golden/published), for whoever has them: VENE_CHECKPOINTS
// names their folder.
#include <gmock/gmock.h>

#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <map>
#include <nlohmann/json.hpp>

#include "tests/data_folder.h"
#include "tests/places.h"
#include "tests/unit/published/probes.h"
#include "vene/core/experiment.h"

namespace {

using nlohmann::json;
using vene::models::LanguageModel;

const std::vector<json>& cases() {
  static const std::vector<json> kCases =
      json::parse(std::ifstream(std::string(vene_test::kSourceFolder) + "/tests/golden/published/values.json"))
          .get<std::vector<json>>();
  return kCases;
}

// The experiment with the constant that it adds, a word's embedding, filled in.
vene::Experiment experiment_of(const json& one, const LanguageModel& lm) {
  json experiment = one.at("experiment");
  if (one.contains("embedding_of")) {
    const torch::Tensor row =
        lm.model->token_embedding()[lm.tokenizer->encode(one.at("embedding_of").get<std::string>()).at(0)].detach() *
        one.value("scale", 1.0);
    const torch::Tensor plain = row.to(torch::kFloat32).contiguous();
    experiment["source_representations"] =
        std::vector<float>(plain.data_ptr<float>(), plain.data_ptr<float>() + plain.numel());
  }
  return vene::parse_experiment(experiment.dump(), lm);
}

std::string as_published(std::string token) {
  for (char& character : token) character = character == ' ' ? '_' : character;
  return token;
}

// What a model has otherwise, one line each. Probabilities were computed on other hardware: 1 % of each, and tokens may
// trade places within it.
std::vector<std::string> differences(const LanguageModel& lm, const json& one) {
  const torch::NoGradGuard no_grad;
  std::vector<std::string> found;
  if (one.contains("parameters")) {
    std::int64_t count = 0;
    for (const torch::Tensor& parameter : lm.model->parameters()) count += parameter.numel();
    if (count != one.at("parameters").get<std::int64_t>())
      found.push_back("parameters: published " + one.at("parameters").dump() + ", got " + std::to_string(count));
  } else if (one.contains("text")) {
    const json texts = json::parse(vene::result_texts(vene::generate_experiment(experiment_of(one, lm), lm), lm));
    const auto got = texts.at("prompts").at(0).get<std::string>() + texts.at("intervened").at(0).get<std::string>();
    if (!got.starts_with(one.at("text").get<std::string>())) found.push_back("text: got " + got);
  } else {
    const torch::Tensor logits = vene::run_experiment(experiment_of(one, lm), lm).intervened.logits;
    std::map<std::string, double> got;
    for (const auto& top : lm.top_tokens(logits, 2 * static_cast<std::int64_t>(one.at("top").size())))
      got[as_published(top.text)] = top.probability;
    for (const auto& [token, probability] : one.at("top").get<std::vector<std::pair<std::string, double>>>()) {
      const double mine = got.contains(token) ? got.at(token) : 0;
      if (std::abs(mine - probability) > 0.01 * probability)
        found.push_back(token + ": published " + std::to_string(probability) + ", got " + std::to_string(mine));
    }
  }
  return found;
}

class PublishedValues : public testing::TestWithParam<std::size_t> {};

TEST_P(PublishedValues, AreReproduced) {
  const json& one = cases()[GetParam()];
  const std::string name = one.at("folder").get<std::string>();
  const char* root = std::getenv("VENE_CHECKPOINTS");
  if (root == nullptr) GTEST_SKIP() << "VENE_CHECKPOINTS is not set; it names a folder that holds " << name;
  const std::filesystem::path folder = std::filesystem::path(root) / name;
  if (!std::filesystem::is_directory(folder))
    GTEST_SKIP() << "VENE_CHECKPOINTS is " << root << ", which has no folder " << name;
  const LanguageModel lm = vene::models::load(folder.string(), {.dtype = torch::kFloat32});
  ASSERT_NE(lm.tokenizer, nullptr) << folder << " has no tokenizer";
  if (one.contains("probe")) {
    VENE_REQUIRE_DATA(data);
    EXPECT_THAT(vene_test::probe_differences(lm, one.at("probe"), *data / "names" / "gendered_names.json"),
                testing::IsEmpty());
  } else {
    EXPECT_THAT(differences(lm, one), testing::IsEmpty());
  }
}

INSTANTIATE_TEST_SUITE_P(Case, PublishedValues, testing::Range<std::size_t>(0, cases().size()),
                         [](const testing::TestParamInfo<std::size_t>& info) {
                           return cases()[info.param].at("name").get<std::string>();
                         });

// The comparison can fail: a model of another mind differs in each of them.
TEST(PublishedValuesAlone, AreNotThoseOfAnotherModel) {
  const LanguageModel other = vene::models::load(std::string(vene_test::kSourceFolder) + "/assets/landmarks-gpt2");
  for (const json& one : cases()) {
    if (one.contains("probe")) continue;
    json shortened = one;  // to the layers that the other model has
    if (one.contains("experiment")) {
      json& config = shortened["experiment"]["config"];
      json& representations = config.is_array() ? config : config["representations"];
      for (std::size_t i = 0; i < representations.size(); ++i)
        representations[i]["layer"] = static_cast<std::int64_t>(i) % other.model->layer_count();
    }
    EXPECT_THAT(differences(other, shortened), testing::Not(testing::IsEmpty())) << one.at("name");
  }
}

TEST(PublishedProbes, AreNotThoseOfAnotherModel) {
  VENE_REQUIRE_DATA(data);
  const LanguageModel other = vene::models::load(std::string(vene_test::kSourceFolder) + "/assets/landmarks-gpt2");
  for (const json& one : cases()) {
    if (!one.contains("probe")) continue;
    EXPECT_THAT(vene_test::probe_differences(other, one.at("probe"), *data / "names" / "gendered_names.json"),
                testing::Not(testing::IsEmpty()));
  }
}

}  // namespace
